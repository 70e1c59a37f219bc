//! A progress bar on stderr while files are read, when a terminal is there.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::show;

/// The bar, or nothing.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For reading `files`. Packed files and pipes do not say how long they are: then there is a
    /// count and no end.
    pub fn new(files: &[PathBuf]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()) };
        }
        let plain = |path: &Path| {
            let packed = path.extension().is_some_and(|ending| ending == "gz" || ending == "zst");
            (!packed)
                .then(|| path.metadata().ok())
                .flatten()
                .filter(std::fs::Metadata::is_file)
                .map(|data| data.len())
        };
        let total: Option<u64> = files.iter().map(|path| plain(path)).sum();
        let (bar, template) = match total {
            Some(total) => {
                (ProgressBar::new(total), "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}, {eta} left")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// So many bytes more were read; so many records in all.
    pub fn read(&mut self, bytes: u64, records: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.inc(bytes);
        self.bar.set_message(show::many_of(records, "record"));
    }

    /// Reading is over: the bar goes.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
