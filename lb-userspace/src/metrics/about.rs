//! What each metric is called and what it tells, in the order of the page.
//!
//! `docs/operations.md` has the same table; a test compares them.

use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::MetricType::{Counter, Gauge, Histogram};

/// A metric.
#[derive(Debug)]
pub(super) struct About {
    /// Its whole name.
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    pub(super) labels: &'static [&'static str],
    /// Its `HELP` line.
    pub(super) help: &'static str,
}

const FAMILY: &[&str] = &["ip_family"];
const SERVICE: &[&str] = &["namespace", "service", "port", "protocol"];
const BACKEND: &[&str] = &["namespace", "service", "port", "protocol", "backend"];

pub(super) const NETWORK_PROGRAMMING: About = About {
    name: "kubeproxy_network_programming_duration_seconds",
    kind: Histogram,
    labels: FAMILY,
    help: "Time from the change of a pod or Service, as the EndpointSlice's \
           last-change-trigger-time dates it, until it is in the maps; changes before the agent's \
           start are left out.",
};
pub(super) const SYNC_DURATION: About = About {
    name: "kubeproxy_sync_proxy_rules_duration_seconds",
    kind: Histogram,
    labels: FAMILY,
    help: "Time to bring what changed into the maps. Both families are written in one round, so \
           both series are the same.",
};
pub(super) const LAST_SYNC: About = About {
    name: "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    kind: Gauge,
    labels: FAMILY,
    help: "When a round last ended without an error, in seconds since 1970; 0: never.",
};
pub(super) const LAST_QUEUED: About = About {
    name: "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
    kind: Gauge,
    labels: FAMILY,
    help: "When something last changed, in seconds since 1970; 0: never. Much later than the last \
           round: something hangs.",
};
pub(super) const SERVICE_CHANGES: About = About {
    name: "kubeproxy_sync_proxy_rules_service_changes_total",
    kind: Counter,
    labels: &[],
    help: "Changes of Services that were seen.",
};
pub(super) const SERVICE_CHANGES_PENDING: About = About {
    name: "kubeproxy_sync_proxy_rules_service_changes_pending",
    kind: Gauge,
    labels: &[],
    help: "Changes of Services that are not in the maps yet.",
};
pub(super) const ENDPOINT_CHANGES: About = About {
    name: "kubeproxy_sync_proxy_rules_endpoint_changes_total",
    kind: Counter,
    labels: &[],
    help: "Changes of EndpointSlices that were seen.",
};
pub(super) const ENDPOINT_CHANGES_PENDING: About = About {
    name: "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
    kind: Gauge,
    labels: &[],
    help: "Changes of EndpointSlices that are not in the maps yet.",
};
pub(super) const NO_LOCAL_ENDPOINTS: About = About {
    name: "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
    kind: Gauge,
    labels: &["traffic_policy", "ip_family"],
    help: "Service ports whose traffic policy is Local and that have usable endpoints, but none on \
           this node: what such a policy binds is dropped here.",
};
pub(super) const READY: About = About {
    name: "lb_ready",
    kind: Gauge,
    labels: &[],
    help: "Whether /readyz says yes: maps are written, programs are attached, and the kernel \
           refused nothing in the last round.",
};
pub(super) const SYNCED: About = About {
    name: "lb_source_synced",
    kind: Gauge,
    labels: &[],
    help: "Whether every object that existed at the agent's start has been read.",
};
pub(super) const WATCHED: About = About {
    name: "lb_source_up",
    kind: Gauge,
    labels: &["kind"],
    help: "Whether the API server answers questions about this kind of objects; while it does \
           not, what was known of them stays in force. Absent with --manifests.",
};
pub(super) const PROBLEMS: About = About {
    name: "lb_problems",
    kind: Gauge,
    labels: &[],
    help: "What cannot be done as the objects want it; `lbctl get status` lists it.",
};
pub(super) const FOREIGN: About = About {
    name: "lb_foreign_connections",
    kind: Gauge,
    labels: &[],
    help: "Connections of another proxy that are left to it until they end. Absent while nobody has \
           looked for them.",
};
pub(super) const BUILD: About = About {
    name: "lb_build_info",
    kind: Gauge,
    labels: &["version"],
    help: "Always 1; the label is the agent's version.",
};
pub(super) const MAP_ENTRIES: About = About {
    name: "lb_map_entries",
    kind: Gauge,
    labels: &["map"],
    help: "Entries in use. Flows, clients and sockets (CONNTRACK, AFFINITY, SOCKETS) are counted \
           once a minute at most.",
};
pub(super) const MAP_CAPACITY: About =
    About { name: "lb_map_capacity", kind: Gauge, labels: &["map"], help: "Entries that fit in." };
pub(super) const DROPPED: About = About {
    name: "lb_datapath_dropped_packets_total",
    kind: Counter,
    labels: &["reason"],
    help: "Packets that ended here without a word to the client.",
};
pub(super) const ANSWERED: About = About {
    name: "lb_datapath_answered_packets_total",
    kind: Counter,
    labels: &["reason"],
    help: "Packets that were answered by the programs themselves: refusals, ICMP errors, echoes.",
};
pub(super) const PASSED: About = About {
    name: "lb_datapath_passed_packets_total",
    kind: Counter,
    labels: &["reason"],
    help: "Packets that could not be understood and went on untouched; they are counted at every \
           hook that they pass, whoever they belong to.",
};
pub(super) const HELD: About = About {
    name: "lb_datapath_held_packets_total",
    kind: Counter,
    labels: &["reason"],
    help: "Fragments that were kept aside until the first of their datagram came.",
};
pub(super) const SERVICE_PACKETS: About = About {
    name: "lb_service_packets_total",
    kind: Counter,
    labels: SERVICE,
    help: "Packets translated for a service port, both directions. Those of the node's own \
           processes need no translation and are not counted.",
};
pub(super) const SERVICE_BYTES: About = About {
    name: "lb_service_bytes_total",
    kind: Counter,
    labels: SERVICE,
    help: "Bytes of these packets, from the IP header on.",
};
pub(super) const SERVICE_CONNECTIONS: About = About {
    name: "lb_service_connections_total",
    kind: Counter,
    labels: SERVICE,
    help: "Flows opened to a service port, those of the node's own processes included.",
};
pub(super) const SERVICES_LEFT_OUT: About = About {
    name: "lb_service_series_left_out",
    kind: Gauge,
    labels: &[],
    help: "Service ports beyond --metrics-max-services: their numbers are summed under \
           service=\"other\".",
};
pub(super) const BACKEND_PACKETS: About = About {
    name: "lb_backend_packets_total",
    kind: Counter,
    labels: BACKEND,
    help: "Packets translated for an endpoint of a service port, both directions.",
};
pub(super) const BACKEND_BYTES: About = About {
    name: "lb_backend_bytes_total",
    kind: Counter,
    labels: BACKEND,
    help: "Bytes of these packets, from the IP header on.",
};
pub(super) const BACKEND_CONNECTIONS: About = About {
    name: "lb_backend_connections_total",
    kind: Counter,
    labels: BACKEND,
    help: "Flows opened to an endpoint of a service port.",
};
pub(super) const BACKENDS_LEFT_OUT: About = About {
    name: "lb_backend_series_left_out",
    kind: Gauge,
    labels: &[],
    help: "Endpoints beyond --metrics-max-backends: their numbers are summed under \
           service=\"other\".",
};

pub(super) const DNS_REQUESTS: About = About {
    name: "lb_dns_requests_total",
    kind: Counter,
    labels: &["part", "transport", "type"],
    help: "DNS questions about the cluster domain (cluster), names of its addresses (reverse), what \
           upstreams know (other), and those refused unseen (none). Absent without --dns-listen, \
           like all that follow.",
};
pub(super) const DNS_RESPONSES: About = About {
    name: "lb_dns_responses_total",
    kind: Counter,
    labels: &["part", "rcode"],
    help: "DNS answers.",
};
pub(super) const DNS_DURATION: About = About {
    name: "lb_dns_request_duration_seconds",
    kind: Histogram,
    labels: &["part"],
    help: "Time from a DNS question to its answer.",
};
pub(super) const DNS_CACHE_HITS: About = About {
    name: "lb_dns_cache_hits_total",
    kind: Counter,
    labels: &["type"],
    help: "Questions about other names that the cache could answer, with records (success) or that \
           there are none (denial).",
};
pub(super) const DNS_CACHE_MISSES: About = About {
    name: "lb_dns_cache_misses_total",
    kind: Counter,
    labels: &[],
    help: "Questions about other names for which upstreams had to be asked.",
};
pub(super) const DNS_CACHE_STALE: About = About {
    name: "lb_dns_cache_served_stale_total",
    kind: Counter,
    labels: &[],
    help: "Answers from before their end, given after it because upstreams did not answer.",
};
pub(super) const DNS_CACHE_PREFETCH: About = About {
    name: "lb_dns_cache_prefetch_total",
    kind: Counter,
    labels: &[],
    help: "Answers that were asked for often and renewed before their end.",
};
pub(super) const DNS_CACHE_ENTRIES: About = About {
    name: "lb_dns_cache_entries",
    kind: Gauge,
    labels: &[],
    help: "Answers of upstreams that are kept.",
};
pub(super) const DNS_FORWARD_DURATION: About = About {
    name: "lb_dns_forward_request_duration_seconds",
    kind: Histogram,
    labels: &["to"],
    help: "Time that an upstream took to answer, or until it was given up.",
};
pub(super) const DNS_FORWARD_FAILURES: About = About {
    name: "lb_dns_forward_failures_total",
    kind: Counter,
    labels: &["to"],
    help: "Questions that an upstream did not answer.",
};

/// All of them, in the order of the page.
#[cfg(test)]
pub(super) const ALL: [&About; 39] = [
    &NETWORK_PROGRAMMING,
    &SYNC_DURATION,
    &LAST_SYNC,
    &LAST_QUEUED,
    &SERVICE_CHANGES,
    &SERVICE_CHANGES_PENDING,
    &ENDPOINT_CHANGES,
    &ENDPOINT_CHANGES_PENDING,
    &NO_LOCAL_ENDPOINTS,
    &READY,
    &SYNCED,
    &WATCHED,
    &PROBLEMS,
    &FOREIGN,
    &BUILD,
    &MAP_ENTRIES,
    &MAP_CAPACITY,
    &DROPPED,
    &ANSWERED,
    &PASSED,
    &HELD,
    &SERVICE_PACKETS,
    &SERVICE_BYTES,
    &SERVICE_CONNECTIONS,
    &SERVICES_LEFT_OUT,
    &BACKEND_PACKETS,
    &BACKEND_BYTES,
    &BACKEND_CONNECTIONS,
    &BACKENDS_LEFT_OUT,
    &DNS_REQUESTS,
    &DNS_RESPONSES,
    &DNS_DURATION,
    &DNS_CACHE_HITS,
    &DNS_CACHE_MISSES,
    &DNS_CACHE_STALE,
    &DNS_CACHE_PREFETCH,
    &DNS_CACHE_ENTRIES,
    &DNS_FORWARD_DURATION,
    &DNS_FORWARD_FAILURES,
];
