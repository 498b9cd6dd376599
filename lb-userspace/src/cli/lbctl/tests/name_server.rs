//! The agent's own name server beside the endpoints of a Service.

use super::*;
use crate::cli::lbctl::resource::endpoints::endpoints;
use crate::cli::lbctl::resource::frontends::frontends;

const AGENT: u8 =
    BackendValue::AGENT | BackendValue::LOCAL | BackendValue::READY | BackendValue::SERVING;

/// The tables of the node, with an agent in the place of `kubia:http` for clients inside.
fn tables() -> Tables {
    let mut tables = super::tables();
    tables.backends.insert(7, backend("192.0.2.1:10053", 1, AGENT));
    tables.slots.insert(0, vec![1, 2, 7]);
    let sides = (choice(0, 2, Choice::AGENT), choice(0, 2, 0));
    let value = frontend(1, FrontendValue::CLUSTER_IP, sides.0, sides.1);
    tables.frontends.insert(at("10.96.0.10:80"), value);
    tables
}

#[test]
fn a_frontend_says_who_is_asked_first_and_counts_endpoints_only() {
    let shown = list(&frontends(&tables()), TABLE).unwrap();
    let line = shown.lines().find(|line| line.starts_with("10.96.0.10:80/TCP")).unwrap();
    let words: Vec<&str> =
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(words[3..5], ["agent, else 2 endpoints", "2 endpoints"], "{shown}");
    let all = serde_json::to_value(frontends(&tables())).unwrap();
    let own = all.as_array().unwrap().iter().find(|one| one["inside"]["name_server"].is_string());
    let own = own.unwrap();
    assert_eq!((&own["port"], &own["inside"]["endpoints"]), (&80.into(), &2.into()), "{own}");
    assert_eq!(own["inside"]["name_server"], "192.0.2.1:10053");
    assert!(own["outside"]["name_server"].is_null(), "{own}");
}

#[test]
fn it_is_listed_with_the_endpoints_for_clients_of_the_node() {
    let all = endpoints(&tables(), &counters());
    let own = all.iter().find(|one| one.address.port() == 10053).unwrap();
    assert_eq!(own.used_for, ["node"]);
}
