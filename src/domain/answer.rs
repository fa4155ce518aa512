//! The result of an attempt to send one message.

use crate::domain::personal;

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Accepted, under this message id.
    Accepted(String),
    /// Certainly not accepted: SES throttles.
    Throttled(String),
    /// Certainly not accepted: the daily quota is used up.
    QuotaExhausted(String),
    /// Certainly not accepted: the request never reached SES, or SES asks to repeat it.
    NotSent(String),
    /// Certainly not accepted: something other than SES turned the request away (a proxy, a firewall). This
    /// says nothing about the recipient.
    Intercepted(String),
    /// Certainly not accepted as part of a bulk call; sent singly, it gets an answer of its own.
    Singly(String),
    /// Certainly not accepted, and final for this recipient.
    Refused {
        /// SES's error code.
        code: String,
        /// SES's message.
        message: String,
    },
    /// Certainly not accepted, for a cause that holds for every recipient.
    Halt(String),
    /// It may have been accepted.
    Uncertain {
        /// `timed_out`, `connection_lost`, `unreadable_answer`, `no_message_id`, `http_` and the status, or SES's
        /// error code.
        code: String,
        /// What happened.
        message: String,
    },
}

impl Answer {
    pub(crate) fn uncertain(code: &str, message: &str) -> Answer {
        Answer::Uncertain { code: code.to_owned(), message: message.to_owned() }
    }

    /// The same text without addresses, which is logged, answered and stored as a reason.
    #[must_use]
    pub fn masked(mut self) -> Answer {
        let words = match &mut self {
            Answer::Accepted(_) => return self,
            Answer::Throttled(words)
            | Answer::QuotaExhausted(words)
            | Answer::NotSent(words)
            | Answer::Intercepted(words)
            | Answer::Singly(words)
            | Answer::Halt(words)
            | Answer::Refused { message: words, .. }
            | Answer::Uncertain { message: words, .. } => words,
        };
        *words = personal::masked(words).into_owned();
        self
    }

    pub(crate) fn unreadable(message: &str) -> Answer {
        Answer::uncertain("unreadable_answer", message)
    }
}
