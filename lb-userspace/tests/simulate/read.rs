//! Files that cannot be read: the place, and what was expected there.

use crate::{changed, example};
use lb_userspace::simulate::Scenario;

/// Where the example is changed, to which JSON, and how the sentence begins.
const BAD: &[(&str, &str, &str)] = &[
    (
        "/packets/1/expect/verdct",
        "1",
        "packets[1].expect.verdct: unknown field `verdct`, expected one of `verdict`",
    ),
    (
        "/packets/1/proto",
        "\"ICMP\"",
        "packets[1].proto: unknown variant `ICMP`, expected one of `TCP`, `UDP`, `SCTP`",
    ),
    ("/packets/1/srcIP", "\"ten\"", "packets[1].srcIP: invalid IP address syntax"),
    (
        "/packets/1/dstIP",
        "\"fd00::1\"",
        "packets[1].dstIP: fd00::1 is not of the address family of 192.0.2.2",
    ),
    (
        "/packets/1/expect/backends",
        "[]",
        "packets[1].expect.backends: missing or empty, expected the backends of dnat",
    ),
    (
        "/packets/1/expect/backends",
        "[\"10.0.0.1\"]",
        "packets[1].expect.backends[0]: invalid socket address syntax",
    ),
    (
        "/then/0/pakets",
        "[]",
        "then[0].pakets: unknown field, expected one of label, restart, events",
    ),
    (
        "/then/0/expectChange",
        "true",
        "then[0].expectChange: unknown field `expectChange`, expected one of `expectHealth`",
    ),
    (
        "/then/0/events/0/op",
        "\"remove\"",
        "then[0].events[0].op: unknown variant `remove`, expected one of `add`, `update`, `delete`",
    ),
    (
        "/then/0/events/0/object/kind",
        "\"Pod\"",
        "then[0].events[0].object: is kind \"Pod\" of \"discovery.k8s.io/v1\", expected a v1 Service",
    ),
    ("/objects/1/metadata/name", "null", "objects[1].metadata.name: is missing"),
    ("/nodes", "{}", "nodes: unknown field, expected one of label"),
    ("/node/ips", "\"192.0.2.2\"", "node.ips: invalid type: string"),
    ("/node/ips/0", "\"0.0.0.0\"", "node.ips[0]: expected an address that a node can have"),
    (
        "/node/nodePortAddresses",
        "[\"secondary\"]",
        "node.nodePortAddresses[0]: \"secondary\" is no range such as 192.0.2.0/24",
    ),
    ("/kind", "\"songs\"", "kind: unknown variant `songs`"),
    (
        "/sequence",
        "[{\"id\": \"a\", \"atSeconds\": 0, \"srcIP\": \"10.244.1.20\", \"proto\": \"TCP\", \
          \"dstIP\": \"10.96.0.10\", \"dstPort\": 80, \
          \"expect\": {\"verdict\": \"dnat\", \"sameBackendAs\": \"b\"}}]",
        "sequence[0].expect.sameBackendAs: no earlier connection is called \"b\"",
    ),
];

#[test]
fn bad_files_are_told_by_place_and_what_was_expected() {
    for (pointer, value, told) in BAD {
        let text = changed(pointer, serde_json::from_str(value).unwrap()).to_string();
        let error = Scenario::read("test", &text).unwrap_err().to_string();
        assert!(error.starts_with(told), "{pointer}:\n{error}\n{told}");
    }
}

#[test]
fn what_is_no_json_is_told_by_line() {
    for (text, told) in [
        ("{\n  \"node\": oops\n}", "line 2, column 11: expected value"),
        ("", "line 1, column 0: EOF while parsing a value"),
        ("[]", "line 1, column 0: invalid type: sequence, expected a map"),
    ] {
        let error = Scenario::read("test", text).unwrap_err().to_string();
        assert!(error.starts_with(told), "{text:?}: {error}");
    }
}

#[test]
fn a_cut_or_scrambled_file_never_panics() {
    let text = example().to_string();
    for end in (0..text.len()).step_by(7) {
        let cut = Scenario::read("test", text.get(..end).unwrap_or_default());
        assert!(cut.is_err(), "{end}");
        let scrambled = text.replacen(text.get(end..end + 3).unwrap_or_default(), "null", 1);
        let _ = Scenario::read("test", &scrambled);
    }
}
