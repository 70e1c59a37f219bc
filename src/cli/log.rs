//! What the daemon says of its work, on stderr: lines for people, or JSON for machines.

use tracing_subscriber::EnvFilter;

use super::show;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Log {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    /// Begins to log. `LARUM_LOG` says what, in the manner of `info,larum::source=debug`.
    pub fn begin(self) {
        #[expect(clippy::disallowed_methods, reason = "how much is logged is read at this edge")]
        let wish = std::env::var("LARUM_LOG").unwrap_or_else(|_| "info".to_owned());
        let filter = EnvFilter::try_new(&wish).unwrap_or_else(|error| {
            let error = show::safe(&error.to_string());
            show::note(&format!("warning: LARUM_LOG cannot be read ({error}); logging at info"));
            EnvFilter::new("info")
        });
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // A line that cannot be written is lost: to say so on the same stream, which is full or closed, ends the process.
        let lines = lines.log_internal_errors(false);
        match self {
            // A record's text may stand in a line: no colour means no escape of any kind is passed on.
            Self::Text => lines.with_ansi(show::colour_on_stderr()).with_target(false).init(),
            Self::Json => lines.json().flatten_event(true).init(),
        }
    }
}
