//! Counters under names: families of a service port are one series, and what is beyond the limit
//! is summed.
//!
//! Whoever has the lower id has a series: ids are kept as long as a service port or an endpoint
//! lives, so one that has a series keeps it while others come and go.

use super::reading::Reading;
use lb_common::layout::counter::Traffic;
use lb_common::layout::service::{ServiceValue, text};
use std::collections::HashMap;
use std::net::SocketAddr;

/// How many have series of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Service ports.
    pub services: usize,
    /// Endpoints; 0: not even their sum is told.
    pub backends: usize,
}

/// Some series, and the sum of all others.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Series<const N: usize> {
    /// The values of the labels, and the counters.
    pub(super) listed: Vec<([String; N], Traffic)>,
    pub(super) left_out: usize,
    other: Traffic,
}

impl<const N: usize> Series<N> {
    /// What has the same labels is added up; the first `most` are listed.
    fn new(all: impl Iterator<Item = ([String; N], Traffic)>, most: usize) -> Self {
        let mut places = HashMap::<[String; N], usize>::new();
        let mut sums: Vec<([String; N], Traffic)> = Vec::new();
        for (labels, traffic) in all {
            let place = *places.entry(labels.clone()).or_insert(sums.len());
            match sums.get_mut(place) {
                Some((_, sum)) => add(sum, traffic),
                None => sums.push((labels, traffic)),
            }
        }
        let beyond = sums.split_off(most.min(sums.len()));
        let mut other = Traffic::default();
        for (_, traffic) in &beyond {
            add(&mut other, *traffic);
        }
        Self { listed: sums, left_out: beyond.len(), other }
    }

    /// All of it. No namespace is empty, so `other` is nobody's name.
    pub(super) fn all(&self) -> impl Iterator<Item = ([&str; N], Traffic)> {
        let listed =
            self.listed.iter().map(|(labels, sum)| (labels.each_ref().map(String::as_str), *sum));
        let mut other = [""; N];
        if let Some(service) = other.get_mut(1) {
            *service = "other";
        }
        listed.chain((self.left_out > 0).then_some((other, self.other)))
    }
}

fn add(sum: &mut Traffic, traffic: Traffic) {
    sum.packets += traffic.packets;
    sum.bytes += traffic.bytes;
    sum.connections += traffic.connections;
}

/// What went through service ports.
pub(super) fn services(reading: &Reading, most: usize) -> Series<4> {
    let all = reading.services.values().map(|(info, traffic)| (port(info), *traffic));
    Series::new(all, most)
}

/// What went through endpoints.
pub(super) fn backends(reading: &Reading, most: usize) -> Series<5> {
    let named = reading.backends.values().filter_map(|(backend, traffic)| {
        let (info, _) = reading.services.get(&backend.service)?;
        let [namespace, service, port, protocol] = port(info);
        let at = SocketAddr::new(backend.addr.to_ip(), backend.port.number()).to_string();
        Some(([namespace, service, port, protocol, at], *traffic))
    });
    Series::new(named, most)
}

/// Namespace, Service, the port's name or else its number, protocol.
fn port(info: &ServiceValue) -> [String; 4] {
    let name = text(&info.port_name);
    let port = if name.is_empty() { info.port.to_string() } else { name.to_owned() };
    [text(&info.namespace).to_owned(), text(&info.name).to_owned(), port, info.proto.to_string()]
}
