//! A JSON document to another one: fields and items come, go, change places and values.
//!
//! What is no JSON is begun anew, and now and then the text itself is changed instead.

use super::{Bytes, Chance, replace};
use serde_json::{Map, Value, json};

/// Values that somebody turns at: numbers, addresses, names, words of Kubernetes. What is no JSON is
/// a string.
const WORDS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "80",
    "30080",
    "65535",
    "65536",
    "86400",
    "86401",
    "4294967296",
    "18446744073709551615",
    "1e400",
    "0.5",
    "[]",
    "{}",
    "\"\"",
    "None",
    "\"80\"",
    "http",
    "a",
    "node",
    "z1",
    "TCP",
    "UDP",
    "SCTP",
    "IPv4",
    "IPv6",
    "FQDN",
    "Local",
    "Cluster",
    "ClusterIP",
    "NodePort",
    "LoadBalancer",
    "ExternalName",
    "ClientIP",
    "Proxy",
    "VIP",
    "SingleStack",
    "PreferDualStack",
    "RequireDualStack",
    "True",
    "10.96.0.1",
    "10.96.0.2",
    "10.1.0.1",
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "010.0.0.1",
    "fd00:96::1",
    "fd00::1",
    "::",
    "::1",
    "fe80::1%eth0",
    "::ffff:10.96.0.1",
    "10.0.0.0/8",
    " 0.0.0.0/0 ",
    "::/0",
    "10.96.0.0/33",
    "2026-01-02T03:04:05Z",
    "0000-00-00T00:00:00Z",
    "maglev",
    r#""\u0000""#,
    r#""\u001b[31m""#,
    r#""\u2028""#,
    "é",
];

/// Fields, with what stands in them; the same there.
const FIELDS: &[(&str, &str)] = &[
    ("kind", "Service"),
    ("apiVersion", "v1"),
    ("metadata", r#"{"name":"b","namespace":"ns","labels":{"kubernetes.io/service-name":"a"}}"#),
    ("name", "a"),
    ("namespace", "ns"),
    ("creationTimestamp", "2026-01-02T03:04:05Z"),
    ("annotations", r#"{"service.lb/algorithm":"maglev"}"#),
    ("labels", r#"{"kubernetes.io/service-name":"a","app":"a"}"#),
    ("kubernetes.io/service-name", "a"),
    ("service.kubernetes.io/service-proxy-name", "other"),
    ("spec", r#"{"ports":[{"port":80}]}"#),
    ("type", "NodePort"),
    ("clusterIP", "10.96.0.2"),
    ("clusterIPs", r#"["10.96.0.2","fd00:96::2"]"#),
    ("ipFamilies", r#"["IPv4","IPv6"]"#),
    ("ipFamilyPolicy", "PreferDualStack"),
    ("externalIPs", r#"["198.51.100.1"]"#),
    ("externalName", "example.com"),
    ("loadBalancerSourceRanges", r#"["10.0.0.0/8"]"#),
    ("sessionAffinity", "ClientIP"),
    ("sessionAffinityConfig", r#"{"clientIP":{"timeoutSeconds":60}}"#),
    ("externalTrafficPolicy", "Local"),
    ("internalTrafficPolicy", "Local"),
    ("healthCheckNodePort", "32000"),
    ("publishNotReadyAddresses", "true"),
    ("selector", r#"{"app":"a"}"#),
    ("ports", r#"[{"port":80},{"name":"b","port":53,"protocol":"UDP"}]"#),
    ("port", "80"),
    ("targetPort", "http"),
    ("nodePort", "30080"),
    ("protocol", "UDP"),
    ("containerPort", "8080"),
    ("status", r#"{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}"#),
    ("ingress", r#"[{"ip":"203.0.113.1","ipMode":"VIP"}]"#),
    ("ip", "10.1.0.2"),
    ("ipMode", "Proxy"),
    ("hostname", "a"),
    ("addressType", "IPv4"),
    ("endpoints", r#"[{"addresses":["10.1.0.1"]}]"#),
    ("addresses", r#"["10.1.0.1"]"#),
    ("conditions", r#"{"ready":false,"serving":true,"terminating":true}"#),
    ("nodeName", "node"),
    ("zone", "z1"),
    ("hints", r#"{"forZones":[{"name":"z1"}],"forNodes":[{"name":"node"}]}"#),
    ("subsets", r#"[{"addresses":[{"ip":"10.1.0.3"}],"ports":[{"port":80}]}]"#),
    ("notReadyAddresses", r#"[{"ip":"10.1.0.4"}]"#),
    ("podIPs", r#"[{"ip":"10.1.0.5"}]"#),
    ("phase", "Running"),
    ("deletionTimestamp", "2026-01-02T03:04:05Z"),
    ("podCIDRs", r#"["10.1.0.0/24"]"#),
    ("version", "1"),
    ("clusterIPs", r#"{"default/s1":["10.96.0.3"],"default/s2":["10.96.0.3"]}"#),
    ("nodePorts", r#"{"default/s1":{"53/TCP":30001},"default/s2":{"53/TCP":30001}}"#),
    ("problems", r#"[{"subject":"a","field":"","message":"b"}]"#),
    ("links", r#"[{"index":1,"name":"lo","kind":"pod","reason":""}]"#),
];

/// Mutates a document in libFuzzer's buffer.
pub fn mutate(data: &mut [u8], size: usize, max: usize, seed: u32, bytes: Bytes) -> usize {
    let mut chance = Chance::new(seed, bytes);
    if chance.once_in(16) {
        return bytes(data, size, max);
    }
    let mut root = serde_json::from_slice(&data[..size])
        .unwrap_or_else(|_| json!({ "kind": "List", "items": [] }));
    for _ in 0..chance.rng.u32(1..5) {
        change(&mut root, &mut chance);
    }
    replace(data, size, max, root.to_string().as_bytes())
}

/// Makes one change somewhere in a document.
fn change(root: &mut Value, chance: &mut Chance) {
    let graft = pick(root, chance).clone();
    let place = pick(root, chance);
    match chance.rng.u32(..8) {
        0 => *place = graft,
        1 => *place = word(chance),
        _ => match place {
            Value::Array(items) => change_items(items, graft, chance),
            Value::Object(fields) => change_fields(fields, chance),
            Value::String(text) => change_text(text, chance),
            Value::Number(number) => *place = neighbour(number, chance),
            Value::Bool(on) => *on = !*on,
            Value::Null => *place = word(chance),
        },
    }
}

/// A value somewhere in a document.
fn pick<'a>(value: &'a mut Value, chance: &mut Chance) -> &'a mut Value {
    let len = match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    if len == 0 || chance.once_in(6) {
        return value;
    }
    let child = chance.rng.usize(..len);
    match value {
        Value::Array(items) => pick(&mut items[child], chance),
        Value::Object(fields) => pick(fields.values_mut().nth(child).unwrap(), chance),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn change_items(items: &mut Vec<Value>, graft: Value, chance: &mut Chance) {
    let Some(last) = items.len().checked_sub(1) else { return items.push(word(chance)) };
    let (one, other) = (chance.rng.usize(..=last), chance.rng.usize(..=last));
    match chance.rng.u32(..5) {
        0 => drop(items.remove(one)),
        1 => items.swap(one, other),
        2 => items.insert(one, graft),
        _ => items.insert(one, items[other].clone()),
    }
}

fn change_fields(fields: &mut Map<String, Value>, chance: &mut Chance) {
    let (name, value) = chance.one_of(FIELDS);
    if fields.is_empty() || !chance.once_in(3) {
        fields.insert((*name).to_owned(), parsed(value));
        return;
    }
    let old = fields.keys().nth(chance.rng.usize(..fields.len())).unwrap().clone();
    let value = fields.remove(&old);
    if chance.once_in(4) {
        fields.insert((*name).to_owned(), value.unwrap());
    }
}

fn change_text(text: &mut String, chance: &mut Chance) {
    let changed = match chance.rng.u32(..4) {
        0 => format!("{text}{text}"),
        1 => text.chars().skip(1).collect(),
        2 => format!("{text}{}", chance.rng.u8(..10)),
        _ => String::from_utf8_lossy(&chance.changed(text.as_bytes(), 8)).into_owned(),
    };
    *text = changed;
}

fn neighbour(number: &serde_json::Number, chance: &mut Chance) -> Value {
    let step = chance.rng.i64(-2..=2);
    number
        .as_i64()
        .and_then(|number| number.checked_add(step))
        .map_or_else(|| word(chance), Value::from)
}

fn word(chance: &mut Chance) -> Value {
    parsed(chance.one_of::<&str>(WORDS))
}

/// What `text` says, if it is JSON; else the text as a string.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mutation that changes nothing.
    fn none(_: &mut [u8], size: usize, _: usize) -> usize {
        size
    }

    #[test]
    fn a_document_stays_one_and_a_seed_means_one_mutation() {
        let seed =
            br#"{"kind":"List","items":[{"kind":"Service","spec":{"ports":[{"port":80}]}}]}"#;
        let mut others = 0;
        for number in 0..500 {
            let mutated = |buffer: &mut [u8]| {
                buffer[..seed.len()].copy_from_slice(seed);
                let size = mutate(buffer, seed.len(), buffer.len(), number, none);
                buffer[..size].to_vec()
            };
            let document = mutated(&mut [0; 4096]);
            assert_eq!(document, mutated(&mut [0; 4096]));
            serde_json::from_slice::<Value>(&document).unwrap();
            others += u32::from(document != seed);
        }
        assert!(others > 400, "{others} of 500 mutations changed something");
    }

    #[test]
    fn what_does_not_fit_is_left_as_it_was() {
        let mut buffer = [b'x'; 8];
        assert_eq!(replace(&mut buffer, 2, 4, b"12345"), 2);
        assert_eq!(replace(&mut buffer, 2, 8, b"12345"), 5);
        assert_eq!(&buffer, b"12345xxx");
    }

    #[test]
    fn every_field_that_looks_like_json_is_json() {
        for (name, text) in FIELDS.iter().filter(|(_, text)| text.starts_with(['{', '['])) {
            assert!(!parsed(text).is_string(), "{name}: {text}");
        }
    }
}
