//! All numbers as text (Prometheus exposition format 0.0.4), always in the same order.

use super::Condition;
use super::about::{self, About};
use super::dns;
use super::progress::Progress;
use super::reading::Reading;
use super::series::{self, Limits, Series};
use crate::compile::Family;
use anyhow::{Context as _, Result};
use lb_common::layout::counter::Traffic;
use lb_common::verdict::{Fate, Reason};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeMetric, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// Everything that a page of metrics is made of.
#[derive(Debug)]
pub struct Scrape {
    /// What the loop did.
    pub progress: Progress,
    /// How it stands; `None`: it is too busy to say, and the metrics that need it are missing.
    pub condition: Option<Condition>,
    /// What the maps say.
    pub reading: Reading,
    /// How many series there may be.
    pub limits: Limits,
    /// What the name server does, if there is one.
    pub dns: Option<dns::Numbers>,
}

/// The page.
///
/// # Errors
/// Never: text is written to memory.
pub fn text(scrape: Scrape) -> Result<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut page = String::new();
    prometheus_text::encode(&mut page, &registry).context("writing metrics")?;
    Ok(page)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.progress(&mut page)?;
        if let Some(condition) = &self.condition {
            stand(condition, &mut page)?;
        }
        page.metric(&about::BUILD, [([env!("CARGO_PKG_VERSION")], ConstGauge::new(1_u64))])?;
        self.maps(&mut page)?;
        self.packets(&mut page)?;
        self.traffic(&mut page)?;
        self.dns.as_ref().map_or(Ok(()), |numbers| names(numbers.cells(), &mut page))
    }
}

impl Scrape {
    fn progress(&self, page: &mut Page<'_>) -> fmt::Result {
        let numbers = self.progress.numbers();
        let programming = Family::ALL.into_iter().zip(&numbers.programming);
        page.metric(
            &about::NETWORK_PROGRAMMING,
            programming.map(|(family, histogram)| ([family.name()], histogram.clone())),
        )?;
        page.metric(&about::SYNC_DURATION, both(|| numbers.sync.clone()))?;
        page.metric(&about::LAST_SYNC, both(|| ConstGauge::new(numbers.last_sync.seconds())))?;
        page.metric(&about::LAST_QUEUED, both(|| ConstGauge::new(numbers.last_queued.seconds())))?;
        page.one(&about::SERVICE_CHANGES, numbers.services.seen.clone())?;
        page.gauge(&about::SERVICE_CHANGES_PENDING, numbers.services.pending())?;
        page.one(&about::ENDPOINT_CHANGES, numbers.endpoints.seen.clone())?;
        page.gauge(&about::ENDPOINT_CHANGES_PENDING, numbers.endpoints.pending())
    }

    fn maps(&self, page: &mut Page<'_>) -> fmt::Result {
        let filled = self.condition.iter().flat_map(|condition| &condition.entries);
        let entries: Vec<_> = self.reading.entries.iter().chain(filled).copied().collect();
        let gauges = entries.iter().map(|(map, count)| ([*map], ConstGauge::new(*count)));
        page.metric(&about::MAP_ENTRIES, gauges)?;
        let capacities = entries.iter().filter_map(|(map, _)| {
            let capacity = self.reading.capacities.get(map)?;
            Some(([*map], ConstGauge::new(*capacity)))
        });
        page.metric(&about::MAP_CAPACITY, capacities)
    }

    fn packets(&self, page: &mut Page<'_>) -> fmt::Result {
        for (about, fate) in [
            (&about::DROPPED, Fate::Dropped),
            (&about::ANSWERED, Fate::Answered),
            (&about::PASSED, Fate::Passed),
            (&about::HELD, Fate::Held),
        ] {
            let reasons = self.reading.reasons.iter().filter(|(reason, _)| reason.fate() == fate);
            let counter =
                |(reason, packets): (&Reason, &u64)| ([reason.name()], ConstCounter::new(*packets));
            page.metric(about, reasons.map(counter))?;
        }
        Ok(())
    }

    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        let services = series::services(&self.reading, self.limits.services);
        let abouts = [&about::SERVICE_PACKETS, &about::SERVICE_BYTES, &about::SERVICE_CONNECTIONS];
        page.traffic(abouts, &services)?;
        page.gauge(&about::SERVICES_LEFT_OUT, services.left_out)?;
        if self.limits.backends == 0 {
            return Ok(());
        }
        let backends = series::backends(&self.reading, self.limits.backends);
        let abouts = [&about::BACKEND_PACKETS, &about::BACKEND_BYTES, &about::BACKEND_CONNECTIONS];
        page.traffic(abouts, &backends)?;
        page.gauge(&about::BACKENDS_LEFT_OUT, backends.left_out)
    }
}

/// What the name server does. Cells in which nothing was counted are left out, where there are
/// many.
fn names(cells: &dns::Cells, page: &mut Page<'_>) -> fmt::Result {
    let count = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
    let counter = |cell: &AtomicU64| ConstCounter::new(count(cell));
    let requests = cells.requests().filter(|(_, cell)| count(cell) > 0);
    page.metric(&about::DNS_REQUESTS, requests.map(|(labels, cell)| (labels, counter(cell))))?;
    let responses = cells.responses().filter(|(_, cell)| count(cell) > 0);
    page.metric(&about::DNS_RESPONSES, responses.map(|(labels, cell)| (labels, counter(cell))))?;
    let durations = dns::PARTS.into_iter().zip(&cells.durations);
    page.metric(&about::DNS_DURATION, durations.map(|(part, one)| ([part], one.clone())))?;
    let [success, denial, miss, stale, prefetch] = &cells.cached;
    let hits = [(["success"], counter(success)), (["denial"], counter(denial))];
    page.metric(&about::DNS_CACHE_HITS, hits)?;
    page.one(&about::DNS_CACHE_MISSES, counter(miss))?;
    page.one(&about::DNS_CACHE_STALE, counter(stale))?;
    page.one(&about::DNS_CACHE_PREFETCH, counter(prefetch))?;
    page.gauge(&about::DNS_CACHE_ENTRIES, count(&cells.entries))?;
    let durations = cells.upstreams.iter().map(|one| ([&*one.name], one.durations.clone()));
    page.metric(&about::DNS_FORWARD_DURATION, durations)?;
    let failures = cells.upstreams.iter().map(|one| ([&*one.name], counter(&one.failures)));
    page.metric(&about::DNS_FORWARD_FAILURES, failures)
}

fn stand(condition: &Condition, page: &mut Page<'_>) -> fmt::Result {
    let lacking = condition
        .without_local_endpoints
        .iter()
        .map(|((policy, family), count)| ([policy.name(), family.name()], ConstGauge::new(*count)));
    page.metric(&about::NO_LOCAL_ENDPOINTS, lacking)?;
    page.gauge(&about::READY, usize::from(condition.obstacle.is_none()))?;
    page.gauge(&about::SYNCED, usize::from(condition.synced))?;
    let watched = condition.watched.iter();
    let watched = watched.map(|(kind, up)| ([*kind], ConstGauge::new(usize::from(*up))));
    page.metric(&about::WATCHED, watched)?;
    page.gauge(&about::PROBLEMS, condition.problems)?;
    let foreign = condition.foreign_connections.map(|count| ([], ConstGauge::new(count)));
    page.metric(&about::FOREIGN, foreign)
}

/// The same for both families.
fn both<M>(metric: impl Fn() -> M) -> [([&'static str; 1], M); 2] {
    Family::ALL.map(|family| ([family.name()], metric()))
}

/// A page in the making.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A metric with all its series. One that has none is not mentioned.
    fn metric<'s, const N: usize, M: EncodeMetric>(
        &mut self,
        about: &About,
        series: impl IntoIterator<Item = ([&'s str; N], M)>,
    ) -> fmt::Result {
        debug_assert_eq!(about.labels.len(), N, "{} has other labels", about.name);
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return Ok(());
        }
        let name = match about.kind {
            // The encoder adds it again.
            MetricType::Counter => about.name.trim_end_matches("_total"),
            MetricType::Gauge | MetricType::Histogram | MetricType::Info | MetricType::Unknown => {
                about.name
            }
        };
        let mut metric = self.0.encode_descriptor(name, about.help, None, about.kind)?;
        for (values, value) in series {
            let labels: Vec<(&str, &str)> = about.labels.iter().copied().zip(values).collect();
            value.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A metric without labels.
    fn one(&mut self, about: &About, metric: impl EncodeMetric) -> fmt::Result {
        self.metric(about, [([], metric)])
    }

    fn gauge(&mut self, about: &About, value: impl EncodeGaugeValue) -> fmt::Result {
        self.one(about, ConstGauge::new(value))
    }

    /// Packets, bytes and connections.
    fn traffic<const N: usize>(&mut self, abouts: [&About; 3], series: &Series<N>) -> fmt::Result {
        let numbers: [fn(Traffic) -> u64; 3] =
            [|traffic| traffic.packets, |traffic| traffic.bytes, |traffic| traffic.connections];
        for (about, number) in abouts.into_iter().zip(numbers) {
            let counter = |(labels, traffic)| (labels, ConstCounter::new(number(traffic)));
            self.metric(about, series.all().map(counter))?;
        }
        Ok(())
    }
}
