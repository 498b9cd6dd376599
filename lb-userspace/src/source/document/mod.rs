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
mod object;

pub(crate) use object::{Key, Object};

use crate::model::Problem;
use serde_json::Value;

/// Documents of one file; more are left out.
const MAX_DOCUMENTS: usize = 10_000;

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
