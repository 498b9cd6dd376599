//! `lbctl trace` over real maps that an agent pinned and left behind, on a node that is a network
//! namespace with a pod's link and an uplink. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test panics where it cannot go on"
)]

/// The node's network.
mod network;
/// The node.
mod node;
/// What its agent left.
mod tables;

use node::Node;
use serde_json::Value;
use std::process::ExitCode;

/// Compares what is printed, without the indentation of the expectation.
#[track_caller]
fn check(node: &Node, args: &str, expected: &str) {
    let shown = node.shown(&format!("trace {args}"));
    // How long a flow has been idle depends on how busy the machine is.
    let line = |line: &str| line.split(", idle ").next().unwrap().trim().to_owned();
    let lines = |text: &str| -> Vec<String> { text.trim().lines().map(line).collect() };
    assert_eq!(lines(&shown), lines(expected), "{args}:\n{shown}");
}

#[test]
fn a_new_flow_is_told_step_by_step() {
    let node = Node::new();
    check(
        &node,
        "--from 10.244.0.20 --to 10.96.0.10:80",
        "TCP 10.244.0.20:40001 -> 10.96.0.10:80, in by veth1 (pod)
           address   10.96.0.10 is a ClusterIP
           flow      new
           frontend  default/kubia:http (ClusterIP)
           client    inside, a pod of this node
           choice    1 endpoint of the cluster
           backend   10.244.0.11:8080, on this node
           source    kept
         TCP 10.244.0.20:40001 -> 10.244.0.11:8080, on through the host's stack, out by veth1",
    );
    // From outside, to another node: the answers have to come back.
    check(
        &node,
        "--from 198.51.100.7:20001 --to 192.0.2.2:30123",
        "TCP 198.51.100.7:20001 -> 192.0.2.2:30123, in by uplink (uplink)
           address   192.0.2.2 serves node ports
           flow      new
           frontend  default/far:http (NodePort)
           client    outside
           choice    1 endpoint of the cluster
           backend   10.244.1.13:8080, not on this node
           source    replaced by 192.0.2.2:20001: the answer has to come back this way
         TCP 192.0.2.2:20001 -> 10.244.1.13:8080, out by uplink at once",
    );
    // A pod that chose itself.
    check(
        &node,
        "--from 10.244.0.11:20001 --to 10.96.0.10:80",
        "TCP 10.244.0.11:20001 -> 10.96.0.10:80, in by veth1 (pod)
           address   10.96.0.10 is a ClusterIP
           flow      new
           frontend  default/kubia:http (ClusterIP)
           client    inside, a pod of this node
           choice    1 endpoint of the cluster
           backend   10.244.0.11:8080, on this node
           source    replaced by 192.0.2.2:20001: the client has reached itself
         TCP 192.0.2.2:20001 -> 10.244.0.11:8080, out by veth1 at once",
    );
}

#[test]
fn who_is_not_served_hears_why() {
    let node = Node::new();
    for (args, last) in [
        ("--from 10.244.0.20 --to 10.9.9.9:80", "passes: nothing here means this address"),
        ("--from 10.244.0.20 --to 192.0.2.2:30999", "passes: no Service has this node port"),
        (
            "--from 10.244.0.20 --to 10.244.0.11:8080",
            "passes: it is aimed at an endpoint itself, not at a Service",
        ),
        (
            "--from 10.244.0.20 --to 203.0.113.5:81",
            "passes: no Service has this port at the address",
        ),
        (
            "--from 10.244.0.20 --to 10.96.0.10:81",
            "refused: no Service has this port at the virtual address (a TCP reset)",
        ),
        (
            "--from 10.244.0.20 --to 10.96.0.10:81 --proto udp",
            "refused: no Service has this port at the virtual address (ICMP: port unreachable)",
        ),
        (
            "--from 10.244.0.20 --to 10.96.0.13:80",
            "refused: the service has no usable endpoint (a TCP reset)",
        ),
        (
            "--from 10.244.0.20 --to 10.96.0.13:80 --in-link uplink",
            "dropped: the traffic policy is Local and this node has no usable endpoint",
        ),
        (
            "--from 198.51.100.7 --to 203.0.113.5:80",
            "dropped: the client is not in loadBalancerSourceRanges",
        ),
        (
            "--from 10.244.0.20 --to 10.96.0.10:80 --in-link lo",
            "passes: no program is attached to link lo",
        ),
    ] {
        let shown = node.shown(&format!("trace {args}"));
        assert_eq!(shown.lines().last(), Some(last), "{args}:\n{shown}");
    }
}

#[test]
fn the_guard_of_a_frontend_is_a_step() {
    let node = Node::new();
    check(
        &node,
        "--from 198.51.100.7 --to 203.0.113.5:80",
        "TCP 198.51.100.7:40001 -> 203.0.113.5:80, in by uplink (uplink)
           address   203.0.113.5 is an address of a Service
           flow      new
           frontend  default/guarded:http (LoadBalancer)
           ranges    the client is in none
         dropped: the client is not in loadBalancerSourceRanges",
    );
    let admitted = node.shown("trace --from 198.51.100.77 --to 203.0.113.5:80");
    assert!(admitted.contains("\n  ranges    the client is in them\n"), "{admitted}");
}

#[test]
fn a_known_flow_keeps_its_backend_in_both_directions() {
    let node = Node::new();
    node.remember_flow();
    check(
        &node,
        "--from 10.244.0.20:41234 --to 10.96.0.14:80",
        "TCP 10.244.0.20:41234 -> 10.96.0.14:80, in by veth1 (pod)
           flow      of default/three:http, ESTABLISHED
           backend   10.244.1.13:8080, not on this node
           source    kept
         TCP 10.244.0.20:41234 -> 10.244.1.13:8080, on through the host's stack, out by uplink",
    );
    check(
        &node,
        "--from 10.244.1.13:8080 --to 10.244.0.20:41234",
        "TCP 10.244.1.13:8080 -> 10.244.0.20:41234, in by uplink (uplink)
           address   10.244.0.20 means nothing here
           flow      of default/three:http, ESTABLISHED
           backend   10.244.1.13:8080, not on this node
         TCP 10.96.0.14:80 -> 10.244.0.20:41234, on through the host's stack, out by veth1",
    );
    // A port is chosen that no flow has.
    let other = node.shown("trace --from 10.244.0.20 --to 10.96.0.14:80");
    assert!(other.contains("\n  flow      new\n"), "{other}");
}

#[test]
fn a_client_with_affinity_gets_the_endpoint_that_it_had() {
    let node = Node::new();
    let args = "--from 10.244.0.20 --to 10.96.0.15:80";
    let before = node.shown(&format!("trace {args}"));
    assert!(before.contains("\n  affinity  not remembered yet\n"), "{before}");
    for backend in ["10.244.0.11:8080", "10.244.0.12:8080", "10.244.1.13:8080"] {
        node.remember_client(backend);
        let shown = node.shown(&format!("trace {args}"));
        assert!(shown.contains(&format!("\n  affinity  remembered with {backend}\n")), "{shown}");
        assert!(shown.contains(&format!("\n  backend   {backend}, ")), "{shown}");
        // All of many connections follow it.
        let spread = node.shown(&format!("trace {args} --count 20"));
        assert_eq!(spread.lines().skip(1).collect::<Vec<_>>(), [format!("  20  {backend}")]);
    }
}

#[test]
fn connections_spread_over_endpoints_and_alike_each_time() {
    let node = Node::new();
    let args = "trace --from 10.244.0.20 --to 10.96.0.14:80 --count 300 -o json";
    let spread: Value = serde_json::from_str(&node.shown(args)).unwrap();
    let outcomes = spread["outcomes"].as_array().unwrap();
    let counts: Vec<u64> =
        outcomes.iter().map(|one| one["connections"].as_u64().unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (3, 300), "{spread:#}");
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    let again: Value = serde_json::from_str(&node.shown(args)).unwrap();
    assert_eq!(spread, again);
}

#[test]
fn a_process_of_the_node_is_led_when_it_connects() {
    let node = Node::new();
    check(
        &node,
        "--from 192.0.2.2 --to 10.96.0.10:80",
        "TCP 192.0.2.2:40001 -> 10.96.0.10:80, from a process of this node
           address   10.96.0.10 is a ClusterIP
           frontend  default/kubia:http (ClusterIP)
           client    inside, a process of this node
           choice    1 endpoint of the cluster
           backend   10.244.0.11:8080, on this node
         TCP 192.0.2.2:40001 -> 10.244.0.11:8080, from the socket on",
    );
    for (args, last) in [
        (
            "--from 127.0.0.1 --to 10.96.0.10:81",
            "refused: no Service has this port at the virtual address (connect fails with ECONNREFUSED)",
        ),
        (
            "--from 192.0.2.2 --to 203.0.113.5:80",
            "dropped: the client is not in loadBalancerSourceRanges (connect fails with EPERM)",
        ),
        // Another address of the node: a process that is bound to it is let in.
        (
            "--from 198.51.100.77 --to 203.0.113.5:80",
            "TCP 198.51.100.77:40001 -> 10.244.1.13:8080, from the socket on",
        ),
        ("--from 192.0.2.2 --to 10.9.9.9:80", "passes: nothing here means this address"),
        // There is no hook for its calls: its packets are met where they leave.
        (
            "--from 192.0.2.2 --to 10.96.0.10:9999 --proto sctp",
            "SCTP 192.0.2.2:40001 -> 10.244.0.11:9899, out by veth1 at once",
        ),
    ] {
        if args.contains("198.51.100.77") {
            network::add_address("198.51.100.77");
        }
        let shown = node.shown(&format!("trace {args}"));
        assert_eq!(shown.lines().last(), Some(last), "{args}:\n{shown}");
    }
    let spread = node.shown("trace --from 192.0.2.2 --to 10.96.0.14:80 --count 60");
    assert_eq!(spread.lines().count(), 4, "{spread}");
    node.detach("lb_connect4");
    let shown = node.shown("trace --from 192.0.2.2 --to 10.96.0.10:80");
    assert!(shown.contains("passes: the programs for processes of this node are not"), "{shown}");
}

#[test]
fn programs_see_udp_sctp_and_ipv6_alike() {
    let node = Node::new();
    for (args, after) in [
        (
            "--from 10.244.0.20 --to 10.96.0.10:53 --proto udp",
            "UDP 10.244.0.20:40001 -> 10.244.0.11:5353, on through the host's stack, out by veth1",
        ),
        (
            "--from 10.244.0.20 --to 10.96.0.10:9999 --proto sctp",
            "SCTP 10.244.0.20:40001 -> 10.244.0.11:9899, on through the host's stack, out by veth1",
        ),
        (
            "--from fd00:10:244::20 --to [fd00:10:96::10]:80",
            "TCP [fd00:10:244::20]:40001 -> [fd00:10:244::11]:8080, on through the host's stack, \
             out by veth1",
        ),
        (
            "--from 2001:db8:1::2 --to [fd00:10:96::10]:80",
            "TCP [2001:db8:1::2]:40001 -> [fd00:10:244::11]:8080, from the socket on",
        ),
    ] {
        let shown = node.shown(&format!("trace {args}"));
        assert_eq!(shown.lines().last(), Some(after), "{args}:\n{shown}");
    }
}

#[test]
fn xdp_comes_first_where_it_runs() {
    let node = Node::new();
    node.xdp();
    let args = "trace --from 198.51.100.7:20001 --to 192.0.2.2:30123";
    let shown = node.shown(args);
    assert!(shown.contains(", in by uplink (uplink with XDP)\n"), "{shown}");
    assert!(shown.contains("\n  flow      new\n"), "{shown}");
    let json = |args: &str| -> Value {
        serde_json::from_str(&node.shown(&format!("{args} -o json"))).unwrap()
    };
    // The neighbour is not known yet, so XDP leaves the packet to TC.
    assert_eq!(json(args)["outcome"]["program"], "TC ingress");
    network::know_neighbour();
    assert_eq!(json(args)["outcome"]["program"], "XDP");
    let local = "trace --from 198.51.100.7 --to 192.0.2.2:30124";
    assert_eq!(json(local)["outcome"]["program"], "XDP");
    assert_eq!(json(local)["outcome"]["leaves"]["stack"], "veth1");
}

#[test]
fn json_and_yaml_hold_one_object() {
    let node = Node::new();
    let args = "trace --from 10.244.0.20 --to 10.96.0.10:80 -o";
    let json: Value = serde_json::from_str(&node.shown(&format!("{args} json"))).unwrap();
    let yaml: Value = serde_saphyr::from_str(&node.shown(&format!("{args} yaml"))).unwrap();
    assert_eq!(json, yaml);
    let packet = serde_json::json!({
        "protocol": "TCP", "from": "10.244.0.20:40001", "to": "10.244.0.11:8080",
    });
    let outcome = serde_json::json!({
        "verdict": "translated", "sentence": "translated", "reason": null,
        "program": "TC ingress", "packet": packet, "leaves": {"stack": "veth1"},
    });
    assert_eq!(json["outcome"], outcome);
    let backend =
        serde_json::json!({"step": "backend", "address": "10.244.0.11:8080", "local": true});
    assert_eq!(json["steps"][5], backend);
    let entry = serde_json::json!({
        "by": "link", "index": network::index("veth1"), "name": "veth1", "kind": "pod", "tc": true,
        "xdp": false, "chosen": "route",
    });
    assert_eq!(json["entry"], entry);
}

#[test]
fn the_maps_of_the_node_are_the_same_afterwards() {
    let node = Node::new();
    node.remember_flow();
    node.remember_client("10.244.0.12:8080");
    let before = node.dump();
    for args in [
        "--from 10.244.0.20 --to 10.96.0.14:80 --count 50",
        "--from 10.244.0.20:41234 --to 10.96.0.14:80",
        "--from 10.244.0.20 --to 10.96.0.15:80 --count 50",
        "--from 10.244.0.20 --to 10.96.0.13:80",
        "--from 198.51.100.7 --to 192.0.2.2:30123 --count 50",
        "--from 198.51.100.7 --to 203.0.113.5:80",
        "--from 192.0.2.2 --to 10.96.0.14:80 --count 50",
        "--from 192.0.2.2 --to 10.96.0.15:80",
    ] {
        node.shown(&format!("trace {args}"));
    }
    assert_eq!(node.dump(), before);
}

#[test]
fn mistakes_are_told_in_a_sentence() {
    let node = Node::new();
    for (args, sentence) in [
        (
            "--from 10.244.0.20 --to [fd00::1]:80",
            "error: 10.244.0.20 and fd00::1 are of two address families\n",
        ),
        (
            "--from 10.244.0.20 --to 10.96.0.10:80 --in-link none",
            "error: there is no link \"none\" (`lbctl get links` lists those that are served)\n",
        ),
    ] {
        let (code, out, err) = node.lbctl(&format!("trace {args}"));
        assert_eq!((code, out.as_str(), err.as_str()), (ExitCode::FAILURE, "", sentence));
    }
    network::rename_link("veth1", "veth2");
    let (code, _, err) = node.lbctl("trace --from 10.244.0.20 --to 10.96.0.10:80");
    assert_eq!(code, ExitCode::FAILURE);
    assert!(err.contains("run lbctl in the node's network namespace"), "{err}");
}
