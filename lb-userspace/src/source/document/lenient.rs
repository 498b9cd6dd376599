//! A tree of values to a typed object, without the fields that have another type than they should.
//!
//! The API server would refuse the whole object. Here each such field is named, its value is taken
//! out, or something harmless is put in its place where the places of its neighbours depend on
//! it, and the rest is read again. Text is wanted in labels, annotations and selectors: a number
//! there is taken as it would be written, because a selector that lost a part would select more.

use crate::source::report::{quoted, short};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};
use std::borrow::Cow;

/// After so many wrong fields the object as a whole is none.
const MAX_FIELDS: usize = 32;

/// Values that can stand in a list for one that cannot be read, whatever the list is of.
const NEUTRAL: [fn() -> Value; 5] = [
    || Value::from(""),
    || Value::Object(Map::new()),
    || Value::from(0),
    || Value::from(false),
    || Value::Array(Vec::new()),
];

/// Fields without which this would be another object, or none: nothing can stand for them, and
/// what could be read before is better than what is left.
const ESSENTIAL: [&[&str]; 10] = [
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["spec"],
    &["spec", "ports"],
    &["spec", "selector"],
    &["addressType"],
    &["endpoints"],
    &["ports"],
    &["subsets"],
];

/// Maps of texts.
const TEXTS: [&[&str]; 3] =
    [&["metadata", "labels"], &["metadata", "annotations"], &["spec", "selector"]];

/// A field that could not be read: its path, and what is wrong and was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) field: String,
    pub(super) message: String,
}

/// The object in `value`, and the fields that it was read without; or the field because of which
/// it cannot be read at all.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<(T, Vec<Lost>), Lost> {
    let mut value = Cow::Borrowed(value);
    let mut lost = Vec::<Lost>::new();
    let mut tries = 0;
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(value.as_ref()) {
            Ok(object) => return Ok((object, lost)),
            Err(error) => error,
        };
        let field = name(error.path());
        let wrong = short(&error.inner().to_string(), 300);
        // The same field again: what was put in its place did not fit either.
        let again = lost.last().is_some_and(|last| last.field == field);
        tries = if again { tries + 1 } else { 0 };
        match repair(value.to_mut(), error.path(), tries) {
            Some(_) if again => {}
            Some(done) if lost.len() < MAX_FIELDS => {
                lost.push(Lost { field, message: format!("{wrong}; {done}") });
            }
            _ => return Err(Lost { field, message: wrong }),
        }
    }
}

/// `spec.ports[0].port`; empty for the whole.
fn name(path: &Path) -> String {
    let name = path.to_string();
    if name == "." { String::new() } else { short(&name, 300).escape_debug().to_string() }
}

/// Changes the value at `path` so that the rest can be read, and says how; the first, second,
/// third way, by `tries`. `None`: there is none.
fn repair(value: &mut Value, path: &Path, tries: usize) -> Option<String> {
    let segments: Vec<&Segment> = path.iter().collect();
    let keys: Vec<&str> = segments.iter().copied().map_while(key).collect();
    if keys.len() == segments.len() && ESSENTIAL.contains(&keys.as_slice()) {
        return None;
    }
    let (last, parents) = segments.split_last()?;
    let parent = parents.iter().try_fold(value, |value, segment| child(value, segment))?;
    match last {
        Segment::Map { key } if is_text(&keys) && tries == 0 => {
            let place = parent.get_mut(key)?;
            let text = text(place);
            *place = Value::String(text.clone());
            Some(format!("taken as {}", quoted(&text)))
        }
        Segment::Map { key } if tries == 0 => {
            parent.as_object_mut()?.remove(key)?;
            Some("it is ignored".to_owned())
        }
        Segment::Seq { index } => {
            *parent.get_mut(*index)? = NEUTRAL.get(tries)?();
            Some("it is ignored".to_owned())
        }
        Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn key(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Map { key } => Some(key),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn child<'a>(value: &'a mut Value, segment: &Segment) -> Option<&'a mut Value> {
    match segment {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(index),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// Whether these keys lead to an entry of a map of texts.
fn is_text(keys: &[&str]) -> bool {
    keys.split_last().is_some_and(|(_, map)| TEXTS.contains(&map))
}

/// A number or truth value as it is written; nothing else can be text.
fn text(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}
