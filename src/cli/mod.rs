//! (in the making)
pub fn main() -> std::process::ExitCode { std::process::ExitCode::SUCCESS }
