//! Arguments in, exit code out; nothing else.

use std::process::ExitCode;

/// Blocks of records come and go by the hundred kilobytes; this allocator keeps their pages. It takes no huge
/// ones: each is made zero as a whole, and most of what little rules need would be such pages' rest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    larum::cli::main()
}
