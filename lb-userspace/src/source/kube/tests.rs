//! The source against an API server that is a function: what it is asked and what it answers.

use super::Cluster;
use super::store::Store;
use super::watch::{self, Kind, Scope, Seen};
use crate::model::{Change, Node, ObjectName};
use ::kube::Client;
use ::kube::client::Body;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame};
use hyper::{Request, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver};

fn node() -> Node {
    Node { name: "node-a".to_owned(), ..Node::default() }
}

fn name(text: &str) -> ObjectName {
    ObjectName::new("default", text)
}

fn service(name: &str, ip: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default",
        "resourceVersion": "7"}, "spec": {"clusterIPs": [ip], "ports": [{"port": 80}]}})
}

fn slice(name: &str) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": "default", "resourceVersion": "7",
            "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["10.1.0.1"]}], "ports": [{"port": 8080, "name": ""}]})
}

fn object(text: &str, value: &Value) -> Seen {
    Seen::Object(name(text), value.clone())
}

/// The names of changes, for tables.
fn words(changes: &[Change]) -> Vec<String> {
    let word = |change: &Change| match change {
        Change::Service(name, Some(_)) => format!("Service {name}"),
        Change::Service(name, None) => format!("no Service {name}"),
        Change::Slice(name, Some(_)) => format!("slice {name}"),
        Change::Slice(name, None) => format!("no slice {name}"),
        Change::Node(node) => format!("Node {} {}", node.name, node.labels.len()),
        Change::Watched(kind, true) => format!("{kind} watched"),
        Change::Watched(kind, false) => format!("{kind} not watched"),
        Change::Problems(problems) => format!("{} problems", problems.len()),
        Change::Synced => "synced".to_owned(),
    };
    changes.iter().map(word).collect()
}

/// The name of this node's object.
fn own() -> ObjectName {
    ObjectName::new("", "node-a")
}

/// The object of this node, with labels.
fn own_node(labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "node-a", "labels": labels}})
}

/// A store that was told of a Service and its slice.
fn filled() -> Store {
    let mut store = Store::new("https://api", node());
    for (kind, seen) in [
        (Kind::Service, Seen::Restart),
        (Kind::Service, object("web", &service("web", "10.96.0.1"))),
        (Kind::Service, Seen::Complete),
        (Kind::EndpointSlice, Seen::Restart),
        (Kind::EndpointSlice, object("web-1", &slice("web-1"))),
        (Kind::EndpointSlice, Seen::Complete),
        (Kind::Node, Seen::Restart),
        (Kind::Node, Seen::Object(own(), own_node(json!({})))),
        (Kind::Node, Seen::Complete),
    ] {
        store.take(kind, seen);
    }
    store
}

#[test]
fn it_is_synced_when_every_kind_was_told_once() {
    let mut store = Store::new("https://api", node());
    let mut told = Vec::new();
    for kind in [Kind::Node, Kind::Service, Kind::EndpointSlice] {
        told.extend(store.take(kind, Seen::Restart));
        told.extend(store.take(kind, Seen::Complete));
    }
    let watched = ["Node watched", "1 problems", "Service watched", "EndpointSlice watched"];
    assert_eq!(words(&told), [&watched[..], &["synced"]].concat());
    // Never again.
    assert_eq!(store.take(Kind::Service, Seen::Restart), []);
    assert_eq!(store.take(Kind::Service, Seen::Complete), []);
}

#[test]
fn what_a_new_list_does_not_tell_any_more_is_gone() {
    let mut store = filled();
    store.take(Kind::Service, object("old", &service("old", "10.96.0.2")));
    assert_eq!(store.take(Kind::Service, Seen::Restart), []);
    let told = store.take(Kind::Service, object("web", &service("web", "10.96.0.1")));
    assert_eq!(words(&told), ["Service default/web"]);
    assert_eq!(words(&store.take(Kind::Service, Seen::Complete)), ["no Service default/old"]);
}

#[test]
fn a_list_that_breaks_off_takes_nothing_away() {
    let mut store = filled();
    store.take(Kind::Service, Seen::Restart);
    let told = store.take(Kind::Service, Seen::Trouble("connection reset".to_owned()));
    assert_eq!(words(&told), ["Service not watched", "1 problems"]);
    // Still in trouble until something was told.
    assert_eq!(store.take(Kind::Service, Seen::Restart), []);
    let told = store.take(Kind::Service, object("web", &service("web", "10.96.0.1")));
    assert_eq!(words(&told), ["Service watched", "Service default/web", "0 problems"]);
    assert_eq!(store.take(Kind::Service, Seen::Complete), []);
}

#[test]
fn an_object_that_cannot_be_used_is_named_and_harms_no_other() {
    let mut store = filled();
    let mut odd = service("web", "10.96.0.1");
    odd["spec"]["ports"][0]["port"] = json!("eighty");
    let Some(Change::Problems(problems)) = store.take(Kind::Service, object("web", &odd)).pop()
    else {
        panic!("no problem was told")
    };
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].subject, "Service default/web");
    assert_eq!(problems[0].field, "spec.ports[0].port");
    // Told once, not at every event.
    assert_eq!(words(&store.take(Kind::Service, object("web", &odd))), ["Service default/web"]);
    let told = store.take(Kind::Service, Seen::Gone(name("web")));
    assert_eq!(words(&told), ["no Service default/web", "0 problems"]);
}

#[test]
fn a_node_whose_object_is_gone_keeps_its_name() {
    let mut store = filled();
    let labels = json!({"topology.kubernetes.io/zone": "zone-a"});
    let told = store.take(Kind::Node, Seen::Object(own(), own_node(labels)));
    assert_eq!(words(&told), ["Node node-a 1"]);
    assert_eq!(words(&store.take(Kind::Node, Seen::Gone(own()))), ["Node node-a 0", "1 problems"]);
}

#[test]
fn a_node_that_the_server_does_not_know_is_a_problem_until_it_does() {
    let mut store = Store::new("https://api", node());
    assert_eq!(store.take(Kind::Node, Seen::Restart), []);
    let told = store.take(Kind::Node, Seen::Complete);
    let Some(Change::Problems(problems)) = told.last() else { panic!("{told:?}") };
    assert_eq!(problems[0].subject, "Node node-a");
    assert!(problems[0].message.contains("--node"), "{}", problems[0].message);
    let told = store.take(Kind::Node, Seen::Object(own(), own_node(json!({}))));
    assert_eq!(words(&told), ["Node node-a 0", "0 problems"]);
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Lines of JSON.
fn text(lines: &[Value]) -> String {
    lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

/// An answer that ends.
fn ended(code: u16, lines: &[Value]) -> Answer {
    let text = text(lines);
    let frames = [Ok(Frame::data(Bytes::from(text)))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    Response::builder().status(code).body(body).unwrap()
}

/// A watch that says this and stays open.
fn open(lines: &[Value]) -> Answer {
    use futures_util::StreamExt as _;
    let text = text(lines);
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from(text)))]);
    let body = http_body_util::BodyExt::boxed(StreamBody::new(
        first.chain(futures_util::stream::pending()),
    ));
    Response::builder().status(200).body(body).unwrap()
}

fn failure(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": message, "reason": "Because"})
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// The end of a streaming list.
fn list_ends() -> Value {
    event(
        "BOOKMARK",
        &json!({"kind": "Service", "apiVersion": "v1", "metadata": {
        "resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}),
    )
}

/// What an API server was asked, as paths with queries.
type Asked = Arc<Mutex<Vec<String>>>;

/// A client of an API server that answers as `answer` says, given the request and how often
/// something was asked before.
fn client(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> (Client, Asked) {
    let asked = Asked::default();
    let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().to_string();
        let before = {
            let mut log = log.lock().unwrap();
            log.push(path.clone());
            log.len() - 1
        };
        let answer = answer(&path, before);
        async move { Ok::<_, Infallible>(answer) }
    });
    (Client::new(service, "default"), asked)
}

/// The words of what a watch of Services sees, as many as `count`.
async fn seen(client: &Client, count: usize) -> Vec<String> {
    let (tx, mut events) = mpsc::channel(64);
    let api = Kind::Service.api(client);
    let task = tokio::spawn(watch::follow(
        Kind::Service,
        api,
        Kind::Service.configs("node-a", Scope::Proxied),
        tx,
    ));
    let mut words = Vec::new();
    while words.len() < count {
        let (_, seen) = next(&mut events).await;
        words.push(match seen {
            Seen::Restart => "restart".to_owned(),
            Seen::Object(name, _) => name.name,
            Seen::Gone(name) => format!("no {}", name.name),
            Seen::Complete => "complete".to_owned(),
            Seen::Trouble(why) => why,
        });
    }
    task.abort();
    words
}

async fn next<T>(events: &mut Receiver<T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), events.recv()).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn objects_are_streamed_where_the_server_can() {
    let web = service("web", "10.96.0.1");
    let lines =
        [event("ADDED", &web), list_ends(), event("MODIFIED", &web), event("DELETED", &web)];
    let (client, asked) = client(move |_, _| open(&lines));
    assert_eq!(seen(&client, 5).await, ["restart", "web", "complete", "web", "no web"]);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "{asked:?}");
    for part in
        ["watch=true", "sendInitialEvents=true", "service-proxy-name", "clusterIP%21%3DNone"]
    {
        assert!(asked[0].contains(part), "{part}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_server_is_asked_for_lists() {
    let web = service("web", "10.96.0.1");
    let mut item = web.clone();
    // As items of a list are.
    item.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
    let list = json!({"kind": "ServiceList", "apiVersion": "v1",
        "metadata": {"resourceVersion": "7"}, "items": [item]});
    let (client, asked) = client(move |path, _| match path {
        path if path.contains("sendInitialEvents") => {
            ended(422, &[failure(422, "sendInitialEvents is forbidden for watch")])
        }
        path if path.contains("watch=true") => open(&[event("ADDED", &web)]),
        _ => ended(200, std::slice::from_ref(&list)),
    });
    assert_eq!(seen(&client, 4).await, ["restart", "web", "complete", "web"]);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_makes_it_list_anew() {
    let (web, new) = (service("web", "10.96.0.1"), service("new", "10.96.0.2"));
    let (client, _) = client(move |_, before| match before {
        0 => open(&[
            event("ADDED", &web),
            list_ends(),
            event("ERROR", &failure(410, "too old resource version")),
        ]),
        _ => open(&[event("ADDED", &new), list_ends()]),
    });
    let told = seen(&client, 7).await;
    let gone = "too old resource version (410)";
    assert_eq!(told, ["restart", "web", "complete", gone, "restart", "new", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let web = service("web", "10.96.0.1");
    let (client, asked) = client(move |_, before| match before {
        0 => ended(200, &[event("ADDED", &web), list_ends()]),
        _ => open(&[event("MODIFIED", &web)]),
    });
    assert_eq!(seen(&client, 4).await, ["restart", "web", "complete", "web"]);
    let asked = asked.lock().unwrap();
    assert!(asked[1].contains("resourceVersion=9"), "{asked:?}");
    assert!(!asked[1].contains("sendInitialEvents"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_asked_again() {
    let web = service("web", "10.96.0.1");
    let (client, _) = client(move |_, before| match before {
        0 => ended(401, &[failure(401, "Unauthorized")]),
        1 => ended(503, &[failure(503, "etcd has no leader")]),
        _ => open(&[event("ADDED", &web), list_ends()]),
    });
    let told = seen(&client, 5).await;
    let refused = ["Unauthorized (401)", "etcd has no leader (503)"];
    assert_eq!(told, [refused[0], refused[1], "restart", "web", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_kubernetes_is_told_and_asked_again() {
    let (client, _) = client(|_, before| match before {
        0 => Response::new(Empty::new().boxed()),
        1 => ended(200, &[json!("hello")]),
        _ => open(&[list_ends()]),
    });
    let told = seen(&client, 6).await;
    let odd = "invalid type: string \"hello\", expected adjacently tagged enum WatchEvent at line 1 \
               column 7";
    assert_eq!(told, ["restart", "its list broke off", "restart", odd, "restart", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_told_as_changes() {
    let answers: BTreeMap<&str, Vec<Value>> = [
        ("/api/v1/services", vec![event("ADDED", &service("web", "10.96.0.1")), list_ends()]),
        (
            "/apis/discovery.k8s.io/v1/endpointslices",
            vec![event("ADDED", &slice("web-1")), list_ends()],
        ),
        ("/api/v1/nodes", vec![list_ends()]),
    ]
    .into();
    let (client, asked) = client(move |path, _| {
        open(&answers[path.split('?').next().unwrap().trim_end_matches('/')])
    });
    let (server, node) = ("https://api".to_owned(), "node-a".to_owned());
    let cluster = Cluster { client, server, node, scope: Scope::Proxied };
    let (tx, mut changes) = mpsc::channel(8);
    tokio::spawn(cluster.run(tx));
    let mut told = Vec::new();
    while told.last() != Some(&Change::Synced) {
        told.push(next(&mut changes).await);
    }
    let mut words = words(&told);
    words.sort();
    let watched = ["EndpointSlice watched", "Node watched", "Service watched"];
    let objects = ["Service default/web", "slice default/web-1"];
    words.retain(|word| !watched.contains(&word.as_str()));
    assert_eq!(words, ["1 problems", objects[0], objects[1], "synced"], "there is no such Node");
    let asked = asked.lock().unwrap();
    let node = asked.iter().find(|path| path.starts_with("/api/v1/nodes")).unwrap();
    assert!(node.contains("fieldSelector=metadata.name%3Dnode-a"), "{node}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_half_way_is_asked_for_later_and_later() {
    let web = service("web", "10.96.0.1");
    let (client, _) = client(move |_, before| match before {
        0..6 => ended(200, &[event("ADDED", &web)]),
        _ => open(&[event("ADDED", &web), list_ends()]),
    });
    let began = tokio::time::Instant::now();
    let told = seen(&client, 21).await;
    let broken = ["its list broke off", "restart", "web"];
    let expected = [&["restart", "web"][..], &broken.repeat(6), &["complete"]].concat();
    assert_eq!(told, expected);
    // Half of 0.25, 0.5, 1, 2, 4 and 8 seconds at least.
    assert!(began.elapsed() > Duration::from_secs(7), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_select_services_by_cluster_ip_is_asked_for_all() {
    let list = json!({"kind": "ServiceList", "apiVersion": "v1",
        "metadata": {"resourceVersion": "7"}, "items": [service("web", "10.96.0.1")]});
    let (client, asked) = client(move |path, _| match path {
        path if path.contains("sendInitialEvents") => {
            ended(422, &[failure(422, "sendInitialEvents is forbidden for watch")])
        }
        path if path.contains("clusterIP") => {
            ended(400, &[failure(400, "field label not supported: spec.clusterIP")])
        }
        path if path.contains("watch=true") => open(&[]),
        _ => ended(200, std::slice::from_ref(&list)),
    });
    assert_eq!(seen(&client, 4).await, ["restart", "restart", "web", "complete"]);
    let asked = asked.lock().unwrap();
    assert!(
        !asked[2].contains("clusterIP") && asked[2].contains("service-proxy-name"),
        "{asked:?}"
    );
}

#[test]
fn headless_services_and_those_of_other_proxies_are_watched_for_their_names_only() {
    let selectors = |kind: Kind, scope| {
        let configs = kind.configs("node-a", scope);
        configs.into_iter().map(|config| (config.label_selector, config.field_selector))
    };
    for (labels, _) in selectors(Kind::Service, Scope::Proxied) {
        assert_eq!(labels.unwrap(), "!service.kubernetes.io/service-proxy-name");
    }
    let fields = selectors(Kind::Service, Scope::Proxied).next().unwrap().1;
    assert_eq!(fields.unwrap(), "spec.clusterIP!=None");
    for (labels, _) in selectors(Kind::EndpointSlice, Scope::Proxied) {
        assert_eq!(labels.unwrap(), "!service.kubernetes.io/headless");
    }
    for kind in [Kind::Service, Kind::EndpointSlice] {
        assert!(selectors(kind, Scope::All).all(|selected| selected == (None, None)));
    }
}
