//! The text of a file to a [`Scenario`].
//!
//! Strict: a field that nobody knows, a word that means nothing or an object of another kind is an
//! error of the file, with its place and what was expected there. Nothing is judged that was not
//! understood, and nothing is left out in silence. What is odd about an object without making it
//! unreadable is a problem of the object, as with any other source.

/// Fields that contradict one another.
mod coherent;

use super::expect::Expectations;
use super::scenario::{Head, Op, Scenario, Step};
use crate::model::{Change, Problem};
use crate::source::{Delivered, delivered};
use coherent::coherent;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt;

/// Why a file cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// Where in the file: a path such as `packets[2].proto`, or a line; empty: the whole.
    pub place: String,
    /// What is wrong there, and what was expected.
    pub message: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, message } = self;
        if place.is_empty() { f.write_str(message) } else { write!(f, "{place}: {message}") }
    }
}

impl std::error::Error for BadFile {}

impl Scenario {
    /// The scenario in `text`; it is called `name` if it does not name itself.
    ///
    /// # Errors
    /// The text is no JSON, or no scenario.
    pub fn read(name: &str, text: &str) -> Result<Self, BadFile> {
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| not_json(&error))?;
        let (head, start): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(field, _)| Head::FIELDS.contains(&field.as_str()));
        let head: Head = typed(Value::Object(head), "")?;
        let mut steps = vec![step(start, "")?];
        if let Some(start) = steps.first_mut() {
            start.changes.splice(0..0, objects(&head.objects)?);
        }
        for (number, fields) in head.then.into_iter().enumerate() {
            steps.push(step(fields, &format!("then[{number}]"))?);
        }
        let node = head.node.completed();
        coherent(&node, &steps)?;
        Ok(Self {
            id: head.id.unwrap_or_else(|| name.to_owned()),
            title: head.title.unwrap_or_default(),
            node,
            steps,
        })
    }
}

fn not_json(error: &serde_json::Error) -> BadFile {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let place = format!("line {}, column {}", error.line(), error.column());
    BadFile { place, message: format!("{message} (a scenario is one JSON object)") }
}

/// What `value` says; it stands at `place`.
fn typed<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, BadFile> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { &path };
        BadFile { place: joined(place, path), message: error.inner().to_string() }
    })
}

fn joined(place: &str, path: &str) -> String {
    match (place, path) {
        ("", path) => path.to_owned(),
        (place, "") => place.to_owned(),
        (place, path) if path.starts_with('[') => format!("{place}{path}"),
        (place, path) => format!("{place}.{path}"),
    }
}

/// A step with all that is expected of it.
fn step(fields: Map<String, Value>, place: &str) -> Result<Step, BadFile> {
    let (expected, fields): (Map<_, _>, Map<_, _>) =
        fields.into_iter().partition(|(field, _)| field.starts_with(Expectations::PREFIX));
    let known = |field: &&String| !Step::FIELDS.contains(&field.as_str());
    if let Some(field) = fields.keys().find(known) {
        let mut expected: Vec<&str> = Step::FIELDS.to_vec();
        if place.is_empty() {
            expected.extend(Head::FIELDS);
        }
        let message = format!("unknown field, expected one of {}", expected.join(", "));
        return Err(BadFile { place: joined(place, field), message });
    }
    let mut step: Step = typed(Value::Object(fields), place)?;
    step.expected = typed(Value::Object(expected), place)?;
    for (number, event) in step.events.iter().enumerate() {
        let place = joined(place, &format!("events[{number}].object"));
        let objects = object(&event.object, &place)?;
        step.changes.extend(objects.into_iter().map(|object| happened(event.op, object)));
    }
    Ok(step)
}

/// An object that is gone is known by its name only.
fn happened(op: Op, object: Delivered) -> Delivered {
    if op != Op::Delete {
        return object;
    }
    let change = match object.change {
        Change::Service(name, _) => Change::Service(name, None),
        Change::Slice(name, _) => Change::Slice(name, None),
        other @ (Change::Node(_) | Change::Watched(..) | Change::Problems(_) | Change::Synced) => {
            other
        }
    };
    Delivered { change, problems: Vec::new() }
}

fn objects(list: &[Value]) -> Result<Vec<Delivered>, BadFile> {
    let mut objects = Vec::new();
    for (number, value) in list.iter().enumerate() {
        objects.extend(object(value, &format!("objects[{number}]"))?);
    }
    Ok(objects)
}

fn object(value: &Value, place: &str) -> Result<Vec<Delivered>, BadFile> {
    delivered(value)
        .map_err(|Problem { field, message, .. }| BadFile { place: joined(place, &field), message })
}
