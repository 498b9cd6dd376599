//! What came out of a scenario: one line for everything that was expected.

use super::scenario::Scenario;
use crate::model::Problem;
use serde::Serialize;
use serde_json::Value;

/// What came out of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub id: String,
    /// What it is about.
    #[serde(skip)]
    pub title: String,
    /// How many checks came out as expected.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
    /// Everything that was expected: packets, flows, answers and facts, in the file's order.
    #[serde(rename = "packets")]
    pub checks: Vec<Check>,
    /// What cannot be done as the objects want it.
    pub problems: Vec<Problem>,
}

/// One thing that was expected.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What it is, with the step that it belongs to.
    pub name: String,
    /// What the file says.
    pub expected: Value,
    /// What was seen, in the same form.
    pub actual: Value,
    /// They agree.
    pub ok: bool,
    /// What was seen, in few words.
    #[serde(skip)]
    pub summary: String,
    /// From whom to whom, or what else helps to find it in the file; may be empty.
    #[serde(skip)]
    pub about: String,
    /// Where they differ: sentences.
    #[serde(skip)]
    pub differences: Vec<String>,
}

impl Report {
    /// Counts `checks`.
    pub(super) fn new(scenario: &Scenario, checks: Vec<Check>, problems: Vec<Problem>) -> Self {
        let passed = checks.iter().filter(|check| check.ok).count();
        let failed = checks.len() - passed;
        let (id, title) = (scenario.id.clone(), scenario.title.clone());
        Self { id, title, passed, failed, checks, problems }
    }
}

impl Check {
    /// A fact: `actual` must be `expected`.
    pub(super) fn fact<T: Serialize + PartialEq>(
        name: impl Into<String>,
        expected: &T,
        actual: &T,
    ) -> Self {
        Self::of(name, json(expected), json(actual), expected == actual)
    }

    /// As a fact, where `ok` is decided otherwise.
    pub(super) fn of(name: impl Into<String>, expected: Value, actual: Value, ok: bool) -> Self {
        let differences = if ok {
            Vec::new()
        } else {
            vec![format!("expected {expected}"), format!("actual   {actual}")]
        };
        Self {
            name: name.into(),
            summary: short(&actual),
            about: String::new(),
            expected,
            actual,
            ok,
            differences,
        }
    }

    /// The same within a step that has this name.
    pub(super) fn within(mut self, step: &str) -> Self {
        self.name.insert_str(0, step);
        self
    }
}

/// A value as `-o json` prints it.
pub(super) fn json<T: Serialize>(value: &T) -> Value {
    // Maps of the format have text for keys, so there is nothing that could fail.
    serde_json::to_value(value).unwrap_or_default()
}

/// A value in so few characters that it fits into a line; nothing, if it does not.
fn short(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() > MOST { String::new() } else { text }
}
