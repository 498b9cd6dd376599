//! What an agent tells others of itself: people by `status.json`, the API server by Events, load
//! balancers by `health.json` and over HTTP. Each is told only what is new.

use crate::compile::health::Check;
use crate::health;
use crate::health::board::Board;
use crate::model::status::Status;
use crate::model::{ObjectName, Problem};
use crate::status::{Complaint, Events};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;

/// What is told, and what was told last.
pub(super) struct Teller {
    dir: PathBuf,
    /// What the agent says of itself now.
    pub(super) status: Status,
    written: Option<Status>,
    health: health::Server,
    board: Option<Board>,
    /// Whether a process of its own answered load balancers when they were told last.
    served: Option<bool>,
    /// Where an API server hears of problems.
    events: Option<Events>,
}

/// What load balancers are told.
pub(super) struct Health<'a> {
    pub(super) healthy: bool,
    pub(super) node_eligible: bool,
    pub(super) addrs: BTreeSet<IpAddr>,
    pub(super) checks: &'a BTreeMap<ObjectName, Check>,
}

impl Teller {
    /// Nothing is told yet.
    pub(super) fn new(
        dir: PathBuf,
        node: String,
        source: String,
        (healthz, events): (Vec<SocketAddr>, Option<Events>),
    ) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let status = Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_s: now,
            node,
            source,
            ..Status::default()
        };
        let health = health::Server::new(Handle::current()).with_proxy(healthz);
        Self { dir, status, written: None, health, board: None, served: None, events }
    }

    /// Where load balancers should have been answered and were not.
    pub(super) fn problems(&self) -> &[Problem] {
        self.health.problems()
    }

    /// Tells load balancers. A process of its own answers them if there is one; else the agent
    /// does.
    pub(super) fn health(&mut self, health: Health<'_>) {
        let board = Board {
            healthy: health.healthy,
            node_eligible: health.node_eligible,
            addrs: health.addrs,
            services: Board::of(health.checks),
        };
        if self.board.as_ref() != Some(&board) {
            match board.write(&self.dir) {
                Ok(()) => self.board = Some(board.clone()),
                Err(error) => {
                    tracing::warn!("writing {}: {error}", Board::path(&self.dir).display());
                }
            }
        }
        let served = health::process::is_served(&self.dir);
        self.served = Some(served);
        if served {
            self.health.close();
        } else {
            self.health.show(&board);
        }
    }

    /// Whether that process has come or gone since load balancers were told.
    pub(super) fn has_other_answers(&self) -> bool {
        self.served.is_some_and(|before| before != health::process::is_served(&self.dir))
    }

    /// Tells people, and the API server what is about a Service; `uid` knows those that exist.
    pub(super) fn status(&mut self, uid: impl Fn(&ObjectName) -> Option<String>) {
        if self.written.as_ref() == Some(&self.status) {
            return;
        }
        if let Some(events) = &self.events {
            let problems = self.status.problems.iter();
            events.tell(problems.filter_map(|problem| complaint(problem, &uid)).collect());
        }
        match self.status.write(&self.dir) {
            Ok(()) => self.written = Some(self.status.clone()),
            Err(error) => {
                tracing::warn!("writing the status to {}: {error}", self.dir.display());
            }
        }
    }
}

/// A problem with a Service as an Event has it.
fn complaint(problem: &Problem, uid: impl Fn(&ObjectName) -> Option<String>) -> Option<Complaint> {
    let (namespace, name) = problem.subject.strip_prefix("Service ")?.split_once('/')?;
    let service = ObjectName::new(namespace, name);
    let uid = uid(&service)?;
    let field = if problem.field.is_empty() { "" } else { ": " };
    let message = format!("{}{field}{}", problem.field, problem.message);
    Some(Complaint { service, uid, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(subject: &str, field: &str) -> Problem {
        let [subject, field] = [subject, field].map(str::to_owned);
        Problem { subject, field, message: "it is wrong".to_owned() }
    }

    #[tokio::test]
    async fn a_status_is_written_when_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let [node, source] = ["node-a", "manifests"].map(str::to_owned);
        let mut teller = Teller::new(dir.path().to_owned(), node, source, (Vec::new(), None));
        teller.status(|_| None);
        let file = Status::path(dir.path());
        assert!(file.exists());
        std::fs::remove_file(&file).unwrap();
        teller.status(|_| None);
        assert!(!file.exists(), "nothing is new");
        teller.status.problems.push(problem("kernel", ""));
        teller.status(|_| None);
        assert_eq!(Status::read(dir.path()).unwrap().unwrap().problems.len(), 1);
    }

    #[test]
    fn the_api_server_hears_of_services_that_exist() {
        let uid = |name: &ObjectName| (name.name == "web").then(|| "7".to_owned());
        let told = |subject, field| complaint(&problem(subject, field), uid);
        let web = |message: &str| {
            let (service, uid) = (ObjectName::new("shop", "web"), "7".to_owned());
            Some(Complaint { service, uid, message: message.to_owned() })
        };
        assert_eq!(told("Service shop/web", ""), web("it is wrong"));
        let field = "spec.ports[0].port";
        assert_eq!(told("Service shop/web", field), web("spec.ports[0].port: it is wrong"));
        for subject in ["Service shop/gone", "kernel", "Service web", "EndpointSlice shop/web"] {
            assert_eq!(told(subject, ""), None, "{subject}");
        }
    }
}
