//! An API server that both servers follow: lists, watches and streaming lists (KEP 3157) of
//! objects that never change.
//!
//! Over plain HTTP and without authentication, for a namespace in which nobody else is.

use super::cluster;
use crate::lab::Host;
use anyhow::{Context, Result};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// It ends when dropped.
#[derive(Debug)]
pub(super) struct Api {
    address: SocketAddr,
    _runtime: Runtime,
}

/// The objects of one kind, as they are sent.
#[derive(Debug)]
struct Kind {
    path: &'static str,
    /// Answers a list.
    list: Bytes,
    /// Begins a watch that wants what exists.
    events: Bytes,
}

type Body = BoxBody<Bytes, Infallible>;

impl Api {
    /// Serves the cluster on a host.
    pub(super) fn start(host: &Host) -> Result<Self> {
        let socket = host.within(|| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a socket on loopback")
        })?;
        socket.set_nonblocking(true).context("preparing a socket")?;
        let address = socket.local_addr().context("asking a socket for its address")?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("starting a runtime")?;
        runtime.spawn(serve(socket, Arc::new(kinds())));
        Ok(Self { address, _runtime: runtime })
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What leads a client there.
    pub(super) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            "clusters": [{"name": "bench", "cluster": {"server": self.url()}}],
            "users": [{"name": "bench", "user": {}}],
        })
        .to_string()
    }
}

fn kinds() -> [Kind; 4] {
    let services = cluster::services();
    let objects = |object: fn(&cluster::Service) -> Value| services.iter().map(object).collect();
    let namespaces = cluster::namespaces();
    let namespaces = namespaces.iter().map(|name| cluster::namespace_object(name)).collect();
    [
        Kind::new("/api/v1/services", "v1", "Service", objects(cluster::Service::object)),
        Kind::new(
            "/apis/discovery.k8s.io/v1/endpointslices",
            "discovery.k8s.io/v1",
            "EndpointSlice",
            objects(cluster::Service::slice),
        ),
        Kind::new("/api/v1/namespaces", "v1", "Namespace", namespaces),
        // The agent looks for its own.
        Kind::new("/api/v1/nodes", "v1", "Node", Vec::new()),
    ]
}

impl Kind {
    fn new(path: &'static str, version: &str, kind: &str, objects: Vec<Value>) -> Self {
        let end = json!({
            "kind": kind,
            "apiVersion": version,
            "metadata": {
                "resourceVersion": "1",
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        });
        let added = objects.iter().map(|object| event("ADDED", object));
        let events: String = added.chain([event("BOOKMARK", &end)]).collect();
        let list = json!({
            "kind": format!("{kind}List"),
            "apiVersion": version,
            "metadata": {"resourceVersion": "1"},
            "items": objects,
        });
        Self { path, list: list.to_string().into(), events: events.into() }
    }
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

async fn serve(socket: TcpListener, kinds: Arc<[Kind; 4]>) -> Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket).context("taking a socket over")?;
    loop {
        let (stream, _) = socket.accept().await.context("letting a client in")?;
        let kinds = kinds.clone();
        let answer = move |request| {
            let answer = answer(&request, &*kinds);
            async move { Ok::<_, Infallible>(answer) }
        };
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        // How it ends is the client's business: if it misses something, it never gets ready.
        tokio::spawn(connection);
    }
}

fn answer(request: &Request<Incoming>, kinds: &[Kind]) -> Response<Body> {
    let path = request.uri().path().trim_end_matches('/');
    let query = request.uri().query().unwrap_or_default();
    let says = |word: &str| query.split('&').any(|one| one == word);
    let Some(kind) = kinds.iter().find(|kind| kind.path == path) else {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "NotFound", "code": 404, "message": format!("there is no {path} here")});
        return response(StatusCode::NOT_FOUND, whole(status.to_string().into()));
    };
    let body = if !says("watch=true") {
        whole(kind.list.clone())
    } else if says("sendInitialEvents=true") {
        open(kind.events.clone())
    } else {
        open(Bytes::new())
    };
    response(StatusCode::OK, body)
}

fn response(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn whole(text: Bytes) -> Body {
    Full::new(text).boxed()
}

/// It stays open: nothing changes.
fn open(text: Bytes) -> Body {
    let first = stream::iter([Ok(Frame::data(text))]);
    BodyExt::boxed(StreamBody::new(first.chain(stream::pending())))
}
