//! Collects what is wrong with one object, each under the path of its field.
//!
//! Fields that could not even be read have had their sentence before; what is found in their
//! place, or missing there, is not worth another one.

use crate::model::{Obstacle, Problem, Unusable};

/// How sentences end about what an API server would refuse and kube-proxy would not.
pub(crate) const AS_WRITTEN: &str = "an API server would refuse it; it is served as written";

/// The problems of one object.
#[derive(Clone, Debug)]
pub struct Report {
    subject: String,
    problems: Vec<Problem>,
    /// Fields that could not be read.
    lost: Vec<Problem>,
    unusable: Vec<Unusable>,
}

impl Report {
    /// Nothing is wrong with `subject` so far.
    pub fn new(subject: impl Into<String>) -> Self {
        let (problems, lost, unusable) = (Vec::new(), Vec::new(), Vec::new());
        Self { subject: subject.into(), problems, lost, unusable }
    }

    /// The object was read without the fields of `lost`, which has said so.
    #[must_use]
    pub fn without(self, lost: &[Problem]) -> Self {
        Self { lost: lost.to_vec(), ..self }
    }

    /// `field` is not right: `message` says why and what happens instead.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let field = field.into();
        if self.lost(&field).is_none() {
            let (subject, message) = (self.subject.clone(), message.into());
            self.problems.push(Problem { subject, field, message });
        }
    }

    /// As `add`, and what `field` names, `text`, cannot be used.
    pub fn refuse(&mut self, field: &str, text: impl Into<String>, message: impl Into<String>) {
        let message = message.into();
        let why = self.lost(field).map_or_else(|| message.clone(), |lost| lost.message.clone());
        self.leave_out(field, text, Obstacle::Invalid(why));
        self.add(field, message);
    }

    /// What `field` names, `text`, cannot be used, and there is nothing wrong about that.
    pub fn leave_out(&mut self, field: &str, text: impl Into<String>, why: Obstacle) {
        self.unusable.push(Unusable { field: field.to_owned(), text: text.into(), why });
    }

    /// The sentence about `field`, or what it is a part of, if that could not be read.
    pub fn lost(&self, field: &str) -> Option<&Problem> {
        let is_part = |whole: &str| {
            let rest = field.strip_prefix(whole);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.lost.iter().find(|lost| is_part(&lost.field))
    }

    /// What cannot be used, as far as found since this was asked last.
    pub fn take_unusable(&mut self) -> Vec<Unusable> {
        std::mem::take(&mut self.unusable)
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
