//! Text to Kubernetes objects: what `kubectl apply -f` would read, without an API server to ask.
//!
//! A file is cut into documents, each document into objects (a `List` has several), and each object
//! is typed on its own: what is broken in one harms no other, and a field of the wrong type harms
//! no other field. Kinds that mean nothing to a service
//! load balancer are passed over in silence, since people keep whole applications in one folder.
//! Limits keep a hostile file from taking the agent's memory or stack; nothing here can panic.

mod split;
mod yaml;
mod lenient;
mod unknown;
mod meant;
mod ingress;
mod object;

pub(crate) use object::{Key, Kind, Object};

use crate::model::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Documents of one file; more are left out.
const MAX_DOCUMENTS: usize = 10_000;

/// Odd fields of an object that are told: a file of nonsense must not make a thousand sentences.
const MAX_ODD: usize = 10;

/// One object of a file.
#[derive(Clone, Debug)]
pub(crate) enum Document {
    /// It could be read.
    Read(Read),
    /// It could not; `key` if at least kind and name could.
    Broken { key: Option<Key>, problem: Problem },
}

/// An object that could be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    pub(crate) key: Key,
    /// Where it stands: `kubia.yaml document 2 (Service default/kubia)`.
    pub(crate) subject: String,
    pub(crate) object: Object,
    /// What is odd about it, though it can be used.
    pub(crate) problems: Vec<Problem>,
    /// Fields that it was read without.
    pub(crate) lost: Vec<Problem>,
}

/// Every object of `text`, in order; `file` is its name in sentences.
pub(crate) fn read(file: &str, text: &str) -> Vec<Document> {
    let text = text.trim_start_matches('\u{feff}');
    if let Some(values) = yaml::json(text) {
        let numbered = (1..).zip(values);
        return numbered.flat_map(|(number, value)| objects(&at(file, number), value)).collect();
    }
    let mut documents = Vec::new();
    for (number, piece) in (1..).zip(split::split(text)) {
        if number > MAX_DOCUMENTS {
            let message = format!("has more than {MAX_DOCUMENTS} documents; the rest is left out");
            documents.push(broken(file, "", message));
            break;
        }
        documents.extend(piece_objects(&at(file, number), &piece));
    }
    documents
}

/// A field that is odd, and what about it.
pub(crate) type Odd = (String, String);

/// A value of type `T` in a text that an object carries, and fields of it that were left out or
/// that `T` does not have.
///
/// # Errors
/// It says something else; the sentence.
pub(crate) fn embedded<T: Serialize + DeserializeOwned>(
    text: &str,
) -> Result<(T, Vec<Odd>), String> {
    let value: Value = yaml::value(&split::Piece { text, lines_before: 0 })?;
    if !value.is_object() {
        return Err("is not a map of fields".to_owned());
    }
    let (object, lost) = lenient::read::<T>(&value).map_err(|lost| lost.message)?;
    let mut odd = odd(&value, &object, "it", |field| is_new(field, &lost));
    odd.extend(lost.into_iter().map(|lost| (lost.field, lost.message)));
    Ok((object, odd))
}

/// The field is not one of those that were left out, which have their sentence.
fn is_new(field: &str, lost: &[lenient::Lost]) -> bool {
    lost.iter().all(|lost| lost.field != *field)
}

/// The fields of `value` that matter and that `object`, which was read from it, does not have;
/// `what` it is called.
fn odd<T: Serialize + DeserializeOwned>(
    value: &Value,
    object: &T,
    what: &str,
    matters: impl Fn(&str) -> bool,
) -> Vec<Odd> {
    let known = serde_json::to_value(object);
    let mut fields = known.map(|known| unknown::fields(value, &known)).unwrap_or_default();
    fields.retain(|field| matters(field));
    fields.truncate(MAX_ODD);
    if fields.is_empty() {
        return Vec::new();
    }
    let all = meant::Fields::of::<T>(value);
    let sentence = |field: &str| {
        let meant = all.meant_by(field).map(|meant| format!("; {meant} is probably meant"));
        format!("is not a field of {what} and is ignored{}", meant.unwrap_or_default())
    };
    fields.into_iter().map(|field| (field.clone(), sentence(&field))).collect()
}

fn at(file: &str, number: usize) -> String {
    format!("{file} document {number}")
}

fn piece_objects(place: &str, piece: &split::Piece) -> Vec<Document> {
    match yaml::value(piece) {
        Ok(value) => objects(place, value),
        Err(message) => vec![broken(place, "", message)],
    }
}

/// The objects of one document: itself, or the items of a list, whatever its kind is called.
pub(crate) fn objects(place: &str, value: Value) -> Vec<Document> {
    if value.is_null() {
        return Vec::new();
    }
    let Some(list) = object::List::of(&value) else {
        return object::read(place, &value).into_iter().collect();
    };
    let items = (1..).zip(list.items());
    items.flat_map(|(number, item)| objects(&format!("{place} item {number}"), item)).collect()
}

fn broken(subject: &str, field: &str, message: impl Into<String>) -> Document {
    let (subject, field) = (subject.to_owned(), field.to_owned());
    Document::Broken { key: None, problem: Problem { subject, field, message: message.into() } }
}
