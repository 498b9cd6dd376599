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

/// What kube-proxy leaves out (`cmd/kube-proxy/app/server.go` of 1.36): Services of other proxies
/// (KEP 2447), headless ones, and the slices of those.
const NO_OTHER_PROXY: &str = "!service.kubernetes.io/service-proxy-name";
const NOT_HEADLESS: &str = "spec.clusterIP!=None";
const NO_HEADLESS_SLICE: &str = "!service.kubernetes.io/headless";

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

    /// What a server is asked for, and what one that cannot do that is asked for then: none before
    /// 1.32 has streaming lists, and none before 1.31 selects Services by `spec.clusterIP`.
    pub(super) fn configs(self, node: &str, scope: Scope) -> Vec<Config> {
        let all = Config::default();
        let plain = match (self, scope) {
            (Self::Service, Scope::Proxied) => {
                let ours = all.labels(NO_OTHER_PROXY);
                vec![ours.clone().fields(NOT_HEADLESS), ours]
            }
            (Self::EndpointSlice, Scope::Proxied) => vec![all.labels(NO_HEADLESS_SLICE)],
            (Self::Service | Self::EndpointSlice, Scope::All) => vec![all],
            (Self::Node, _) => vec![all.fields(&format!("metadata.name={node}"))],
        };
        let first = plain.first().map(|config| config.clone().streaming_lists());
        first.into_iter().chain(plain).collect()
    }
}

/// Tells what happens to the objects of a kind, until nobody listens; the server is asked for the
/// first of `configs` that it does not refuse.
pub(super) async fn follow(
    kind: Kind,
    api: Api<DynamicObject>,
    configs: Vec<Config>,
    events: Sender<(Kind, Seen)>,
) {
    let mut configs = configs.into_iter().peekable();
    while let Some(config) = configs.next() {
        let is_last = configs.peek().is_none();
        if watch(kind, &api, (config, is_last), &events).await.is_none() {
            return;
        }
    }
}

/// The server does not know what it is asked for.
struct Refused;

/// Follows one watcher; `None`: nobody listens any more. The last one there is has no other to make
/// way for.
async fn watch(
    kind: Kind,
    api: &Api<DynamicObject>,
    (config, is_last): (Config, bool),
    events: &Sender<(Kind, Seen)>,
) -> Option<Refused> {
    let mut stream = pin!(watcher::watcher(api.clone(), config));
    let mut delay = Delay::default();
    let mut is_listing = false;
    while let Some(item) = stream.next().await {
        match item {
            Ok(event) => {
                match event {
                    // Whatever answers there, it must not be asked without a pause.
                    Event::Init if is_listing => {
                        let why = "its list broke off".to_owned();
                        fail(kind, why, delay.next(false), events).await?;
                    }
                    Event::Init => is_listing = true,
                    // Half a list is no success.
                    Event::InitApply(_) => {}
                    Event::InitDone | Event::Apply(_) | Event::Delete(_) => {
                        is_listing = false;
                        delay.reset();
                    }
                }
                events.send((kind, seen(kind, event))).await.ok()?;
            }
            Err(error) if !is_last && is_refused(&error) => {
                tracing::debug!(?kind, "the API server is asked for less: {error}");
                return Some(Refused);
            }
            Err(error) => {
                is_listing = false;
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

/// "sendInitialEvents is forbidden for watch unless the `WatchList` feature gate is enabled", "field
/// label not supported: spec.clusterIP": an invalid request (422), or a bad one (400).
fn is_refused(error: &Error) -> bool {
    matches!(
        error,
        Error::WatchStartFailed(::kube::Error::Api(status))
        | Error::InitialListFailed(::kube::Error::Api(status))
            if matches!(status.code, 400 | 422)
    )
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
