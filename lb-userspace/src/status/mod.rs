//! What is told to the API server: Events about Services that could not be programmed.
//!
//! `kubectl describe service` shows them. Every node would say the same, so an Event is called by
//! what it says: the first node that says it is heard, the others find that it is there. What the
//! API server does not take is said again with the next change.

use crate::model::ObjectName;
use ::kube::Client;
use ::kube::api::{Api, PostParams};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, RandomState};
use std::time::Duration;
use tokio::sync::watch;

/// Who says it.
const CONTROLLER: &str = "lb-agent";
/// Nodes speak within this time, not all at once.
const SPREAD_MS: u64 = 3_000;
/// Between two Events of one node: a broken cluster must not be drowned in them.
const PAUSE: Duration = Duration::from_millis(200);
/// The API takes no longer note, in bytes.
const LONGEST_NOTE: usize = 1_024;

/// Something that a Service cannot have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The Service.
    pub service: ObjectName,
    /// Its `metadata.uid`.
    pub uid: String,
    /// Why: one sentence.
    pub message: String,
}

/// Where complaints go.
#[derive(Debug)]
pub struct Events(watch::Sender<BTreeSet<Complaint>>);

impl Events {
    /// Events at the API server behind `client`, in the name of the node `node`.
    pub fn new(client: Client, node: String) -> Self {
        let (sender, complaints) = watch::channel(BTreeSet::new());
        tokio::spawn(speak(client, node, complaints));
        Self(sender)
    }

    /// These are all the complaints there are now.
    pub fn tell(&self, complaints: BTreeSet<Complaint>) {
        self.0.send_if_modified(|known| {
            let is_news = *known != complaints;
            *known = complaints;
            is_news
        });
    }
}

/// Says what is new, until nobody complains any more.
async fn speak(client: Client, node: String, mut complaints: watch::Receiver<BTreeSet<Complaint>>) {
    let mut said = BTreeSet::new();
    while complaints.changed().await.is_ok() {
        let spread = RandomState::new().hash_one(&node) % SPREAD_MS;
        tokio::time::sleep(Duration::from_millis(spread)).await;
        let now = complaints.borrow_and_update().clone();
        // What is over may come back.
        said.retain(|complaint| now.contains(complaint));
        for complaint in now {
            if said.contains(&complaint) {
                continue;
            }
            let events = Api::namespaced(client.clone(), &complaint.service.namespace);
            match events.create(&PostParams::default(), &event(&complaint, &node)).await {
                Ok(_) => drop(said.insert(complaint)),
                Err(::kube::Error::Api(status)) if status.is_already_exists() => {
                    said.insert(complaint);
                }
                Err(error) => tracing::debug!("an Event about {}: {error}", complaint.service),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn event(complaint: &Complaint, node: &str) -> Event {
    let Complaint { service, uid, message } = complaint;
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((uid, message));
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{hash:016x}", service.name)),
            namespace: Some(service.namespace.clone()),
            ..ObjectMeta::default()
        },
        regarding: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(service.namespace.clone()),
            name: Some(service.name.clone()),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        }),
        type_: Some("Warning".to_owned()),
        reason: Some("NotProgrammed".to_owned()),
        action: Some("Program".to_owned()),
        note: Some(note(message)),
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}

/// The message as the API takes it.
fn note(message: &str) -> String {
    let mut end = message.len().min(LONGEST_NOTE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
