//! What is asked.

use super::cluster::{DOMAIN, Service, namespaces, services};
use super::upstream;
use serde::Serialize;
use std::fmt;
use std::net::Ipv4Addr;

/// How many names outside of the cluster there are.
const EXTERNAL: usize = 1000;
/// How many of them are looked up by the search path, each as A and AAAA and under five names.
const LOOKUPS: usize = 200;

/// Questions of one kind, asked over and over.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) transport: Transport,
    pub(super) questions: Vec<Question>,
}

/// How questions come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// A name and a type of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: String,
    pub(super) kind: &'static str,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

impl Transport {
    /// As dnsperf calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl Case {
    /// All cases, in the order of the report.
    pub(super) fn all() -> Vec<Self> {
        let services = services();
        let cluster = own_names(services.iter().filter(|service| service.cluster_ip.is_some()));
        let headless = own_names(services.iter().filter(|service| service.cluster_ip.is_none()));
        vec![
            Self::new("service", Transport::Udp, cluster.clone()),
            Self::new("headless", Transport::Udp, headless),
            Self::new("reverse", Transport::Udp, reverse(&services)),
            Self::new("search path", Transport::Udp, searches()),
            Self::new("external", Transport::Udp, (0..EXTERNAL).map(external).collect()),
            Self::new("service", Transport::Tcp, cluster),
        ]
    }

    /// Questions in random order, the same at every run.
    fn new(name: &'static str, transport: Transport, mut questions: Vec<Question>) -> Self {
        fastrand::Rng::with_seed(1).shuffle(&mut questions);
        Self { name, transport, questions }
    }
}

fn own_names<'a>(services: impl Iterator<Item = &'a Service>) -> Vec<Question> {
    services.map(|service| Question { name: service.dns_name(), kind: "A" }).collect()
}

/// The addresses of all Services, and of one endpoint of each headless one.
fn reverse(services: &[Service]) -> Vec<Question> {
    let address = |service: &Service| service.cluster_ip.or(service.endpoints.first().copied());
    services.iter().filter_map(address).map(pointer).collect()
}

fn pointer(address: Ipv4Addr) -> Question {
    let [a, b, c, d] = address.octets();
    Question { name: format!("{d}.{c}.{b}.{a}.in-addr.arpa."), kind: "PTR" }
}

fn external(number: usize) -> Question {
    Question { name: upstream::name(number), kind: "A" }
}

/// What pods ask to find a name outside of the cluster: with `ndots:5`, it is tried under the
/// three domains of the cluster and the one that the node has from its network before it is tried
/// as it is. Four of five answers are NXDOMAIN.
fn searches() -> Vec<Question> {
    let namespaces = namespaces();
    let names = (0..LOOKUPS).zip(namespaces.iter().cycle());
    names.flat_map(|(number, namespace)| search(number, namespace)).collect()
}

fn search(number: usize, namespace: &str) -> Vec<Question> {
    let path = [
        format!("{namespace}.svc.{DOMAIN}."),
        format!("svc.{DOMAIN}."),
        format!("{DOMAIN}."),
        format!("{}.", upstream::NODE_DOMAIN),
        String::new(),
    ];
    let name = upstream::name(number);
    let tries = path.iter().flat_map(|domain| ["A", "AAAA"].map(|kind| (domain, kind)));
    tries.map(|(domain, kind)| Question { name: format!("{name}{domain}"), kind }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_tries_the_name_itself_last() {
        let questions: Vec<String> = search(7, "team-03").iter().map(ToString::to_string).collect();
        assert_eq!(questions.len(), 10);
        assert_eq!(questions[0], "www-007.example.com.team-03.svc.cluster.local. A");
        assert_eq!(questions[1], "www-007.example.com.team-03.svc.cluster.local. AAAA");
        assert_eq!(questions[6], "www-007.example.com.corp.example. A");
        assert_eq!(questions[9], "www-007.example.com. AAAA");
    }

    #[test]
    fn addresses_are_asked_for_backwards() {
        let question = pointer(Ipv4Addr::new(10, 96, 1, 2));
        assert_eq!(question.to_string(), "2.1.96.10.in-addr.arpa. PTR");
    }

    #[test]
    fn no_case_asks_the_same_twice_in_a_round() {
        for case in Case::all() {
            let mut questions: Vec<String> =
                case.questions.iter().map(ToString::to_string).collect();
            let count = questions.len();
            questions.sort_unstable();
            questions.dedup();
            assert!(count >= 500 && questions.len() == count, "{}", case.name);
        }
    }
}
