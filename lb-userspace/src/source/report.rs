//! Collects what is wrong with one object, each under the path of its field.

use crate::model::Problem;

/// The problems of one object.
#[derive(Clone, Debug)]
pub struct Report {
    subject: String,
    problems: Vec<Problem>,
}

impl Report {
    /// Nothing is wrong with `subject` so far.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), problems: Vec::new() }
    }

    /// `field` is not right: `message` says why and what happens instead.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let (subject, field) = (self.subject.clone(), field.into());
        self.problems.push(Problem { subject, field, message: message.into() });
    }

    /// `value`, or a sentence under `field` if there is none.
    pub fn need<T>(
        &mut self,
        value: Option<T>,
        field: &str,
        message: impl FnOnce() -> String,
    ) -> Option<T> {
        if value.is_none() {
            self.add(field, message());
        }
        value
    }

    /// Everything that was wrong, in the order found.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// `text` as it can stand in a sentence: in quotes, without control characters, not too long.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", short(text, 60).escape_debug())
}

/// The first `max` characters of `text`, and dots if that is not all.
pub fn short(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
