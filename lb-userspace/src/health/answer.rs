//! The answer to any question: kube-proxy's status, headers and body, to the letter.
//!
//! About a Service every path says the same. About the proxy, `/healthz` counts whether the node
//! is about to go, `/livez` does not (`pkg/proxy/healthcheck/proxy_health.go`).

use super::Proxy;
use crate::compile::Family;
use crate::model::ObjectName;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// What is known of the proxy, for all that ask.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<(Proxy, Timestamp)>>);

impl Shared {
    pub(super) fn set(&self, proxy: Proxy) {
        *self.lock() = (proxy, Timestamp::now());
    }

    pub(super) fn get(&self) -> Proxy {
        self.lock().0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Proxy, Timestamp)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known about what is asked.
#[derive(Debug)]
pub(super) struct Facts {
    /// A Service and its endpoints here; `None`: the proxy itself.
    service: Option<(ObjectName, AtomicUsize)>,
    proxy: Shared,
}

/// The body, in the order in which kube-proxy writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    service: &'a ObjectName,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

/// The body about the proxy, in the order in which kube-proxy writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyBody {
    last_updated: Timestamp,
    current_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    status: BTreeMap<Family, FamilyBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyBody {
    last_updated: Timestamp,
    healthy: bool,
}

impl Facts {
    /// Facts about a Service.
    pub(super) fn about_service(service: ObjectName, count: usize, proxy: Shared) -> Self {
        Self { service: Some((service, AtomicUsize::new(count))), proxy }
    }

    /// Facts about the proxy.
    pub(super) fn about_proxy(proxy: Shared) -> Self {
        Self { service: None, proxy }
    }

    pub(super) fn set_local_endpoints(&self, count: usize) {
        if let Some((_, local_endpoints)) = &self.service {
            local_endpoints.store(count, Ordering::Relaxed);
        }
    }

    /// The answer now, to a question about `path`.
    pub(super) fn answer(&self, path: &str) -> Response<String> {
        let mut answer = match (&self.service, path) {
            (Some((service, count)), _) => self.service(service, count.load(Ordering::Relaxed)),
            (None, "/healthz") => self.proxy(true),
            (None, "/livez") => self.proxy(false),
            (None, _) => return not_found(),
        };
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
    }

    fn service(&self, service: &ObjectName, local_endpoints: usize) -> Response<String> {
        let healthy = self.proxy.get().healthy;
        let body = Body { service, local_endpoints, service_proxy_healthy: healthy };
        let mut answer = response(local_endpoints > 0 && healthy, text(&body));
        answer.headers_mut().insert(WEIGHT, HeaderValue::from(local_endpoints));
        answer
    }

    fn proxy(&self, with_node: bool) -> Response<String> {
        let (Proxy { healthy, node_eligible }, updated) = *self.proxy.lock();
        let current_time = Timestamp::now();
        let available = healthy && (node_eligible || !with_node);
        // As kube-proxy has it: recent while all is well.
        let last_updated = if available { current_time } else { updated };
        let family = |family| (family, FamilyBody { last_updated: updated, healthy });
        let body = ProxyBody {
            last_updated,
            current_time,
            node_eligible: with_node.then_some(node_eligible),
            healthy,
            status: Family::ALL.map(family).into(),
        };
        response(available, serde_json::to_string(&body).unwrap_or_default())
    }
}

fn response(available: bool, body: String) -> Response<String> {
    let mut answer = Response::new(body);
    if !available {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    answer
}

fn not_found() -> Response<String> {
    let mut answer = Response::new("ask for /healthz or /livez\n".to_owned());
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer
}

/// JSON with tabs.
fn text(body: &Body<'_>) -> String {
    let mut bytes = Vec::new();
    let tabs = PrettyFormatter::with_indent(b"\t");
    let written = body.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, tabs));
    debug_assert!(written.is_ok(), "plain values can be written to memory");
    String::from_utf8(bytes).unwrap_or_default()
}
