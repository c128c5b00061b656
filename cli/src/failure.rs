//! Why a command ends without having done its work.

use iotdec_bridge::dynamic::CallError;
use std::fmt::Display;
use std::process::ExitCode;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// One line: the cause, and what to do about it.
    Error(String),
    /// A signal asked us to stop; that needs no explanation.
    Interrupted,
}

impl Failure {
    /// A failure with its remedy, which is a sentence of its own.
    pub fn new(cause: impl Display, remedy: impl Display) -> Self {
        let cause = cause.to_string();
        Self::Error(format!("{}. {remedy}", cause.trim_end_matches('.')))
    }

    /// What the process returns to its parent.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Error(_) => ExitCode::FAILURE,
            // As a shell reports a program that SIGINT ended.
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

/// Its text says what to do, where something can be done.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Error(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_and_remedy_are_two_sentences() {
        let failure = Failure::new("It broke.", "Mend it.");
        let Failure::Error(text) = failure else {
            panic!("{failure:?}");
        };
        assert_eq!(text, "It broke. Mend it.");
    }
}
