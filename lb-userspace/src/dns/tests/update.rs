//! Answers follow the model, change by change.

use super::*;
use crate::compile::NameServer;
use crate::dns::{self, Dns, Handle};
use crate::model::ObjectName;
use proptest::prelude::*;
use std::net::SocketAddr;
use tokio::sync::mpsc;

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: data}, \
                       spec: {clusterIP: None}}";
const NXDOMAIN: &str = "NXDOMAIN [SOA cluster.local.]";

fn slice(slice: &str, service: &str, address: &str, ready: bool) -> Change {
    let text = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: \
         {{name: {slice}, namespace: data, labels: {{kubernetes.io/service-name: {service}}}}}, \
         endpoints: [{{addresses: [{address}], conditions: {{ready: {ready}}}}}]}}"
    );
    changes(&text).remove(0)
}

#[test]
fn an_endpoint_is_answered_as_long_as_it_is_ready() {
    let (zone, mut writer) = empty();
    let mut after = |change: &Change| {
        writer.take_in(change);
        (told(&zone, "db.data.svc.cluster.local. A"), told(&zone, "1.0.244.10.in-addr.arpa. PTR"))
    };
    let nobody = (NXDOMAIN.to_owned(), "NXDOMAIN [SOA 244.10.in-addr.arpa.]".to_owned());
    let one = (
        "NOERROR A 10.244.0.1".to_owned(),
        "NOERROR PTR 10-244-0-1.db.data.svc.cluster.local.".to_owned(),
    );
    assert_eq!(after(&slice("s", "db", "10.244.0.1", true)), nobody, "slices may come first");
    assert_eq!(after(&changes(SERVICE)[0]), one);
    assert_eq!(after(&slice("s", "db", "10.244.0.1", false)), nobody);
    assert_eq!(after(&slice("s", "db", "10.244.0.1", true)), one);
    let twice = after(&slice("s2", "db", "10.244.0.1", true));
    assert_eq!(twice, one, "it moves from one slice to another");
    assert_eq!(after(&Change::Slice(ObjectName::new("data", "s"), None)), one);
    assert_eq!(after(&slice("s2", "other", "10.244.0.1", true)), nobody, "it is another's now");
    assert_eq!(after(&slice("s2", "db", "10.244.0.1", true)), one);
    assert_eq!(after(&Change::Service(ObjectName::new("data", "db"), None)), nobody);
}

#[test]
fn a_namespace_exists_while_it_has_services() {
    let (zone, mut writer) = empty();
    assert_eq!(told(&zone, "data.svc.cluster.local. A"), NXDOMAIN);
    writer.take_in(&changes(SERVICE)[0]);
    assert_eq!(told(&zone, "data.svc.cluster.local. A"), "NOERROR [SOA cluster.local.]");
    writer.take_in(&Change::Service(ObjectName::new("data", "db"), None));
    assert_eq!(told(&zone, "data.svc.cluster.local. A"), NXDOMAIN);
}

#[test]
fn it_is_complete_when_the_source_says_so() {
    let (zone, mut writer) = empty();
    assert!(!zone.is_complete());
    writer.take_in(&Change::Synced);
    assert!(zone.is_complete());
}

/// What a zone says about everything that the changes below can make.
fn all(zone: &Zone) -> Vec<String> {
    let names = ["a", "b", "c"].map(|name| format!("{name}.data.svc.cluster.local. A"));
    let pointers = (1..4).map(|last| format!("{last}.0.244.10.in-addr.arpa. PTR"));
    names.into_iter().chain(pointers).map(|question| told(zone, &question)).collect()
}

fn change() -> impl Strategy<Value = Change> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let service = (name.clone(), any::<bool>()).prop_map(|(name, there)| {
        let there = there.then(|| changes(&SERVICE.replace("name: db", &format!("name: {name}"))));
        there.map_or_else(
            || Change::Service(ObjectName::new("data", name), None),
            |mut changes| changes.remove(0),
        )
    });
    let parts = (1..4_u8, name, 1..4_u8, any::<bool>(), any::<bool>());
    let slice = parts.prop_map(|(number, owner, last, ready, there)| {
        let (own, address) = (format!("s{number}"), format!("10.244.0.{last}"));
        if there {
            slice(&own, owner, &address, ready)
        } else {
            Change::Slice(ObjectName::new("data", own), None)
        }
    });
    prop_oneof![service, slice]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the model came to be what it is, the answers are those of the model as it is.
    #[test]
    fn answers_depend_on_the_last_change_of_each_object(
        history in prop::collection::vec(change(), 0..40)
    ) {
        let (zone, mut writer) = empty();
        let mut last = std::collections::BTreeMap::new();
        for change in &history {
            writer.take_in(change);
            let (Change::Service(name, _) | Change::Slice(name, _)) = change else { continue };
            last.insert((matches!(change, Change::Service(..)), name.clone()), change.clone());
        }
        let (fresh, mut writer) = empty();
        for change in last.values() {
            writer.take_in(change);
        }
        prop_assert_eq!(all(&zone), all(&fresh));
    }
}

#[test]
fn of_many_addresses_and_targets_some_are_chosen_at_random() {
    let (zone, mut writer) = empty();
    writer.take_in(&changes(SERVICE)[0]);
    let endpoints: Vec<String> =
        (1..=200).map(|last| format!("{{addresses: [10.244.0.{last}]}}")).collect();
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: \
         {{name: s, namespace: data, labels: {{kubernetes.io/service-name: db}}}}, ports: \
         [{{name: p, port: 1}}], endpoints: [{}]}}",
        endpoints.join(", ")
    );
    writer.take_in(&changes(&slice)[0]);
    for (asked, kind) in [
        ("db.data.svc.cluster.local.", RecordType::A),
        ("_p._tcp.db.data.svc.cluster.local.", RecordType::SRV),
    ] {
        let known = |most| match zone.sample(&name(asked), kind, most) {
            Answer::Known(known) => known,
            other @ (Answer::Foreign | Answer::Endless) => panic!("{other:?}"),
        };
        let (some, all) = (known(80), known(usize::MAX));
        assert_eq!((some.answers.len(), all.answers.len()), (80, 200), "{asked}");
        assert!(some.answers.iter().all(|record| all.answers.contains(record)));
        let told = (0..20).flat_map(|_| known(80).answers).map(|record| words(&record));
        let told: std::collections::BTreeSet<String> = told.collect();
        assert!(told.len() > 150, "each is told sooner or later: {}", told.len());
    }
}

#[test]
fn endpoints_of_another_proxys_service_have_names() {
    let (zone, mut writer) = empty();
    let label = "service.kubernetes.io/service-proxy-name: other";
    let service =
        SERVICE.replace("namespace: data", &format!("namespace: data, labels: {{{label}}}"));
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: \
         {{name: s, namespace: data, labels: {{kubernetes.io/service-name: db, {label}}}}}, \
         endpoints: [{{addresses: [10.244.0.1]}}]}}"
    );
    for change in changes(&service).iter().chain(&changes(&slice)) {
        writer.take_in(change);
    }
    assert_eq!(told(&zone, "db.data.svc.cluster.local. A"), "NOERROR A 10.244.0.1");
}

#[tokio::test]
async fn the_source_does_not_wait_for_whoever_listens_next() {
    let settings = dns::Settings {
        listen: Vec::new(),
        domain: name("cluster.local."),
        upstreams: Some(Vec::new()),
        ttl: 5,
        allow: Vec::new(),
        ranges: Vec::new(),
        name_server: None,
    };
    let (source, changes_out) = mpsc::channel(1);
    let (onward, mut listener) = mpsc::channel(1);
    tokio::spawn(Dns::start(settings).run(changes_out, onward));
    let sent: Vec<Change> =
        (1..100).map(|last| slice("s", "db", &format!("10.244.0.{last}"), true)).collect();
    let telling = async {
        for change in &sent {
            source.send(change.clone()).await.unwrap();
        }
    };
    let limit = std::time::Duration::from_secs(5);
    tokio::time::timeout(limit, telling).await.unwrap();
    drop(source);
    for change in &sent {
        assert_eq!(listener.recv().await.as_ref(), Some(change), "in their order");
    }
    assert_eq!(listener.recv().await, None);
}

/// A name server that stands for `kube-system/kube-dns`, where it is told changes, and where it hands
/// them on.
fn in_the_place_of_kube_dns(
    upstreams: &[SocketAddr],
) -> (Handle, mpsc::Sender<Change>, mpsc::Receiver<Change>) {
    let name_server = NameServer { service: kube_dns(), addrs: Vec::new() };
    let dns = Dns::start(dns::Settings {
        listen: Vec::new(),
        domain: name("cluster.local."),
        upstreams: Some(upstreams.to_vec()),
        ttl: 5,
        allow: Vec::new(),
        ranges: Vec::new(),
        name_server: Some(name_server),
    });
    let handle = dns.handle();
    let (source, changes) = mpsc::channel(1);
    let (onward, listener) = mpsc::channel(1);
    tokio::spawn(dns.run(changes, onward));
    (handle, source, listener)
}

fn kube_dns() -> ObjectName {
    ObjectName::new("kube-system", "kube-dns")
}

#[tokio::test]
async fn an_upstream_that_is_the_service_whose_place_it_takes_is_a_problem_while_it_is_one() {
    let upstreams = ["10.96.0.53:53", "192.0.2.1:53"].map(|addr| addr.parse().unwrap());
    let (handle, source, mut listener) = in_the_place_of_kube_dns(&upstreams);
    for (ip, expect) in [("10.96.0.10", 0), ("10.96.0.53", 1), ("10.96.0.10", 0)] {
        let service = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: kube-dns, namespace: kube-system}}, \
             spec: {{clusterIP: {ip}, ports: [{{port: 53, protocol: UDP}}]}}}}"
        );
        for change in changes(&service) {
            source.send(change).await.unwrap();
            listener.recv().await.unwrap();
        }
        let problems: Vec<String> = handle.problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), expect, "{problems:?}");
        assert!(
            problems.iter().all(|told| told.contains("10.96.0.53:53 is Service")),
            "{problems:?}"
        );
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_and_upstreams_that_nobody_names_are_problems() {
    let (handle, source, mut listener) = in_the_place_of_kube_dns(&[]);
    let with = |port: u16| {
        let service = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: kube-dns, namespace: kube-system}}, \
             spec: {{clusterIP: 10.96.0.10, ports: [{{port: {port}, protocol: UDP}}]}}}}"
        );
        changes(&service).remove(0)
    };
    let gone = Change::Service(kube_dns(), None);
    let alone = "--dns-upstream: there is nobody to ask";
    let nowhere = "--dns-service: Service kube-system/kube-dns does not exist";
    for (change, expect) in [
        (with(5353), &[alone][..]),
        (Change::Synced, &[nowhere, alone]),
        (with(53), &[alone]),
        (gone, &[nowhere, alone]),
    ] {
        source.send(change).await.unwrap();
        listener.recv().await.unwrap();
        let told: Vec<String> = handle.problems().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), expect.len(), "{told:?}");
        assert!(told.iter().zip(expect).all(|(told, expect)| told.starts_with(expect)), "{told:?}");
    }
}
