//! Everything that can go wrong for a reason a user can act on.

use std::path::PathBuf;

/// The result of whatever can fail for a user's reason.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that a user can act on; each message says what and where.
///
/// Wrong shapes inside a loaded model are bugs and panic instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request or an option makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A field of a request has a value that makes no sense, or one that is not supported.
    #[error("`{name}` {what}")]
    Parameter {
        /// The field.
        name: String,
        /// What is wrong with its value.
        what: String,
    },
    /// The prompt and the answer do not fit the context.
    #[error(
        "the prompt has {prompt} tokens, but the context holds {context}: use a longer --ctx or a shorter prompt"
    )]
    ContextExceeded {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that a sequence may have.
        context: usize,
    },
    /// No such model, or a file of it is missing.
    #[error("{0}")]
    NotFound(String),
    /// A file cannot be read for the operating system's reasons.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file breaks the rules of its format.
    #[error("{file}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong in it, with the offset or the tensor.
        what: String,
    },
    /// A well-formed file asks for something tiefsee does not have.
    #[error("{file}: {what}")]
    Unsupported {
        /// The file.
        file: String,
        /// What it asks for, and what there is.
        what: String,
    },
    /// The chat template does not compile, fails, or runs without end.
    #[error("chat template: {0}")]
    Template(String),
    /// No adapter can run tiefsee, with what was seen and why each was refused.
    #[error("{0}")]
    NoAdapter(String),
    /// The model does not fit the device.
    #[error("{0}")]
    DoesNotFit(String),
    /// The device went away while it was working.
    #[error("the GPU was lost: {0}")]
    DeviceLost(String),
    /// The model's scores are not numbers, so no token can be chosen.
    #[error("the model gave scores that are not numbers (at token {position} of the sequence)")]
    NonFinite {
        /// Where in the sequence it was noticed.
        position: usize,
    },
    /// A server cannot listen where it should.
    #[error("{address}: {source}")]
    Address {
        /// Where.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The GPU or its driver failed in a way that has no name.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// The exit status of a program that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Internal(_) | Self::DeviceLost(_) | Self::NonFinite { .. } => 1,
            Self::Usage(_) | Self::Parameter { .. } | Self::ContextExceeded { .. } => 2,
            Self::NotFound(_) | Self::Io { .. } => 3,
            Self::Damaged { .. } | Self::Unsupported { .. } | Self::Template(_) => 4,
            Self::NoAdapter(_) => 5,
            Self::DoesNotFit(_) => 6,
            Self::Address { .. } => 9,
        }
    }

    /// A file that breaks the rules of its format.
    pub(crate) fn damaged(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.into(),
            what: what.into(),
        }
    }

    /// A file that asks for something tiefsee does not have.
    pub(crate) fn unsupported(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unsupported {
            file: file.into(),
            what: what.into(),
        }
    }
}
