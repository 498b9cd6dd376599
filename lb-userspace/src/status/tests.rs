//! Events at an API server that is a function.

use super::*;
use ::kube::client::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use serde_json::{Value, json};
use std::convert::Infallible;
use tokio::sync::mpsc;

fn complaint(name: &str, message: &str) -> Complaint {
    Complaint {
        service: ObjectName::new("shop", name),
        uid: format!("uid-of-{name}"),
        message: message.to_owned(),
    }
}

/// A client of a server that answers each Event with the next of `codes`, and hands it over.
fn server(codes: &'static [u16]) -> (Client, mpsc::UnboundedReceiver<Value>) {
    let (sender, events) = mpsc::unbounded_channel();
    let mut codes = codes.iter().cycle();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (sender, code) = (sender.clone(), *codes.next().unwrap());
        async move {
            assert_eq!(request.uri().path(), "/apis/events.k8s.io/v1/namespaces/shop/events");
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let event: Value = serde_json::from_slice(&bytes).unwrap();
            sender.send(event.clone()).unwrap();
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "code": code, "message": "no", "reason": reason(code)});
            let answer = if code == 201 { event } else { status };
            let body = Full::new(Bytes::from(answer.to_string()));
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    (Client::new(service, "default"), events)
}

fn reason(code: u16) -> &'static str {
    if code == 409 { "AlreadyExists" } else { "InternalError" }
}

async fn next(events: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    tokio::time::timeout(Duration::from_mins(1), events.recv()).await.unwrap().unwrap()
}

/// Nothing more is said.
async fn is_quiet(events: &mut mpsc::UnboundedReceiver<Value>) {
    let more = tokio::time::timeout(Duration::from_mins(1), events.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn a_complaint_is_said_once_about_its_service() {
    let (client, mut said) = server(&[201]);
    let events = Events::new(client, "node-a".to_owned());
    let full = complaint("web", "the table is full");
    events.tell([full.clone()].into());
    let event = next(&mut said).await;
    assert_eq!(event["regarding"]["uid"], "uid-of-web");
    assert_eq!(event["regarding"]["kind"], "Service");
    assert_eq!(event["note"], "the table is full");
    assert_eq!(event["reportingInstance"], "node-a");
    events.tell([full.clone(), complaint("other", "it is taken")].into());
    assert_eq!(next(&mut said).await["note"], "it is taken");
    is_quiet(&mut said).await;
    // It comes back.
    events.tell(BTreeSet::new());
    is_quiet(&mut said).await;
    events.tell([full].into());
    assert_eq!(next(&mut said).await["note"], "the table is full");
}

#[tokio::test(start_paused = true)]
async fn what_another_node_has_said_is_not_said_again() {
    let (client, mut said) = server(&[409]);
    let events = Events::new(client, "node-b".to_owned());
    events.tell([complaint("web", "the table is full")].into());
    let name = next(&mut said).await["metadata"]["name"].clone();
    assert_eq!(
        name,
        event(&complaint("web", "the table is full"), "node-a").metadata.name.unwrap()
    );
    events.tell([complaint("web", "the table is full"), complaint("web", "else")].into());
    assert_eq!(next(&mut said).await["note"], "else");
    is_quiet(&mut said).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_server_did_not_take_is_said_with_the_next_change() {
    let (client, mut said) = server(&[500, 201]);
    let events = Events::new(client, "node-a".to_owned());
    events.tell([complaint("web", "a")].into());
    next(&mut said).await;
    is_quiet(&mut said).await;
    events.tell([complaint("web", "a"), complaint("web", "b")].into());
    assert_eq!(
        [next(&mut said).await["note"].clone(), next(&mut said).await["note"].clone()],
        ["a", "b"]
    );
}

#[test]
fn a_note_is_cut_between_characters() {
    let long = "ä".repeat(LONGEST_NOTE);
    assert_eq!(note(&long).len(), LONGEST_NOTE);
    assert_eq!(note("short"), "short");
}
