//! What the agent tells over HTTP: metrics, whether it is ready, whether it lives, its version.
//!
//! Whoever may reach the address may ask: it is the node's own by default. Nothing can be changed
//! here. The loop is asked how it stands, between two other events; maps are read without it. The
//! paths and answers are kube-proxy's where it has them; `/healthz` is `health`'s.

use crate::http::{Clients, Listener, Port};
use crate::metrics::{self, Condition, Limits, Progress, Reader, Scrape, dns};
use crate::model::Problem;
use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use lb_common::layout;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How many clients are served at a time.
const MOST_CLIENTS: usize = 16;
/// How long the loop may take to say how it stands.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the loop may be at one thing before it counts as hung. The first round of a large
/// cluster takes a few seconds.
const HUNG: Duration = Duration::from_mins(1);

const PATHS: &str = "ask for one of\n  /metrics  numbers for Prometheus\n  \
                     /readyz   is everything in the maps, and are the programs attached\n  \
                     /livez    does the agent still turn\n  /version\n";

/// A question to the loop: how does it stand?
pub(super) type Asked = oneshot::Sender<Condition>;

/// The addresses that are answered at.
#[derive(Debug)]
pub(super) struct Web {
    addrs: Vec<SocketAddr>,
    desk: Desk,
    clients: Clients,
    listeners: BTreeMap<SocketAddr, Listener>,
    problems: Vec<Problem>,
}

impl Web {
    /// Answers nowhere before it is opened.
    pub(super) fn new(addrs: Vec<SocketAddr>, desk: Desk) -> Self {
        let clients = Clients::at_most(MOST_CLIENTS);
        Self { addrs, desk, clients, listeners: BTreeMap::new(), problems: Vec::new() }
    }

    /// Opens what is not open yet.
    pub(super) fn open(&mut self) {
        let before = std::mem::take(&mut self.problems);
        for addr in &self.addrs {
            if self.listeners.contains_key(addr) {
                continue;
            }
            let desk = self.desk.clone();
            let answer = move |asked| desk.clone().answer(asked);
            let served = (&Handle::current(), &self.clients);
            match Listener::open(*addr, Port::Own, served, answer) {
                Ok(listener) => drop(self.listeners.insert(*addr, listener)),
                Err(error) => self.problems.push(not_open(*addr, &error)),
            }
        }
        for problem in self.problems.iter().filter(|problem| !before.contains(problem)) {
            tracing::warn!("{problem}");
        }
    }

    /// The addresses that could not be opened when they were tried last.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

fn not_open(addr: SocketAddr, error: &io::Error) -> Problem {
    Problem {
        subject: "--metrics-bind-address".to_owned(),
        field: String::new(),
        message: format!("nobody answers at {addr} ({error}); it is tried again"),
    }
}

/// Who answers.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) progress: Progress,
    pub(super) conditions: Sender<Asked>,
    /// One client reads maps at a time.
    pub(super) reader: Arc<Mutex<Reader>>,
    pub(super) limits: Limits,
    /// What the name server does, if there is one.
    pub(super) dns: Option<dns::Numbers>,
}

impl Desk {
    async fn answer(self, asked: Request<Incoming>) -> Response<String> {
        self.page(asked.method(), asked.uri().path()).await
    }

    async fn page(self, method: &Method, path: &str) -> Response<String> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/metrics" => self.metrics().await,
            "/readyz" => self.readyz().await,
            "/livez" => self.livez(Instant::now()),
            "/version" => version(),
            _ => plain(StatusCode::NOT_FOUND, PATHS),
        }
    }

    /// `None`: the loop is busy.
    async fn condition(&self) -> Option<Condition> {
        let (reply, condition) = oneshot::channel();
        let asked = async {
            self.conditions.send(reply).await.ok()?;
            condition.await.ok()
        };
        timeout(PATIENCE, asked).await.ok().flatten()
    }

    async fn metrics(self) -> Response<String> {
        let condition = self.condition().await;
        // It takes a system call for every counter, and must not keep other tasks waiting.
        let written = tokio::task::spawn_blocking(move || self.scrape(condition)).await;
        match written.context("reading counters").flatten() {
            Ok(page) => typed(StatusCode::OK, page, metrics::CONTENT_TYPE),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}\n")),
        }
    }

    fn scrape(self, condition: Option<Condition>) -> Result<String> {
        let Self { progress, reader, limits, dns, .. } = self;
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = reader.read(limits.backends > 0)?;
        metrics::text(Scrape { progress, condition, reading, limits, dns })
    }

    async fn readyz(self) -> Response<String> {
        let obstacle = match self.condition().await {
            Some(Condition { obstacle: None, .. }) => return plain(StatusCode::OK, "ready\n"),
            Some(Condition { obstacle: Some(obstacle), .. }) => obstacle,
            None => "the agent is busy and does not say how it stands".to_owned(),
        };
        plain(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {obstacle}\n"))
    }

    /// In kube-proxy's form.
    fn livez(&self, now: Instant) -> Response<String> {
        let turn = self.progress.turn();
        let healthy = turn.is_none_or(|since| now.saturating_duration_since(since) < HUNG);
        let current = Timestamp::now();
        // As kube-proxy has it: recent while all is well.
        let updated = if healthy { current } else { self.progress.last_sync() };
        let body = json!({"lastUpdated": updated, "currentTime": current, "healthy": healthy});
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        typed(status, body.to_string(), "application/json")
    }
}

fn version() -> Response<String> {
    let body = json!({"version": env!("CARGO_PKG_VERSION"), "layout": layout::VERSION});
    typed(StatusCode::OK, body.to_string(), "application/json")
}

fn plain(status: StatusCode, text: &str) -> Response<String> {
    typed(status, text.to_owned(), "text/plain; charset=utf-8")
}

fn typed(status: StatusCode, body: String, kind: &'static str) -> Response<String> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{Receiver, channel};

    fn desk() -> (Desk, Receiver<Asked>) {
        let (conditions, asked) = channel(1);
        let reader = Arc::new(Mutex::new(Reader::new("nothing/is/pinned/here".into())));
        let limits = Limits { services: 1, backends: 0 };
        (Desk { progress: Progress::default(), conditions, reader, limits, dns: None }, asked)
    }

    /// The status and the text that an agent in this condition answers; `None`: a busy one.
    async fn asked(method: Method, path: &str, condition: Option<Condition>) -> (u16, String) {
        let (desk, mut questions) = desk();
        let agent = tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(question) = questions.recv().await {
                match &condition {
                    Some(condition) => question.send(condition.clone()).unwrap(),
                    None => unanswered.push(question),
                }
            }
        });
        let answer = desk.page(&method, path).await;
        agent.abort();
        (answer.status().as_u16(), answer.into_body())
    }

    #[tokio::test(start_paused = true)]
    async fn ready_is_who_has_no_obstacle() {
        let ready = Condition::default();
        let obstacle = Some("the maps are not written yet".to_owned());
        let starting = Condition { obstacle, ..Condition::default() };
        let cases = [
            (Some(ready), (200, "ready\n")),
            (Some(starting), (503, "not ready: the maps are not written yet\n")),
            (None, (503, "not ready: the agent is busy and does not say how it stands\n")),
        ];
        for (condition, (status, text)) in cases {
            assert_eq!(asked(Method::GET, "/readyz", condition).await, (status, text.to_owned()));
        }
    }

    #[tokio::test]
    async fn nothing_but_questions_is_taken() {
        for (method, path, status) in [
            (Method::GET, "/version", 200),
            (Method::HEAD, "/version", 200),
            (Method::GET, "/livez", 200),
            (Method::POST, "/version", 405),
            (Method::DELETE, "/metrics", 405),
            (Method::GET, "/metrics/", 404),
            (Method::GET, "/healthz", 404),
            (Method::GET, "/", 404),
        ] {
            let (told, text) = asked(method.clone(), path, None).await;
            assert_eq!(told, status, "{method} {path}: {text}");
        }
    }

    #[test]
    fn a_loop_that_is_at_one_thing_for_a_minute_counts_as_hung() {
        let (desk, _) = desk();
        let status = |after| desk.livez(Instant::now() + after).status().as_u16();
        assert_eq!(status(HUNG * 2), 200, "it waits for work");
        desk.progress.set_turn(Some(Instant::now()));
        assert_eq!((status(HUNG / 2), status(HUNG * 2)), (200, 503));
        desk.progress.set_turn(None);
        assert_eq!(status(HUNG * 2), 200);
    }

    #[tokio::test]
    async fn maps_that_cannot_be_read_are_an_error_of_ours() {
        let (status, text) = asked(Method::GET, "/metrics", Some(Condition::default())).await;
        assert_eq!(status, 500);
        assert!(text.contains("opening map"), "{text}");
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_a_problem_until_it_is_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let mut web = Web::new(vec![addr], desk().0);
        web.open();
        let message = format!("nobody answers at {addr}");
        assert!(web.problems()[0].message.contains(&message), "{:?}", web.problems());
        drop(taken);
        web.open();
        assert_eq!(web.problems(), []);
        let answer = std::net::TcpStream::connect(addr);
        assert!(answer.is_ok(), "{answer:?}");
    }
}
