//! The answer to any question: kube-proxy's status, headers and body, to the letter.

use crate::model::ObjectName;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// What is known of a Service.
#[derive(Debug)]
pub(super) struct Facts {
    service: ObjectName,
    local_endpoints: AtomicUsize,
    healthy: Arc<AtomicBool>,
}

/// The body, in the order in which kube-proxy writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    service: &'a ObjectName,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

impl Facts {
    pub(super) fn new(
        service: ObjectName,
        local_endpoints: usize,
        healthy: Arc<AtomicBool>,
    ) -> Self {
        Self { service, local_endpoints: AtomicUsize::new(local_endpoints), healthy }
    }

    pub(super) fn set_local_endpoints(&self, count: usize) {
        self.local_endpoints.store(count, Ordering::Relaxed);
    }

    /// The answer now.
    pub(super) fn answer(&self) -> Response<String> {
        let body = Body {
            service: &self.service,
            local_endpoints: self.local_endpoints.load(Ordering::Relaxed),
            service_proxy_healthy: self.healthy.load(Ordering::Relaxed),
        };
        let mut answer = Response::new(text(&body));
        if body.local_endpoints == 0 || !body.service_proxy_healthy {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(WEIGHT, HeaderValue::from(body.local_endpoints));
        answer
    }
}

/// JSON with tabs.
fn text(body: &Body<'_>) -> String {
    let mut bytes = Vec::new();
    let tabs = PrettyFormatter::with_indent(b"\t");
    let written = body.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, tabs));
    debug_assert!(written.is_ok(), "plain values can be written to memory");
    String::from_utf8(bytes).unwrap_or_default()
}
