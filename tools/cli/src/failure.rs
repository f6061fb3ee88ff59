//! How a run of the command ends when not well: a sentence for people and an exit status for scripts.

use std::fmt;

/// Exit status when a promise is broken: an error bound, a damaged chunk, a host that lacks the plugin.
pub const BROKEN: u8 = 1;
/// Exit status for wrong usage and for everything that stops the command.
pub const FAILED: u8 = 2;

/// Why the command stops.
#[derive(Debug)]
pub struct Failure {
    message: String,
    status: u8,
}

/// Result with the command's [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with exit status [`FAILED`].
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: FAILED }
    }

    /// A broken promise, exit status [`BROKEN`].
    pub fn broken(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: BROKEN }
    }

    /// The end that a signal asked for, with the exit status that shells give it.
    pub fn interrupted(signal: u8) -> Self {
        Self { message: "interrupted".into(), status: 128 + signal }
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The same failure, with what was being done in front.
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<augur_core::Error> for Failure {
    fn from(e: augur_core::Error) -> Self {
        Self::new(e.to_string())
    }
}
