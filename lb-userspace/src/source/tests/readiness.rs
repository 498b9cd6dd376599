//! What probes find, and what becomes of endpoints.

use super::{Derived, derived_of, service, settings};
use crate::model::{Change, EndpointSlice, ObjectName};
use crate::source::controllers::Memory;
use crate::source::document::{Key, Kind};
use crate::source::manifests::Manifests;
use crate::source::readiness::{Finding, Probed, Readiness};
use crate::source::settings::Settings;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Findings: kind, name, address, container, and why it is not ready (empty: it is).
fn readiness(findings: &[(Kind, &str, &str, &str, &str)]) -> Readiness {
    let finding = |&(kind, name, address, container, why): &(Kind, &str, &str, &str, &str)| {
        let object = Key { kind, name: ObjectName::new("default", name) };
        let address = address.parse().unwrap();
        let probed = Probed { object, address, container: container.to_owned() };
        (probed, Finding { ready: why.is_empty(), reason: why.to_owned() })
    };
    Readiness(findings.iter().map(finding).collect())
}

fn derived(yaml: &str, findings: &[(Kind, &str, &str, &str, &str)]) -> Derived {
    derived_of(yaml, &["10.96.0.0/16"], &mut Memory::default(), &readiness(findings))
}

fn web(spec: &str) -> String {
    service("web", &format!("selector: {{app: web}}{spec}"))
}

fn pod(name: &str, status: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: web}}}}\nspec: {{containers: []}}\nstatus: {status}\n"
    )
}

const A: (Kind, &str, &str, &str) = (Kind::Pod, "a", "10.0.0.1", "c");
const READY: (Kind, &str, &str, &str, &str) = (A.0, A.1, A.2, A.3, "");
const FAILING: (Kind, &str, &str, &str, &str) = (A.0, A.1, A.2, A.3, "readinessProbe: HTTP 503");

#[test]
fn a_probe_decides_whatever_the_conditions_say() {
    for status in
        ["{podIP: 10.0.0.1}", "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}"]
    {
        let yaml = web("") + &pod("a", status);
        assert_eq!(derived(&yaml, &[READY]).endpoints("web"), ["10.0.0.1 =80 ready"]);
        assert_eq!(derived(&yaml, &[FAILING]).endpoints("web"), ["10.0.0.1 =80 unready"]);
    }
}

#[test]
fn without_a_probe_the_conditions_count() {
    let yaml = web("")
        + &pod("a", "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}")
        + &pod("b", "{podIP: 10.0.0.2}");
    let other = (Kind::Pod, "c", "10.0.0.1", "c", "another Pod");
    let expect = ["10.0.0.1 =80 unready", "10.0.0.2 =80 ready"];
    assert_eq!(derived(&yaml, &[other]).endpoints("web"), expect);
}

#[test]
fn every_container_has_to_be_ready() {
    let yaml = web("") + &pod("a", "{podIP: 10.0.0.1}");
    let sidecar = |why| (Kind::Pod, "a", "10.0.0.1", "z", why);
    assert_eq!(derived(&yaml, &[READY, sidecar("")]).endpoints("web"), ["10.0.0.1 =80 ready"]);
    assert_eq!(derived(&yaml, &[READY, sidecar("x")]).endpoints("web"), ["10.0.0.1 =80 unready"]);
}

#[test]
fn the_reason_is_at_the_endpoint() {
    let yaml = web("") + &pod("a", "{podIP: 10.0.0.1}");
    let why =
        |findings: &[_]| derived(&yaml, findings).slices("web")[0].endpoints[0].unready.clone();
    assert_eq!(why(&[FAILING]).as_deref(), Some("readinessProbe: HTTP 503"));
    assert_eq!(why(&[READY]), None);
}

#[test]
fn who_publishes_unready_addresses_keeps_a_pod_whose_probe_fails() {
    let annotation = "metadata: {name: web, annotations: {service.alpha.kubernetes.io/tolerate-unready-endpoints: 'true'}}";
    let old = web("").replace("metadata: {name: web}", annotation);
    for service in [web(", publishNotReadyAddresses: true"), old.clone()] {
        let yaml = service + &pod("a", "{podIP: 10.0.0.1}");
        assert_eq!(
            derived(&yaml, &[FAILING]).endpoints("web"),
            ["10.0.0.1 =80 published, unready"]
        );
        assert_eq!(derived(&yaml, &[READY]).endpoints("web"), ["10.0.0.1 =80 ready"]);
    }
    let refused = old.replace("'true'", "'false'") + &pod("a", "{podIP: 10.0.0.1}");
    assert_eq!(derived(&refused, &[FAILING]).endpoints("web"), ["10.0.0.1 =80 unready"]);
}

#[test]
fn the_old_annotation_publishes_what_the_field_does() {
    let unready = "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}";
    let deleted = pod("b", "{podIP: 10.0.0.2}")
        .replace("{name: b,", "{name: b, deletionTimestamp: '2026-01-01T00:00:00Z',");
    let pods = pod("a", unready)
        + &deleted
        + &pod("over", "{podIP: 10.0.0.3, phase: Succeeded}")
        + &pod("waits", "{phase: Pending}");
    let annotation = "metadata: {name: web, annotations: {service.alpha.kubernetes.io/tolerate-unready-endpoints: 'true'}}";
    for headless in ["", ", clusterIP: None"] {
        let field = web(&format!(", publishNotReadyAddresses: true{headless}"));
        let old = web(headless).replace("metadata: {name: web}", annotation);
        for service in [field, old] {
            let found = derived(&(service + &pods), &[]);
            let expect = ["10.0.0.1 =80 published, unready", "10.0.0.2 =80 published, terminating"];
            assert_eq!(found.endpoints("web"), expect);
        }
    }
}

#[test]
fn addresses_written_by_hand_are_not_published_against_what_they_say() {
    let yaml = service("db", "publishNotReadyAddresses: true")
        + "---
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets: [{addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}], ports: [{port: 80}]}]
";
    let expect = ["10.0.0.1 =80 ready", "10.0.0.2 =80 unready"];
    assert_eq!(derived(&yaml, &[]).endpoints("db"), expect);
}

#[test]
fn a_probe_takes_out_what_was_written_by_hand_and_puts_nothing_in() {
    let endpoints = "---
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], notReadyAddresses: [{ip: 10.0.0.3}], ports: [{port: 80}]}]
";
    let slice = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3], conditions: {ready: false, serving: false}}]
ports: [{port: 80, name: ''}]
";
    for (kind, object) in [(Kind::Endpoints, endpoints), (Kind::EndpointSlice, slice)] {
        let found = derived(
            &(service("db", "") + object),
            &[
                (kind, "db", "10.0.0.1", "", ""),
                (kind, "db", "10.0.0.2", "", "readinessProbe: HTTP 500"),
                (kind, "db", "10.0.0.3", "", ""),
            ],
        );
        let expect = ["10.0.0.1 =80 ready", "10.0.0.2 =80 unready", "10.0.0.3 =80 unready"];
        assert_eq!(found.endpoints("db"), expect);
    }
}

/// Longer than any of these probes needs to change its mind.
const SOON: Duration = Duration::from_mins(1);

/// A folder, somebody who follows it, and the endpoints they heard of.
struct Desk {
    root: TempDir,
    follower: JoinHandle<anyhow::Result<()>>,
    changes: Receiver<Change>,
    slices: BTreeMap<ObjectName, EndpointSlice>,
    synced: bool,
}

impl Desk {
    fn follow(root: TempDir) -> Self {
        let (tx, changes) = channel(64);
        let folder = |name: &str| -> PathBuf { root.path().join(name) };
        let settings = Settings {
            dir: folder("manifests"),
            state_dir: folder("state"),
            ..settings(&["10.96.0.0/16"])
        };
        let follower = tokio::spawn(Manifests::new(settings).run(tx));
        Self { root, follower, changes, slices: BTreeMap::new(), synced: false }
    }

    /// Ends the follower, and begins anew.
    async fn restart(self) -> Self {
        self.follower.abort();
        let _ = self.follower.await;
        Self::follow(self.root)
    }

    fn ready(&self) -> Vec<String> {
        let endpoints = self.slices.values().flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.ready);
        ready.map(|endpoint| endpoint.address.to_string()).collect()
    }

    async fn hear(&mut self) {
        match timeout(SOON, self.changes.recv()).await.unwrap().unwrap() {
            Change::Slice(name, Some(slice)) => drop(self.slices.insert(name, slice)),
            Change::Slice(name, None) => drop(self.slices.remove(&name)),
            Change::Synced => self.synced = true,
            Change::Problems(problems) => assert_eq!(problems, []),
            Change::Service(..) | Change::Node(_) | Change::Watched(..) => {}
        }
    }

    async fn synced(&mut self) {
        while !self.synced {
            self.hear().await;
        }
    }

    async fn until_ready(&mut self, expect: &[&str]) {
        while self.ready() != expect {
            self.hear().await;
        }
    }
}

/// A folder with a Pod at 127.0.0.1 that is asked every second at this port.
fn folder(port: u16) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("manifests")).unwrap();
    write_pod(&root, port, "app: web");
    fs::write(root.path().join("manifests/web.yaml"), web("")).unwrap();
    root
}

fn write_pod(root: &TempDir, port: u16, labels: &str) {
    let text = format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: a, labels: {{{labels}}}}}
spec:
  nodeName: node-a
  containers:
  - name: c
    readinessProbe: {{tcpSocket: {{port: {port}}}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1}}
status: {{podIP: 127.0.0.1}}
"
    );
    fs::write(root.path().join("manifests/pod.yaml"), text).unwrap();
}

async fn listen(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).await.unwrap()
}

/// Keeps a port where nobody listens.
fn closed(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    socket
}

#[tokio::test]
async fn a_pod_comes_when_its_probe_succeeds_leaves_when_it_fails_and_comes_back() {
    let closed = closed(0);
    let port = closed.local_addr().unwrap().port();
    let mut desk = Desk::follow(folder(port));
    desk.synced().await;
    assert_eq!(desk.ready(), <[String; 0]>::default());
    let listener = closed.listen(64).unwrap();
    desk.until_ready(&["127.0.0.1"]).await;
    drop(listener);
    let closed = self::closed(port);
    desk.until_ready(&[]).await;
    let unready =
        desk.slices.values().find_map(|slice| slice.endpoints[0].unready.clone()).unwrap();
    assert!(unready.contains("Connection refused"), "{unready}");
    let _listener = closed.listen(64).unwrap();
    desk.until_ready(&["127.0.0.1"]).await;
}

#[tokio::test]
async fn a_restart_empties_no_service_and_finds_out_what_has_changed() {
    let listener = listen(0).await;
    let port = listener.local_addr().unwrap().port();
    let mut desk = Desk::follow(folder(port));
    desk.until_ready(&["127.0.0.1"]).await;
    // What was found is on the disk with the next round.
    let file = desk.root.path().join("state/readiness.json");
    while !fs::read_to_string(&file).unwrap_or_default().contains("Pod default/a") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut desk = desk.restart().await;
    desk.synced().await;
    assert_eq!(desk.ready(), ["127.0.0.1"]);
    drop(listener);
    desk.until_ready(&[]).await;
    while fs::read_to_string(&file).unwrap().contains("Pod default/a") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut desk = desk.restart().await;
    desk.synced().await;
    assert_eq!(desk.ready(), <[String; 0]>::default());
}

#[tokio::test]
async fn what_was_ready_before_the_machine_started_anew_is_forgotten() {
    let root = folder(1);
    fs::create_dir(root.path().join("state")).unwrap();
    let text = r#"{"boot": "another", "ready": ["Pod default/a container c (containers[0]) at 127.0.0.1"]}"#;
    fs::write(root.path().join("state/readiness.json"), text).unwrap();
    let mut desk = Desk::follow(root);
    desk.synced().await;
    assert_eq!(desk.ready(), <[String; 0]>::default());
}

#[tokio::test]
async fn another_label_or_probe_does_not_take_a_ready_pod_out() {
    let (first, second) = (listen(0).await, listen(0).await);
    let [port, other] = [&first, &second].map(|listener| listener.local_addr().unwrap().port());
    let mut desk = Desk::follow(folder(port));
    desk.until_ready(&["127.0.0.1"]).await;
    write_pod(&desk.root, port, "app: web, more: 'yes'");
    write_pod(&desk.root, other, "app: web, more: 'yes'");
    timeout(SOON, second.accept()).await.unwrap().unwrap();
    drop(first);
    let quiet = timeout(Duration::from_secs(3), desk.changes.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn a_pod_that_goes_takes_its_probe_with_it() {
    let listener = listen(0).await;
    let mut desk = Desk::follow(folder(listener.local_addr().unwrap().port()));
    desk.until_ready(&["127.0.0.1"]).await;
    fs::remove_file(desk.root.path().join("manifests/pod.yaml")).unwrap();
    while !desk.slices.is_empty() {
        desk.hear().await;
    }
    while timeout(Duration::from_millis(100), listener.accept()).await.is_ok() {}
    let asked = timeout(Duration::from_secs(2), listener.accept()).await;
    assert!(asked.is_err(), "it is still asked");
}
