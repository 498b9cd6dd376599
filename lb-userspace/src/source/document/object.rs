//! A tree of values to a typed object, if it is of a kind that matters here.

use crate::model::{ObjectName, Problem};
use crate::source::convert::field::DEFAULT_NAMESPACE;
use crate::source::document::lenient::{self, Lost};
use crate::source::document::{Document, Read, broken, unknown};
use crate::source::report::{quoted, short};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// Slices were found under it up to Kubernetes 1.24, in another form.
const OLD_SLICES: &str = "discovery.k8s.io/v1beta1";

/// A kind that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Service,
    Endpoints,
    EndpointSlice,
    Pod,
    Node,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Service, Self::Endpoints, Self::EndpointSlice, Self::Pod, Self::Node];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Endpoints => "Endpoints",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::Node => "Node",
        }
    }

    fn api_version(self) -> &'static str {
        if self == Self::EndpointSlice { "discovery.k8s.io/v1" } else { "v1" }
    }
}

/// What makes two objects the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    /// The namespace of a Node is empty.
    pub(crate) name: ObjectName,
}

impl Key {
    fn of(kind: Kind, value: &Value) -> Option<Self> {
        let text = |pointer| {
            value.pointer(pointer).and_then(Value::as_str).filter(|text: &&str| !text.is_empty())
        };
        let namespace = match (kind, value.pointer("/metadata/namespace")) {
            (Kind::Node, _) => "",
            (_, None | Some(Value::Null)) => DEFAULT_NAMESPACE,
            (_, Some(namespace)) => Some(namespace.as_str()?)
                .filter(|text| !text.is_empty())
                .unwrap_or(DEFAULT_NAMESPACE),
        };
        let name = ObjectName::new(namespace, text("/metadata/name")?);
        Some(Self { kind, name })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (self.kind.name(), short(&self.name.name, 253));
        let name = name.escape_debug();
        match self.kind {
            Kind::Node => write!(f, "{kind} {name}"),
            Kind::Service | Kind::Endpoints | Kind::EndpointSlice | Kind::Pod => {
                write!(f, "{kind} {}/{name}", short(&self.name.namespace, 253).escape_debug())
            }
        }
    }
}

/// A typed object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Service(Box<Service>),
    Endpoints(Box<Endpoints>),
    EndpointSlice(Box<EndpointSlice>),
    Pod(Box<Pod>),
    Node(Box<Node>),
}

/// The object in `value`; `None` if its kind does not matter here.
pub(crate) fn read(place: &str, value: &Value) -> Option<Document> {
    let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    if kind.is_empty() {
        return Some(broken(place, "kind", "is missing, so this is not a Kubernetes object"));
    }
    let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == kind) else {
        tracing::debug!(place, kind, "kind is not for this agent");
        return None;
    };
    of_version(place, api_version, kind, value)
}

fn of_version(place: &str, api_version: &str, kind: Kind, value: &Value) -> Option<Document> {
    let key = Key::of(kind, value);
    let subject = match &key {
        Some(key) => format!("{place} ({key})"),
        None => format!("{place} ({})", kind.name()),
    };
    let own = kind.api_version();
    match api_version {
        "" => Some(
            typed(subject, key, kind, value)
                .noting("apiVersion", format!("is missing; taken as {own}")),
        ),
        version if version == own => Some(typed(subject, key, kind, value)),
        OLD_SLICES => {
            let message = format!("{OLD_SLICES} is gone since Kubernetes 1.25, write {own}");
            Some(Document::Broken { key, problem: problem(&subject, "apiVersion", message) })
        }
        other => {
            tracing::debug!(
                subject,
                api_version = quoted(other),
                "API version is not for this agent"
            );
            None
        }
    }
}

impl Document {
    fn noting(mut self, field: &str, message: String) -> Self {
        if let Self::Read(read) = &mut self {
            read.problems.push(problem(&read.subject, field, message));
        }
        self
    }
}

fn typed(subject: String, key: Option<Key>, kind: Kind, value: &Value) -> Document {
    let parsed = match kind {
        Kind::Service => parse(value).map(|parsed| parsed.into(Object::Service)),
        Kind::Endpoints => parse(value).map(|parsed| parsed.into(Object::Endpoints)),
        Kind::EndpointSlice => parse(value).map(|parsed| parsed.into(Object::EndpointSlice)),
        // People write much into these that does not matter here.
        Kind::Pod => parse(value).map(|parsed| parsed.knowing_all().into(Object::Pod)),
        Kind::Node => parse(value).map(|parsed| parsed.knowing_all().into(Object::Node)),
    };
    match (parsed, key) {
        (Ok(Parsed { object, odd, lost }), Some(key)) => {
            let message = format!("is not a field of {} and is ignored", kind.name());
            let problems =
                odd.iter().map(|field| problem(&subject, field, message.as_str())).collect();
            let lost = lost
                .into_iter()
                .map(|Lost { field, message }| problem(&subject, &field, message))
                .collect();
            Document::Read(Read { key, subject, object, problems, lost })
        }
        (Ok(_), None) => {
            let problem =
                problem(&subject, "metadata.name", "is missing, so the object is ignored");
            Document::Broken { key: None, problem }
        }
        (Err(Lost { field, message }), key) => {
            Document::Broken { key, problem: problem(&subject, &field, message) }
        }
    }
}

/// A typed object, the fields that its type does not know, and those that could not be read.
struct Parsed<T> {
    object: T,
    odd: Vec<String>,
    lost: Vec<Lost>,
}

impl<T> Parsed<Box<T>> {
    fn into(self, kind: impl Fn(Box<T>) -> Object) -> Parsed<Object> {
        Parsed { object: kind(self.object), odd: self.odd, lost: self.lost }
    }

    fn knowing_all(self) -> Self {
        Self { odd: Vec::new(), ..self }
    }
}

fn parse<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Parsed<Box<T>>, Lost> {
    let (object, lost) = lenient::read::<T>(value)?;
    let known = serde_json::to_value(&object);
    let mut odd = known.map(|known| unknown::fields(value, &known)).unwrap_or_default();
    odd.retain(|field| lost.iter().all(|lost| lost.field != *field));
    Ok(Parsed { object: Box::new(object), odd, lost })
}

fn problem(subject: &str, field: &str, message: impl Into<String>) -> Problem {
    Problem { subject: subject.to_owned(), field: field.to_owned(), message: message.into() }
}

/// `kind: List`, or a typed list as `kubectl get --raw` prints it, whose items lack their own kind.
pub(crate) struct List<'a> {
    items: &'a [Value],
    kind: &'a str,
    api_version: &'a str,
}

impl<'a> List<'a> {
    pub(crate) fn of(value: &'a Value) -> Option<Self> {
        let kind = value.get("kind")?.as_str()?.strip_suffix("List")?;
        let items = value.get("items")?.as_array()?;
        let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        Some(Self { items, kind, api_version })
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Value> {
        self.items.iter().cloned().map(|mut item| {
            if let Some(fields) = item.as_object_mut().filter(|_| !self.kind.is_empty()) {
                fields.entry("kind").or_insert_with(|| self.kind.into());
                fields.entry("apiVersion").or_insert_with(|| self.api_version.into());
            }
            item
        })
    }
}
