//! One kind of objects, listed and watched for ever.

use super::delay::Delay;
use crate::model::ObjectName;
use ::kube::api::{Api, ApiResource, DynamicObject};
use ::kube::runtime::watcher::{self, Config, Error, Event};
use ::kube::{Client, ResourceExt as _};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Service,
    EndpointSlice,
    /// Only the agent's own.
    Node,
}

/// What a watch has seen.
#[derive(Debug)]
pub(super) enum Seen {
    /// Everything is told anew from here.
    Restart,
    /// This object exists and looks like this.
    Object(ObjectName, Value),
    /// This object is gone.
    Gone(ObjectName),
    /// All that exists has been told.
    Complete,
    /// The API server cannot be asked now, for this reason.
    Trouble(String),
}

/// Which Services are watched, and whose slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that packets are translated for.
    Proxied,
    /// All: every Service has a name.
    All,
}

/// What kube-proxy leaves out: headless Services, and those of other proxies (KEP 2447).
const OURS: &str = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Service, Self::EndpointSlice, Self::Node];

    /// Its group, version, name and plural.
    fn resource(self) -> ApiResource {
        let (group, plural) = match self {
            Self::Service => ("", "services"),
            Self::EndpointSlice => ("discovery.k8s.io", "endpointslices"),
            Self::Node => ("", "nodes"),
        };
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version,
            kind: self.name().to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// Its name, as objects have it in `kind`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
        }
    }

    /// Its plural, for people.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Service => "Services",
            Self::EndpointSlice => "EndpointSlices",
            Self::Node => "this Node",
        }
    }

    pub(super) fn api(self, client: &Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.resource())
    }

    pub(super) fn config(self, node: &str, scope: Scope) -> Config {
        match self {
            Self::Service | Self::EndpointSlice => match scope {
                Scope::Proxied => Config::default().labels(OURS),
                Scope::All => Config::default(),
            },
            Self::Node => Config::default().fields(&format!("metadata.name={node}")),
        }
    }
}

/// Tells what happens to the objects of a kind, until nobody listens.
pub(super) async fn follow(
    kind: Kind,
    api: Api<DynamicObject>,
    plain: Config,
    events: Sender<(Kind, Seen)>,
) {
    let streaming = plain.clone().streaming_lists();
    if watch(kind, &api, streaming, &events).await.is_some() {
        // A server before 1.32 knows no streaming lists.
        while watch(kind, &api, plain.clone(), &events).await.is_some() {}
    }
}

/// The server does not know streaming lists.
struct NoStreaming;

/// Follows one watcher; `None`: nobody listens any more.
async fn watch(
    kind: Kind,
    api: &Api<DynamicObject>,
    config: Config,
    events: &Sender<(Kind, Seen)>,
) -> Option<NoStreaming> {
    let is_streaming = config.initial_list_strategy == watcher::InitialListStrategy::StreamingList;
    let mut stream = pin!(watcher::watcher(api.clone(), config));
    let mut delay = Delay::default();
    let mut is_beginning = false;
    while let Some(item) = stream.next().await {
        match item {
            Ok(event) => {
                let begins = matches!(event, Event::Init);
                if begins && is_beginning {
                    // Whatever answers there, it must not be asked without a pause.
                    fail(kind, "its list broke off".to_owned(), delay.next(false), events).await?;
                } else if !begins {
                    delay.reset();
                }
                is_beginning = begins;
                events.send((kind, seen(kind, event))).await.ok()?;
            }
            Err(error) if is_streaming && is_refused_streaming(&error) => {
                tracing::debug!(?kind, "the API server has no streaming lists: {error}");
                return Some(NoStreaming);
            }
            Err(error) => {
                is_beginning = false;
                fail(kind, why(&error), delay.next(is_away(&error)), events).await?;
            }
        }
    }
    None
}

/// Tells of a failure and waits; `None`: nobody listens any more.
async fn fail(
    kind: Kind,
    why: String,
    delay: Duration,
    events: &Sender<(Kind, Seen)>,
) -> Option<()> {
    events.send((kind, Seen::Trouble(why))).await.ok()?;
    tokio::select! {
        () = tokio::time::sleep(delay) => Some(()),
        () = events.closed() => None,
    }
}

/// Whether nobody was there who could have said so.
fn is_away(error: &Error) -> bool {
    match error {
        Error::WatchError(_) | Error::NoResourceVersion => false,
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => {
            !matches!(error, ::kube::Error::Api(_) | ::kube::Error::SerdeError(_))
        }
    }
}

/// "sendInitialEvents is forbidden for watch unless the `WatchList` feature gate is enabled": an
/// invalid request (422), or a bad one (400).
fn is_refused_streaming(error: &Error) -> bool {
    let Error::WatchStartFailed(::kube::Error::Api(status)) = error else { return false };
    matches!(status.code, 400 | 422)
}

/// The innermost reason is the one that helps: "connection refused", "certificate has expired".
fn why(error: &Error) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(reason) = next {
        reasons.push(reason.to_string());
        next = reason.source();
    }
    if let Error::InitialListFailed(::kube::Error::Api(status))
    | Error::WatchStartFailed(::kube::Error::Api(status))
    | Error::WatchError(status) = error
    {
        return format!("{} ({})", status.message, status.code);
    }
    reasons.pop().unwrap_or_default()
}

fn seen(kind: Kind, event: Event<DynamicObject>) -> Seen {
    match event {
        Event::Init => Seen::Restart,
        Event::InitDone => Seen::Complete,
        Event::Delete(object) => Seen::Gone(name(&object)),
        Event::Apply(object) | Event::InitApply(object) => {
            Seen::Object(name(&object), value(kind, object))
        }
    }
}

fn name(object: &DynamicObject) -> ObjectName {
    ObjectName::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// The object as JSON. Items of a list do not say what they are.
fn value(kind: Kind, mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    let resource = kind.resource();
    let mut value = object.data;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(resource.api_version));
        fields.insert("kind".to_owned(), json!(resource.kind));
        fields.insert("metadata".to_owned(), json!(object.metadata));
    }
    value
}
