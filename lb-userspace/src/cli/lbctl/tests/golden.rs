use super::*;
use crate::cli::lbctl::resource::affinity::affinities;
use crate::cli::lbctl::resource::backends::backends;
use crate::cli::lbctl::resource::conntrack::{Filter, flows};
use crate::cli::lbctl::resource::endpoints::endpoints;
use crate::cli::lbctl::resource::frontends::frontends;
use crate::cli::lbctl::resource::links::links;
use crate::cli::lbctl::resource::services::services;
use crate::cli::lbctl::resource::sockets::sockets;
use crate::cli::lbctl::resource::status::{AgentView, MapView, StatusView, text};
use crate::cli::lbctl::{describe, select::Selector};
use crate::model::Problem;
use crate::model::status::LinkStatus;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::affinity::{AffinityKey, AffinityValue};
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::node::{LinkValue, XdpState};
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::verdict::Reason;

fn key(src: &str, dst: &str, edge: Edge) -> FlowKey {
    let ((src, sport), (dst, dport)) = (end(src), end(dst));
    FlowKey { src, dst, sport, dport, proto: IpProto::TCP, edge, zero: [0; 2] }
}

fn becomes(src: &str, dst: &str, flags: u8, backend: u32) -> FlowValue {
    let ((src, sport), (dst, dport)) = (end(src), end(dst));
    FlowValue {
        src,
        dst,
        sport,
        dport,
        addr_diff: 0,
        port_diff: 0,
        backend,
        generation: 1,
        service: 1,
        link: 0,
        seen: ago(3),
        progress: Progress(Progress::REPLIED),
        flags,
        zero: [0; 2],
    }
}

/// A plain flow with both halves, one that is masqueraded, one that turns back.
fn flow_entries() -> Vec<(FlowKey, FlowValue)> {
    let hairpin = FlowValue::SNAT | FlowValue::HAIRPIN;
    let opening = FlowValue {
        progress: Progress(0),
        seen: ago(0),
        ..becomes("192.0.2.2:5555", "10.244.0.11:8080", hairpin, 1)
    };
    vec![
        (
            key("10.244.0.20:41234", "10.96.0.10:80", Edge::INGRESS),
            becomes("10.244.0.20:41234", "10.244.0.11:8080", 0, 1),
        ),
        (
            key("10.244.0.11:8080", "10.244.0.20:41234", Edge::EGRESS),
            becomes("10.96.0.10:80", "10.244.0.20:41234", FlowValue::REPLY, 1),
        ),
        (
            key("198.51.100.7:5000", "192.0.2.2:30123", Edge::INGRESS),
            becomes("192.0.2.2:41235", "10.244.1.12:8080", FlowValue::SNAT, 2),
        ),
        (key("10.244.0.11:5555", "10.96.0.10:80", Edge::INGRESS), opening),
    ]
}

#[test]
fn services_look_like_kubectls() {
    check(
        &services(&tables(), &counters()),
        TABLE,
        "
        NAMESPACE  NAME   TYPE          CLUSTER-IP              EXTERNAL-IP  PORT(S)
        default    edge   LoadBalancer  10.96.0.20              203.0.113.5  53/TCP
        default    kubia  NodePort      10.96.0.10,fd00:96::10  <none>       80:30123/TCP,443/TCP
        ",
    );
}

#[test]
fn wide_services_count_endpoints_and_traffic() {
    let rows = services(&tables(), &counters());
    let shown = list(&rows, WIDE).unwrap();
    let words: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect())
        .collect();
    assert_eq!(words[0][6..], ["READY/TOTAL", "AFFINITY", "POLICY", "PACKETS", "BYTES", "CONNS"]);
    assert_eq!(words[1][6..], ["1/1", "None", "ext=Local,int=Cluster", "0", "0", "0"]);
    assert_eq!(words[2][6..], ["3/4", "ClientIP (10800s)", "Cluster", "42", "4200", "4"]);
}

#[test]
fn endpoints_say_who_may_be_chosen() {
    check(
        &endpoints(&tables(), &counters()),
        TABLE,
        "
        NAMESPACE  SERVICE  PORT      ENDPOINT          STATE                 LOCAL  USED-FOR
        default    edge     53/TCP    10.244.1.14:53    ready                 no     cluster
        default    kubia    http/TCP  10.244.0.11:8080  ready                 yes    cluster,local
        default    kubia    http/TCP  10.244.1.12:8080  ready                 no     cluster
        default    kubia    http/TCP  10.244.1.13:8080  serving, terminating  no     <none>
        default    kubia    http/TCP  [fd00::11]:8080   ready                 yes    cluster,local
        ",
    );
}

#[test]
fn frontends_say_where_each_side_is_led() {
    check(
        &frontends(&tables()),
        TABLE,
        "
        FRONTEND              KIND          SERVICE              INSIDE       OUTSIDE            AFFINITY
        10.96.0.20:53/TCP     ClusterIP     default/edge:53      1 endpoint   1 endpoint         <none>
        203.0.113.5:53/TCP    LoadBalancer  default/edge:53      1 endpoint   drop, local        <none>
        10.96.0.10:80/TCP     ClusterIP     default/kubia:http   2 endpoints  2 endpoints        ClientIP (10800s)
        [fd00:96::10]:80/TCP  ClusterIP     default/kubia:http   1 endpoint   1 endpoint         <none>
        *:30123/TCP (IPv4)    NodePort      default/kubia:http   2 endpoints  2 endpoints, snat  <none>
        10.96.0.10:443/TCP    ClusterIP     default/kubia:https  reject       reject             <none>
        ",
    );
}

#[test]
fn backends_are_cells_in_use() {
    let shown = list(&backends(&tables(), &counters()), TABLE).unwrap();
    assert_eq!(shown.lines().count(), 6, "the free cell is left out:\n{shown}");
    let last = shown.lines().last().unwrap();
    let words: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "5",
            "10.244.1.14:53",
            "TCP",
            "default/edge:53",
            "ready,serving,cluster-set",
            "1",
            "0",
            "0",
            "0"
        ]
    );
}

#[test]
fn flows_are_arrows_of_three_parts() {
    check(
        &flows(&flow_entries(), &tables(), ages()),
        TABLE,
        "
        FLOW                                                          STATE        IDLE     SERVICE
        TCP 10.244.0.11:5555 -> 10.96.0.10:80 -> 10.244.0.11:8080     OPENING      idle 0s  default/kubia [snat 192.0.2.2:5555] [hairpin]
        TCP 10.244.0.20:41234 -> 10.96.0.10:80 -> 10.244.0.11:8080    ESTABLISHED  idle 3s  default/kubia
        TCP 198.51.100.7:5000 -> 192.0.2.2:30123 -> 10.244.1.12:8080  ESTABLISHED  idle 3s  default/kubia [snat 192.0.2.2:41235]
        ",
    );
}

#[test]
fn flows_of_another_proxy_are_told_apart() {
    let of_nobody = |value| FlowValue { backend: 0, generation: 0, ..value };
    let (kept, snat) = (FlowValue::FOREIGN, FlowValue::FOREIGN | FlowValue::SNAT);
    let entries = [
        (
            key("10.244.0.20:41234", "10.96.0.10:80", Edge::INGRESS),
            of_nobody(becomes("10.244.0.20:41234", "10.96.0.10:80", kept, 1)),
        ),
        (
            key("198.51.100.7:5000", "192.0.2.2:30123", Edge::INGRESS),
            of_nobody(becomes("192.0.2.2:41235", "10.244.1.12:8080", snat, 1)),
        ),
    ];
    let rows = flows(&entries, &tables(), ages());
    check(
        &rows,
        TABLE,
        "
        FLOW                                                          STATE        IDLE     SERVICE
        TCP 10.244.0.20:41234 -> 10.96.0.10:80 -> another proxy       ESTABLISHED  idle 3s  default/kubia [foreign]
        TCP 198.51.100.7:5000 -> 192.0.2.2:30123 -> 10.244.1.12:8080  ESTABLISHED  idle 3s  default/kubia [snat 192.0.2.2:41235] [foreign]
        ",
    );
    assert!(rows.iter().all(|row| row.foreign && !row.stale));
    let backend = Some("10.244.1.0/24".parse().unwrap());
    let filter = Filter { backend, ..Filter::default() };
    assert_eq!(rows.iter().filter(|row| filter.takes(row)).count(), 1);
}

#[test]
fn wide_flows_show_both_halves_with_the_same_ends() {
    let rows = flows(&flow_entries(), &tables(), ages());
    let shown = list(&rows, WIDE).unwrap();
    assert!(
        shown.contains("TCP 10.244.0.11:8080 -> 10.96.0.10:80 -> 10.244.0.20:41234 "),
        "{shown}"
    );
    let halves: Vec<_> =
        rows.iter().filter(|row| row.client == "10.244.0.20:41234".parse().unwrap()).collect();
    let ends = |row: &crate::cli::lbctl::resource::conntrack::FlowView| {
        (row.client, row.frontend, row.backend, row.snat)
    };
    assert_eq!(ends(halves[0]), ends(halves[1]));
    assert_eq!([halves[0].edge, halves[1].edge], ["ingress", "egress"]);
}

#[test]
fn flows_are_found_by_their_ends() {
    let rows = flows(&flow_entries(), &tables(), ages());
    let found = |filter: Filter| rows.iter().filter(|row| filter.takes(row)).count();
    let peer = |text: &str| Some(text.parse().unwrap());
    assert_eq!(found(Filter::default()), 4);
    assert_eq!(found(Filter { client: peer("198.51.100.7"), ..Filter::default() }), 1);
    assert_eq!(found(Filter { client: peer("10.244.0.20:41234"), ..Filter::default() }), 2);
    assert_eq!(found(Filter { backend: peer("10.244.1.0/24"), ..Filter::default() }), 1);
    let service = Selector { namespace: None, name: Some("edge".into()) };
    assert_eq!(found(Filter { service, ..Filter::default() }), 0);
}

#[test]
fn a_flow_to_a_cell_with_another_owner_is_stale() {
    let mut tables = tables();
    tables.backends.get_mut(&1).unwrap().generation = 2;
    let stale: Vec<bool> =
        flows(&flow_entries(), &tables, ages()).iter().map(|row| row.stale).collect();
    assert_eq!(stale, [true, true, true, false]);
}

#[test]
fn sockets_show_what_the_process_sees_and_who_it_is() {
    let ((backend, backend_port), (vip, vip_port)) =
        (end("10.244.0.11:8080"), end("10.96.0.10:80"));
    let key = |addr, port, edge| SocketKey {
        cookie: 77,
        addr,
        port,
        proto: IpProto::UDP,
        edge,
        zero: [0; 4],
    };
    let value = |addr, port| SocketValue { addr, port, zero: [0; 6], backend: 1, generation: 1 };
    let entries = [
        (key(backend, backend_port, Edge::INGRESS), value(vip, vip_port)),
        (
            key(vip, vip_port, Edge::EGRESS),
            SocketValue { generation: 9, ..value(backend, backend_port) },
        ),
    ];
    check(
        &sockets(&entries, &tables()),
        WIDE,
        "
        COOKIE  PROTO  FRONTEND       BACKEND           SERVICE        STALE  USED-TO  ID
        77      UDP    10.96.0.10:80  10.244.0.11:8080  default/kubia  no     receive  1
        77      UDP    10.96.0.10:80  10.244.0.11:8080  <gone>         yes    send     1
        ",
    );
}

#[test]
fn affinities_tell_how_long_they_last() {
    let key = |client: Addr, affinity| AffinityKey { client, affinity, zero: [0; 4] };
    let value = |generation, seconds| AffinityValue { backend: 1, generation, seen: ago(seconds) };
    let entries = [
        (key(addr("10.0.0.7"), 1), value(1, 125)),
        (key(Addr::ANY, 1), value(2, 900)),
        (key(addr("10.0.0.8"), 99), value(1, 1)),
    ];
    check(
        &affinities(&entries, &tables(), ages()),
        TABLE,
        "
        CLIENT       SERVICE             BACKEND           IDLE  TIMEOUT  LEFT
        10.0.0.8     <gone>              10.244.0.11:8080  1s    ?        ?
        (this node)  default/kubia:http  <gone>            15m   3h       2h45m
        10.0.0.7     default/kubia:http  10.244.0.11:8080  2m5s  3h       2h57m
        ",
    );
}

#[test]
fn without_a_clock_ages_are_unknown() {
    let ages = Ages { clock: Clock { jiffies: 0, monotonic_ns: 0, hz: 0 }, now_ns: 5 };
    let rows = flows(&flow_entries(), &tables(), ages);
    assert!(list(&rows, TABLE).unwrap().contains("idle ?"));
}

#[test]
fn links_say_why_xdp_is_off() {
    let link = |kind, tc, xdp, named: &str| LinkValue {
        name: std::array::from_fn(|at| named.as_bytes().get(at).copied().unwrap_or(0)),
        masquerade_v4: addr("192.0.2.2"),
        masquerade_v6: Addr::ANY,
        kind,
        tc,
        xdp,
        zero: [0; 5],
    };
    let values = [
        (0, link(0, 0, XdpState::NOT_AN_UPLINK, "")),
        (2, link(LinkValue::UPLINK, LinkValue::TCX, XdpState::DRIVER, "eth0")),
        (3, link(LinkValue::UPLINK, LinkValue::CLSACT, XdpState::REFUSED, "eth1")),
        (
            4,
            LinkValue {
                masquerade_v4: Addr::ANY,
                ..link(LinkValue::POD, LinkValue::TCX, XdpState::NOT_AN_UPLINK, "veth7")
            },
        ),
    ];
    let left_alone = LinkStatus {
        index: 5,
        name: "wg0".into(),
        kind: "none".into(),
        reason: "matches no --devices pattern".into(),
    };
    check(
        &links(&values.into(), &[left_alone]),
        TABLE,
        "
        INDEX  NAME    KIND    TC      XDP     MASQUERADE  REASON
        0      (node)  none    -       -       192.0.2.2   -
        2      eth0    uplink  tcx     driver  192.0.2.2   -
        3      eth1    uplink  clsact  off     192.0.2.2   the driver refused the XDP program
        4      veth7   pod     tcx     -       <none>      XDP is for uplinks only
        5      wg0     none    -       -       <none>      matches no --devices pattern
        ",
    );
}

#[test]
fn a_description_reads_like_kubectls() {
    let problem = Problem {
        subject: "Service default/kubia".into(),
        field: "spec.ports[0].nodePort".into(),
        message: "is taken by default/other".into(),
    };
    let selector = Selector::new(Some(&"default/kubia".parse().unwrap()), None);
    let found = describe::describe(&tables(), &counters(), &[problem], &selector);
    let expected = "\
Name:                     kubia
Namespace:                default
Type:                     NodePort
IP Families:              IPv4,IPv6
IPs:                      10.96.0.10,fd00:96::10
Port:                     http  80/TCP
TargetPort:               8080/TCP
NodePort:                 http  30123/TCP
Endpoints:                10.244.0.11:8080,10.244.1.12:8080,10.244.1.13:8080 (serving, terminating),[fd00::11]:8080
Port:                     https  443/TCP
TargetPort:               8080/TCP
Endpoints:                <none>
Session Affinity:         ClientIP (10800s)
External Traffic Policy:  Cluster
Internal Traffic Policy:  Cluster
Traffic:                  42 packets, 4200 bytes, 4 connections
Events:
  Warning  spec.ports[0].nodePort: is taken by default/other
";
    assert_eq!(describe::text(&found[0]), expected);
}

fn status() -> StatusView {
    StatusView {
        running: true,
        up_s: Some(11_520),
        agent: Some(AgentView {
            pid: 7,
            version: "0.1.0".into(),
            node: "node-1".into(),
            source: "manifests /etc/lb".into(),
            synced: true,
            foreign_connections: None,
        }),
        layout: 1,
        services: 2,
        backends: 5,
        attachments: vec!["eth0".into()],
        maps: vec![
            MapView::new("CONNTRACK", 50, 100, true),
            MapView::new("SERVICES", 4, 64, false),
        ],
        reasons: vec![(Reason::NoEndpoint, 3).into(), (Reason::NoRoute, 0).into()],
        problems: vec![],
    }
}

#[test]
fn status_tells_what_is_full_and_what_was_dropped() {
    let expected = "\
Agent:     running, pid 7, version 0.1.0, up 3h12m
Node:      node-1
Source:    manifests /etc/lb
Synced:    yes
Layout:    v1
Services:  2 with 5 endpoints
Attached:  1 (pinned links)

MAP        ENTRIES  CAPACITY  USED  WHEN-FULL
CONNTRACK  50       100       50%   evicts
SERVICES   4        64        6%    refuses

REASON      PACKETS  MEANING
NoEndpoint  3        refused: the service has no usable endpoint

Problems:  <none>
";
    assert_eq!(text(&status(), TABLE).unwrap(), expected);
}

#[test]
fn status_tells_how_many_connections_another_proxy_still_has() {
    let told = |count: usize, running: bool| {
        let agent =
            status().agent.map(|agent| AgentView { foreign_connections: Some(count), ..agent });
        let shown = text(&StatusView { running, agent, ..status() }, TABLE).unwrap();
        shown.lines().find(|line| line.starts_with("Foreign:")).unwrap().to_owned()
    };
    assert_eq!(told(0, true), "Foreign:   none");
    assert_eq!(told(1, true), "Foreign:   1 connection is left to another proxy");
    let down = "Foreign:   12 connections were left to another proxy";
    assert_eq!(told(12, false), down);
}

#[test]
fn status_of_a_node_whose_agent_is_down_says_so() {
    let down = StatusView { running: false, up_s: None, ..status() };
    let shown = text(&down, TABLE).unwrap();
    assert!(
        shown.starts_with("Agent:     down: the maps are what version 0.1.0 left\n"),
        "{shown}"
    );
    let unknown = StatusView { agent: None, ..down };
    assert!(
        text(&unknown, TABLE).unwrap().starts_with("Agent:     down: the maps are what it left\n")
    );
}
