//! Pages from fixed numbers, compared with files; and what a page must be like, whatever it says.

use super::about::{self, About};
use super::dns::{Cached, Numbers, Part, Transport};
use super::series::{self, Limits};
use super::{Condition, Progress, Reading, Scrape, text};
use crate::compile::Family;
use crate::reconcile::{Policy, Tables};
use jiff::Timestamp;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::name;
use lb_common::layout::service::{ServiceValue, field};
use lb_common::verdict::Reason;
use lb_common::wire::{Addr, IpProto, Port};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

fn service(name: &str, (port_name, port): (&str, u16), family: u8) -> ServiceValue {
    ServiceValue {
        namespace: field("default"),
        name: field(name),
        port_name: field(port_name),
        port: Port::new(port),
        proto: IpProto::TCP,
        family,
        ..bytemuck::Zeroable::zeroed()
    }
}

fn backend(last: u8, service: u32) -> BackendValue {
    let addr = Addr::v4([10, 244, 0, last]);
    let port = Port::new(8080);
    BackendValue { addr, port, service, generation: 1, ..bytemuck::Zeroable::zeroed() }
}

fn traffic(packets: u64) -> Traffic {
    Traffic { packets, bytes: packets * 100, connections: packets / 10 }
}

/// Two families of one port, an unnamed port, and a third that came last.
fn reading() -> Reading {
    let services = [
        (1, (service("web", ("http", 80), 4), traffic(100))),
        (2, (service("web", ("http", 80), 6), traffic(50))),
        (3, (service("dns", ("", 53), 4), traffic(7))),
        (9, (service("api", ("https", 443), 4), traffic(20))),
    ];
    let backends = [
        (1, (backend(11, 1), traffic(60))),
        (2, (backend(12, 1), traffic(40))),
        (3, (backend(13, 3), traffic(7))),
        (4, (backend(99, 77), traffic(1))),
    ];
    let packets = |(reason, number): (Reason, u64)| (reason, 1000 + number);
    Reading {
        capacities: [(name::CONNTRACK, 524_288), (name::SERVICES, 32_768), (name::CLOCK, 1)].into(),
        entries: vec![(name::CONNTRACK, 42)],
        reasons: Reason::ALL.into_iter().zip(0_u64..).map(packets).collect(),
        services: services.into(),
        backends: backends.into(),
    }
}

fn condition() -> Condition {
    let both = |policy, v4, v6| [((policy, Family::V4), v4), ((policy, Family::V6), v6)];
    let lacking = both(Policy::Internal, 0, 1).into_iter().chain(both(Policy::External, 2, 0));
    Condition {
        obstacle: None,
        synced: true,
        watched: [("Service", true), ("EndpointSlice", false), ("Node", true)].into(),
        problems: 3,
        foreign_connections: Some(5),
        entries: vec![(name::SERVICES, 4)],
        without_local_endpoints: lacking.collect(),
    }
}

fn progress() -> Progress {
    let progress = Progress::default();
    let at = |second| Timestamp::from_second(second).unwrap();
    progress.service_changed(at(1_700_000_000));
    progress.endpoints_changed(at(1_700_000_001));
    progress.written(Duration::from_millis(3), true, at(1_700_000_002));
    progress.programmed(Family::V4, Duration::from_millis(300));
    progress.programmed(Family::V6, Duration::from_secs(63));
    progress.endpoints_changed(at(1_700_000_003));
    progress
}

/// A question of each part, and what upstreams were good for.
fn names() -> Numbers {
    let numbers = Numbers::new(&["192.0.2.53:53".parse().unwrap()]);
    numbers.asked(Part::Cluster, Transport::Udp, 1);
    numbers.answered(Part::Cluster, 0, Duration::from_micros(70));
    numbers.asked(Part::Other, Transport::Tcp, 999);
    numbers.answered(Part::Other, 3, Duration::from_millis(20));
    numbers.unusable(Transport::Udp, 1);
    for cached in [Cached::Success, Cached::Denial, Cached::Miss, Cached::Stale, Cached::Prefetch] {
        numbers.cache(cached);
    }
    numbers.set_cache_entries(7);
    numbers.forwarded(0, Duration::from_millis(19), true);
    numbers.forwarded(0, Duration::from_secs(2), false);
    numbers
}

fn page(limits: Limits, condition: Option<Condition>) -> String {
    let (progress, reading, dns) = (progress(), reading(), Some(names()));
    text(Scrape { progress, condition, reading, limits, dns }).unwrap()
}

const ALL: Limits = Limits { services: 10, backends: 10 };

#[test]
fn the_page_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics/golden.txt");
    let page = page(ALL, Some(condition()));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(page, expected, "UPDATE_GOLDEN=1 writes {}", path.display());
}

/// Lines of a page that begin so.
fn lines<'a>(page: &'a str, begin: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(begin)).collect()
}

#[test]
fn what_is_beyond_the_limit_is_summed() {
    let limits = Limits { services: 2, backends: 1 };
    let page = page(limits, Some(condition()));
    let web = r#"namespace="default",service="web",port="http",protocol="TCP""#;
    let expected = [
        format!("lb_service_packets_total{{{web}}} 150"),
        r#"lb_service_packets_total{namespace="default",service="dns",port="53",protocol="TCP"} 7"#
            .to_owned(),
        r#"lb_service_packets_total{namespace="",service="other",port="",protocol=""} 20"#
            .to_owned(),
    ];
    assert_eq!(lines(&page, "lb_service_packets_total{"), expected);
    assert_eq!(lines(&page, "lb_service_series_left_out "), ["lb_service_series_left_out 1"]);
    let other = r#"namespace="",service="other",port="",protocol="",backend="""#;
    let expected = [
        format!(r#"lb_backend_bytes_total{{{web},backend="10.244.0.11:8080"}} 6000"#),
        format!("lb_backend_bytes_total{{{other}}} 4700"),
    ];
    assert_eq!(lines(&page, "lb_backend_bytes_total{"), expected);
    assert_eq!(lines(&page, "lb_backend_series_left_out "), ["lb_backend_series_left_out 2"]);
}

#[test]
fn nothing_is_summed_where_all_fit() {
    let page = page(ALL, Some(condition()));
    assert!(!page.contains(r#"service="other","#), "{page}");
    let none = self::page(Limits { services: 0, backends: 0 }, Some(condition()));
    assert_eq!(lines(&none, "lb_service_connections_total{").len(), 1);
    assert!(!none.contains("lb_backend"), "{none}");
}

#[test]
fn whoever_has_a_series_keeps_it_while_others_come() {
    let names = |reading: &Reading| -> Vec<String> {
        let series = series::services(reading, 2);
        series.listed.into_iter().map(|([_, name, ..], _)| name).collect()
    };
    let mut reading = reading();
    let before = names(&reading);
    reading.services.insert(10, (service("aaa", ("", 1), 4), traffic(1_000_000)));
    assert_eq!(names(&reading), before);
}

#[test]
fn a_busy_loop_takes_its_own_metrics_away_and_no_others() {
    let all = page(ALL, Some(condition()));
    let busy = page(ALL, None);
    assert!(all.contains("lb_ready 1"));
    assert!(!busy.contains("lb_ready"));
    for name in [
        "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
        "lb_service_packets_total",
        "lb_datapath_dropped_packets_total",
    ] {
        assert_eq!(lines(&busy, name), lines(&all, name));
    }
}

#[test]
fn every_metric_is_on_the_page_in_the_order_of_the_table() {
    let page = page(ALL, Some(condition()));
    let shown: Vec<&str> = lines(&page, "# TYPE ")
        .iter()
        .map(|line| line.split(' ').nth(2).unwrap_or_default())
        .collect();
    let known: Vec<&str> = about::ALL.iter().map(|about| about.name).collect();
    assert_eq!(shown, known);
    for about in about::ALL {
        let help = format!("# HELP {} {}", about.name, about.help);
        assert!(page.lines().any(|line| line == help), "{help}");
    }
}

/// Rules of promtool's linter and of Prometheus' naming page. kube-proxy's names are what they are.
#[test]
fn names_follow_the_conventions() {
    for about in about::ALL.iter().filter(|about| about.name.starts_with("lb_")) {
        let About { name, kind, labels, help } = about;
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(is_word(name) && labels.iter().all(|label| is_word(label)), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == MetricType::Counter, "{name}");
        assert!(help.ends_with('.') && help.len() < 240, "{name}: {help}");
        for reserved in ["le", "quantile", "job", "instance"] {
            assert!(!labels.contains(&reserved), "{name}");
        }
    }
}

/// The buckets of kube-proxy's `NetworkProgrammingLatency` and `SyncProxyRulesLatency`.
#[test]
fn histograms_have_kube_proxys_buckets() {
    let page = page(ALL, Some(condition()));
    let bounds = |name: &str| -> Vec<String> {
        let begin = format!("{name}_bucket{{");
        let of_v4 = lines(&page, &begin).into_iter().filter(|line| line.contains("IPv4"));
        of_v4
            .filter_map(|line| Some(line.split("le=\"").nth(1)?.split('"').next()?.to_owned()))
            .collect()
    };
    let programming = bounds("kubeproxy_network_programming_duration_seconds");
    // 2 + 59 + 12 + 7, and +Inf.
    assert_eq!(programming.len(), 81, "{programming:?}");
    assert_eq!(programming[..4], ["0.25", "0.5", "1", "2"]);
    assert_eq!(programming[60..63], ["59", "60", "65"]);
    assert_eq!(programming[72..], ["115", "120", "150", "180", "210", "240", "270", "300", "+Inf"]);
    let sync = bounds("kubeproxy_sync_proxy_rules_duration_seconds");
    assert_eq!((sync.len(), sync[0].as_str(), sync[14].as_str()), (16, "0.001", "16.384"));
}

/// The table of `docs/operations.md`.
fn table() -> String {
    let mut table = "| metric | type | labels | what it tells |\n|---|---|---|---|\n".to_owned();
    for About { name, kind, labels, help } in about::ALL {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = match kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            other @ (MetricType::Info | MetricType::Unknown) => panic!("{other:?}"),
        };
        let help = help.trim_end_matches('.');
        writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    table
}

#[test]
fn the_documentation_lists_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = page.find("| metric | type |").expect("a table of metrics");
    let end = page[begin..].find("\n\n").map_or(page.len(), |len| begin + len + 1);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, [&page[..begin], &table(), &page[end..]].concat()).unwrap();
        return;
    }
    assert_eq!(page[begin..end], table(), "UPDATE_GOLDEN=1 writes {}", path.display());
}

#[test]
fn service_ports_without_local_endpoints_are_counted_by_policy_and_family() {
    let mut tables = Tables::default();
    for (id, family) in [(1, 4), (2, 6), (3, 4)] {
        tables.services.insert(id, service("web", ("", 80), family));
    }
    let mut at = |last, id, kind, inside, outside| {
        let key = FrontendKey::of(Addr::v4([10, 96, 0, last]), Port::new(80), IpProto::TCP);
        let value =
            FrontendValue { service: id, kind, inside, outside, ..bytemuck::Zeroable::zeroed() };
        tables.frontends.insert(key, value);
    };
    let some = Choice { base: 0, len: 1, flags: 0 };
    let drops = Choice { base: 0, len: 0, flags: Choice::DROP };
    let refuses = Choice { base: 0, len: 0, flags: 0 };
    at(1, 1, FrontendValue::CLUSTER_IP, some, some);
    at(2, 1, FrontendValue::EXTERNAL_IP, some, drops);
    // The same port once more.
    at(3, 1, FrontendValue::LOAD_BALANCER, some, drops);
    at(4, 2, FrontendValue::CLUSTER_IP, drops, drops);
    at(5, 3, FrontendValue::CLUSTER_IP, refuses, refuses);
    let found: BTreeMap<_, _> = tables
        .without_local_endpoints()
        .into_iter()
        .map(|((policy, family), count)| ((policy.name(), family.name()), count))
        .collect();
    let expected = [
        (("external", "IPv4"), 1),
        (("external", "IPv6"), 0),
        (("internal", "IPv4"), 0),
        (("internal", "IPv6"), 1),
    ];
    assert_eq!(found, expected.into());
}
