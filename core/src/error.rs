//! The one error type of the codec: a kind that a program can act on and a sentence for people.

use std::fmt;

/// What went wrong, in classes that a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The stream was written by a newer version or with a feature that this build lacks.
    Compatibility,
    /// The stream is damaged or was never an Augur stream.
    Corruption,
    /// The stream ends before it is complete.
    InsufficientData,
    /// A parameter makes no sense: bound, shape, type, or a stream that does not fit them.
    InvalidArgument,
}

/// An error of the codec: kind and explanation (what was wrong, what was expected).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Result with the codec's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The explanation, one sentence without a final stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// An [`ErrorKind::Compatibility`] error.
    pub fn compatibility(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Compatibility, message: message.into() }
    }

    /// An [`ErrorKind::Corruption`] error.
    pub fn corruption(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Corruption, message: message.into() }
    }

    /// An [`ErrorKind::InsufficientData`] error.
    pub fn insufficient(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InsufficientData, message: message.into() }
    }

    /// An [`ErrorKind::InvalidArgument`] error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidArgument, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
