//! A tree of values to a typed object, if it is of a kind that matters here.

use crate::model::{ObjectName, Problem};
use crate::source::convert::field::DEFAULT_NAMESPACE;
use crate::source::document::ingress;
use crate::source::document::lenient::{self, Lost};
use crate::source::document::{Document, Odd, Read, broken, is_new, meant, odd};
use crate::source::report::{quoted, short};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// Slices were found under it up to Kubernetes 1.24, in another form.
const OLD_SLICES: &str = "discovery.k8s.io/v1beta1";

/// The part of a Pod that is checked.
const PROBE: &str = "readinessProbe";

/// A kind that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Service,
    Endpoints,
    EndpointSlice,
    Pod,
    Node,
    Ingress,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Service, Self::Endpoints, Self::EndpointSlice, Self::Pod, Self::Node, Self::Ingress];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Endpoints => "Endpoints",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::Ingress => "Ingress",
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Ingress => "networking.k8s.io/v1",
            Self::Service | Self::Endpoints | Self::Pod | Self::Node => "v1",
        }
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
            Kind::Service | Kind::Endpoints | Kind::EndpointSlice | Kind::Pod | Kind::Ingress => {
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
    Ingress(Box<Ingress>),
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
        old if kind == Kind::Ingress && ingress::VERSIONS.contains(&old) => {
            Some(document(subject, key, old_ingress(value)))
        }
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
        Kind::Service => parse(value, kind, all).map(|parsed| parsed.into(Object::Service)),
        Kind::Endpoints => parse(value, kind, all).map(|parsed| parsed.into(Object::Endpoints)),
        Kind::EndpointSlice => {
            parse(value, kind, all).map(|parsed| parsed.into(Object::EndpointSlice))
        }
        // People write much into these that does not matter here.
        Kind::Pod => parse(value, kind, is_of_probe).map(|parsed| parsed.into(Object::Pod)),
        Kind::Node => parse(value, kind, |_| false).map(|parsed| parsed.into(Object::Node)),
        Kind::Ingress => parse(value, kind, all).map(|parsed| parsed.into(Object::Ingress)),
    };
    document(subject, key, parsed)
}

fn all(_: &str) -> bool {
    true
}

/// A field of a readiness probe, or of a container that should probably be one.
fn is_of_probe(path: &str) -> bool {
    let Some((container, name)) = path.rsplit_once('.') else { return false };
    let of_container =
        container.starts_with("spec.containers[") || container.starts_with("spec.initContainers[");
    let is_own = container.ends_with(']') && container.matches('.').count() == 1;
    of_container && (path.contains(".readinessProbe.") || (is_own && meant::is_near(name, PROBE)))
}

/// The old form is checked as it is written, and goes on in the new one.
fn old_ingress(value: &Value) -> Result<Parsed<Object>, Lost> {
    let old = parse::<ingress::Ingress>(value, Kind::Ingress, all)?;
    let Parsed { object, odd, lost } = old;
    Ok(Parsed { object: Object::Ingress(Box::new((*object).into())), odd, lost })
}

fn document(subject: String, key: Option<Key>, parsed: Result<Parsed<Object>, Lost>) -> Document {
    match (parsed, key) {
        (Ok(Parsed { object, odd, lost }), Some(key)) => {
            let problems =
                odd.iter().map(|(field, message)| problem(&subject, field, message.as_str()));
            let problems = problems.collect();
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
    odd: Vec<Odd>,
    lost: Vec<Lost>,
}

impl<T> Parsed<Box<T>> {
    fn into(self, kind: impl Fn(Box<T>) -> Object) -> Parsed<Object> {
        Parsed { object: kind(self.object), odd: self.odd, lost: self.lost }
    }
}

fn parse<T: DeserializeOwned + Serialize>(
    value: &Value,
    kind: Kind,
    matters: impl Fn(&str) -> bool,
) -> Result<Parsed<Box<T>>, Lost> {
    let (object, lost) = lenient::read::<T>(value)?;
    let odd = odd(value, &object, kind.name(), |field| is_new(field, &lost) && matters(field));
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
