//! Arguments in, exit code out; nothing else.

use std::process::ExitCode;

/// Blocks of records come and go by the hundred kilobytes; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    larum::cli::main()
}
