//! Sockets that questions come in by.
//!
//! What is known is answered by the task that received the question; only what has to be asked of
//! upstreams gets a task of its own, and there is a limit to those. (`hickory-server` makes a task
//! and a channel message of every question, and knows no limit to tasks or connections; of that
//! project only the packet format is used.)

/// Who may ask.
pub(super) mod access;
/// Connections.
mod tcp;
/// Datagrams.
mod udp;

use super::answer::{Answerer, Errand, Verdict};
use super::wire::{MOST_TCP, Question, Reply, Unusable};
use crate::http::Clients;
use crate::metrics::dns::{Numbers, Part, Transport};
use crate::model::Problem;
use access::Access;
use hickory_proto::op::ResponseCode;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many clients may wait for upstreams at a time.
const MOST_WAITING: usize = 4096;
/// How many connections there are at a time; a new one takes the oldest one's place.
const MOST_CONNECTIONS: usize = 512;
/// How long until an address that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How many tasks receive at one address.
const RECEIVERS: usize = 2;

/// Answers at all addresses; shared by their tasks.
#[derive(Debug)]
pub(super) struct Server {
    answerer: Answerer,
    access: Access,
    numbers: Numbers,
    waiting: Arc<Semaphore>,
    clients: Clients,
    problems: Mutex<BTreeMap<SocketAddr, Problem>>,
}

/// What is done about a packet.
pub(super) enum Step {
    /// Nothing.
    Silent,
    /// This is sent back.
    Send(Vec<u8>),
    /// Upstreams are asked first.
    Wait(Box<Wait>),
}

/// A question that waits for upstreams.
pub(super) struct Wait {
    question: Question,
    errand: Errand,
    part: Part,
    most: u16,
    since: Instant,
}

impl Server {
    pub(super) fn new(answerer: Answerer, access: Access, numbers: Numbers) -> Self {
        Self {
            answerer,
            access,
            numbers,
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            clients: Clients::at_most(MOST_CONNECTIONS),
            problems: Mutex::default(),
        }
    }

    /// Addresses that could not be opened when they were tried last.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.values().cloned().collect()
    }

    /// Answers at an address until it is aborted, and opens it again whatever happens.
    pub(super) async fn serve(self: Arc<Self>, addr: SocketAddr) {
        loop {
            match open(addr).await {
                Ok(sockets) => {
                    self.set_problem(addr, None);
                    self.clone().receive(sockets).await;
                }
                Err(error) => {
                    self.set_problem(addr, Some(not_open(addr, &error)));
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Answers at these sockets until something breaks.
    pub(super) async fn receive(self: Arc<Self>, (udp, tcp): (UdpSocket, TcpListener)) {
        let mut tasks = JoinSet::new();
        let udp = Arc::new(udp);
        for _ in 0..RECEIVERS {
            tasks.spawn(udp::receive(udp.clone(), self.clone()));
        }
        tasks.spawn(tcp::accept(tcp, self.clone()));
        // They end only when something in them broke.
        if let Some(Err(error)) = tasks.join_next().await {
            tracing::error!("answering DNS questions: {error}; it is started again");
        }
    }

    fn set_problem(&self, addr: SocketAddr, problem: Option<Problem>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(problem) = problem else {
            problems.remove(&addr);
            return;
        };
        if problems.get(&addr) != Some(&problem) {
            tracing::warn!("{problem}");
            problems.insert(addr, problem);
        }
    }

    /// What is done about a packet.
    pub(super) fn step(&self, packet: &[u8], client: IpAddr, transport: Transport) -> Step {
        let since = Instant::now();
        let question = match Question::read(packet) {
            Ok(question) => question,
            Err(Unusable::Silent) => return Step::Silent,
            Err(Unusable::Refused(answer, code)) => {
                self.numbers.unusable(transport, code.into());
                return Step::Send(answer);
            }
        };
        let most = match transport {
            Transport::Udp => question.most_udp(),
            Transport::Tcp => MOST_TCP,
        };
        let kind = question.kind().into();
        if !self.access.allows(client) {
            self.numbers.asked(Part::None, transport, kind);
            let reply = Reply::bare(ResponseCode::Refused);
            return Step::Send(self.finish((&question, Part::None, most, since), &reply));
        }
        if let Some(answer) = question.bad_version() {
            self.numbers.unusable(transport, ResponseCode::BADVERS.into());
            return Step::Send(answer);
        }
        let (part, verdict) = self.answerer.at_once(&question);
        self.numbers.asked(part, transport, kind);
        match verdict {
            Verdict::Now(reply) => Step::Send(self.finish((&question, part, most, since), &reply)),
            Verdict::Later(errand) => {
                Step::Wait(Box::new(Wait { question, errand, part, most, since }))
            }
        }
    }

    /// The answer when upstreams have said theirs.
    async fn wait(&self, wait: Box<Wait>) -> Vec<u8> {
        let Wait { question, errand, part, most, since } = *wait;
        let reply = self.answerer.later(errand).await;
        self.finish((&question, part, most, since), &reply)
    }

    /// The answer to whoever cannot wait because too many do.
    fn turn_away(&self, wait: &Wait) -> Vec<u8> {
        let Wait { question, part, most, since, .. } = wait;
        self.finish((question, *part, *most, *since), &Reply::bare(ResponseCode::ServFail))
    }

    fn finish(
        &self,
        (question, part, most, since): (&Question, Part, u16, Instant),
        reply: &Reply,
    ) -> Vec<u8> {
        let answer = question.answer(reply, most, self.answerer.forwarder.is_able());
        self.numbers.answered(part, reply.code.into(), since.elapsed());
        answer
    }
}

/// Both sockets of an address.
pub(super) async fn open(addr: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(addr).await?;
    // With port 0, the same one.
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok((udp, tcp))
}

fn not_open(addr: SocketAddr, error: &io::Error) -> Problem {
    Problem {
        subject: "--dns-listen".to_owned(),
        field: String::new(),
        message: format!("nobody answers at {addr} ({error}); it is tried again"),
    }
}
