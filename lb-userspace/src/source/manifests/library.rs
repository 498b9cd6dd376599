//! What is known of each file: its objects as they are, or as they were when they could last be
//! read. A mistake while typing must not take a Service away.

use crate::model::Problem;
use crate::source::controllers::{Found, Objects};
use crate::source::document::{self, Document, Key, Object, Read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Library {
    files: BTreeMap<PathBuf, Shelf>,
}

/// One file.
#[derive(Clone, Debug, Default)]
struct Shelf {
    /// Objects that can be read now.
    fresh: Vec<Read>,
    /// Objects that could be read once and are broken now.
    kept: Vec<Read>,
    problems: Vec<Problem>,
    /// Something in it cannot be read, so nobody knows what is missing.
    broken: bool,
}

impl Library {
    /// File `path` is now `text`, or cannot be read for the reason given.
    pub(crate) fn update(&mut self, path: &Path, text: Result<String, String>) {
        let name = path.to_string_lossy().escape_debug().to_string();
        let documents = match text {
            Ok(text) => document::read(&name, &text),
            Err(message) => {
                let problem = Problem { subject: name, field: String::new(), message };
                vec![Document::Broken { key: None, problem }]
            }
        };
        let before = self.files.remove(path).unwrap_or_default();
        self.files.insert(path.to_owned(), Shelf::new(documents, before));
    }

    /// Forgets the files that `keep` does not know.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Path) -> bool) {
        self.files.retain(|path, _| keep(path));
    }

    /// True if all files could be read, so that what is not there does not exist.
    pub(crate) fn is_whole(&self) -> bool {
        self.files.values().all(|shelf| !shelf.broken)
    }

    /// Every object once. The first by path and place wins; one that is only kept gives way to any
    /// that can be read.
    pub(crate) fn objects(&self) -> (Objects, Vec<Problem>) {
        let mut problems: Vec<Problem> =
            self.files.values().flat_map(|shelf| shelf.problems.iter().cloned()).collect();
        let mut chosen: BTreeMap<&Key, &Read> = BTreeMap::new();
        for read in self.files.values().flat_map(|shelf| &shelf.fresh) {
            match chosen.get(&read.key) {
                Some(first) => problems.push(second(read, first)),
                None => drop(chosen.insert(&read.key, read)),
            }
        }
        for read in self.files.values().flat_map(|shelf| &shelf.kept) {
            chosen.entry(&read.key).or_insert(read);
        }
        let mut objects = Objects::default();
        for read in chosen.into_values() {
            problems.extend(read.problems.iter().chain(&read.lost).cloned());
            shelve(read, &mut objects);
        }
        (objects, problems)
    }
}

impl Shelf {
    /// Keeps of `before` what `documents` have in a form that cannot be read: the object of that
    /// name, or all that is not there under another document, if even the name cannot be read.
    fn new(documents: Vec<Document>, before: Self) -> Self {
        let mut shelf = Self::default();
        let mut lost = Vec::new();
        for document in documents {
            match document {
                Document::Read(read) => shelf.fresh.push(read),
                Document::Broken { key, problem } => {
                    shelf.problems.push(problem);
                    lost.push(key);
                }
            }
        }
        shelf.broken = !lost.is_empty();
        let is_lost =
            |key: &Key| lost.iter().any(|lost| lost.as_ref().is_none_or(|lost| lost == key));
        let is_fresh = |key: &Key| shelf.fresh.iter().any(|read| read.key == *key);
        let known = before.fresh.into_iter().chain(before.kept);
        shelf.kept = known.filter(|read| is_lost(&read.key) && !is_fresh(&read.key)).collect();
        shelf
    }
}

fn second(read: &Read, first: &Read) -> Problem {
    let message = format!("is defined by {} already; this one is ignored", first.subject);
    Problem { subject: read.subject.clone(), field: String::new(), message }
}

fn shelve(read: &Read, objects: &mut Objects) {
    let name = read.key.name.clone();
    match &read.object {
        Object::Service(object) => objects.services.extend(found(name, read, object.as_ref())),
        Object::Endpoints(object) => objects.endpoints.extend(found(name, read, object.as_ref())),
        Object::EndpointSlice(object) => objects.slices.extend(found(name, read, object.as_ref())),
        Object::Pod(object) => objects.pods.extend(found(name, read, object.as_ref())),
        Object::Ingress(object) => objects.ingresses.extend(found(name, read, object.as_ref())),
        Object::Node(object) => objects.nodes.extend(found(name.name, read, object.as_ref())),
    }
}

/// One entry for `extend`.
fn found<K, T: Clone>(name: K, read: &Read, object: &T) -> [(K, Found<T>); 1] {
    let (subject, lost) = (read.subject.clone(), read.lost.clone());
    [(name, Found { subject, object: object.clone(), lost })]
}
