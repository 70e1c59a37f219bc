//! What a person types and what is answered: the README and `tests/cmd`.
//!
//! `TRYCMD=overwrite cargo test transcripts` writes the answers anew; read the diff before keeping it.

use std::path::Path;

/// The binary under test.
const LARUM: &str = env!("CARGO_BIN_EXE_larum");

/// Width of the terminal that `--help` is wrapped for: that of a pipe, whoever runs the tests.
#[test]
fn transcripts_are_as_they_are_written() {
    let cases = trycmd::TestCases::new();
    cases.register_bin("larum", Path::new(LARUM));
    cases.case("tests/cmd/*.md").case("tests/cmd/*.toml");
    cases.run();
}
