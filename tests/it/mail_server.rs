//! A real mail server: `aiosmtpd`, run by the Python that `LARUM_PYTHON` names, else `python3`.
//!
//! Where it is missing the tests that want it say so and prove nothing; with `LARUM_CI=1` they fail.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;

/// A real mail server, a process of its own.
pub struct Real {
    process: Child,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python that has `module`; none, said aloud, where there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "which Python has other people's parts is the machine's matter"
)]
pub fn python_with(module: &str) -> Option<String> {
    let python = std::env::var("LARUM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = format!("import {module}");
    let found = Command::new(&python).args(["-c", &import]).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let told = format!("NOT TESTED: `{python}` has no {module}; install it, or set LARUM_PYTHON");
    assert!(std::env::var("LARUM_CI").as_deref() != Ok("1"), "{told}");
    println!("{told}");
    None
}

impl Real {
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let python = python_with("aiosmtpd")?;
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mailbox.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { process, port: line.trim().parse().unwrap(), folder })
    }

    /// Envelopes with their letters, in the order they came.
    #[expect(clippy::disallowed_methods, reason = "the server keeps its mail in files")]
    pub fn mail(&self) -> Vec<(Json, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "json"));
        names.sort();
        let read = |name: PathBuf| {
            let envelope = serde_json::from_slice(&std::fs::read(&name).unwrap()).unwrap();
            (envelope, std::fs::read(name.with_extension("eml")).unwrap())
        };
        names.into_iter().map(read).collect()
    }
}
