//! Sockets that questions come in by.
//!
//! What is known is answered by the task that received the question; only what has to be asked of
//! upstreams gets a task of its own, and there is a limit to those. (`hickory-server` makes a task
//! and a channel message of every question, and knows no limit to tasks or connections; of that
//! project only the packet format is used.) Sockets stay open whatever happens to the tasks that
//! read them.

/// Who may ask.
pub(super) mod access;
/// Connections.
mod tcp;
/// Datagrams.
mod udp;
/// Who waits for upstreams.
mod waiting;

use super::answer::{Answerer, Errand, Verdict};
use super::forward::MOST_FLIGHTS;
use super::wire::{MOST_TCP, Question, Reply, Unusable};
use crate::http::Clients;
use crate::metrics::dns::{Numbers, Part, Transport};
use crate::model::Problem;
use access::{Access, Standing};
use hickory_proto::op::ResponseCode;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use waiting::Waiting;

/// How many clients may wait for upstreams at a time.
const MOST_WAITING: usize = 4096;
/// How many questions of one address may: it leaves most of what may be under way to others.
const MOST_WAITING_EACH: usize = MOST_FLIGHTS / 4;
/// How many connections there are at a time; a new one takes the oldest one's place.
const MOST_CONNECTIONS: usize = 512;
/// How many of them one address has; a new one takes its own oldest one's place.
const MOST_CONNECTIONS_EACH: usize = 32;
/// How long until an address that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Answers at all addresses; shared by their tasks.
#[derive(Debug)]
pub(super) struct Server {
    answerer: Answerer,
    access: Access,
    numbers: Numbers,
    waiting: Waiting,
    clients: Clients,
    problems: Mutex<BTreeMap<String, Problem>>,
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
            waiting: Waiting::at_most(MOST_WAITING, MOST_WAITING_EACH),
            clients: Clients::at_most(MOST_CONNECTIONS).each_at_most(MOST_CONNECTIONS_EACH),
            problems: Mutex::default(),
        }
    }

    /// What is wrong: with addresses that could not be opened, and with upstreams.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.values().cloned().collect()
    }

    /// Answers at an address until it is aborted, as soon as it can be opened.
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

    /// Answers at these sockets until it is aborted: two tasks take datagrams, one connections.
    pub(super) async fn receive(self: Arc<Self>, (udp, tcp): (UdpSocket, TcpListener)) {
        let (udp, tcp) = (Arc::new(udp), Arc::new(tcp));
        let datagrams = || keep(|| udp::receive(udp.clone(), self.clone()));
        let connections = keep(|| tcp::receive(tcp.clone(), self.clone()));
        tokio::join!(datagrams(), datagrams(), connections);
    }

    /// What is wrong with an address or a setting, if anything is.
    pub(super) fn set_problem(&self, with: impl ToString, problem: Option<Problem>) {
        let with = with.to_string();
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(problem) = problem else {
            problems.remove(&with);
            return;
        };
        if problems.get(&with) != Some(&problem) {
            tracing::warn!("{problem}");
            problems.insert(with, problem);
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
        if let Some(code) = self.refuses(client) {
            self.numbers.asked(Part::None, transport, kind);
            let reply = Reply::bare(code);
            return Step::Send(self.finish((&question, Part::None, most, since), &reply));
        }
        if let Some(answer) = question.bad_version() {
            self.numbers.unusable(transport, ResponseCode::BADVERS.into());
            return Step::Send(answer);
        }
        let (part, verdict) = self.answerer.at_once(&question, transport);
        self.numbers.asked(part, transport, kind);
        match verdict {
            Verdict::Now(reply) => Step::Send(self.finish((&question, part, most, since), &reply)),
            Verdict::Later(errand) => {
                Step::Wait(Box::new(Wait { question, errand, part, most, since }))
            }
        }
    }

    /// Why a client is not answered. REFUSED is for good; whoever may turn out to be a client is to
    /// ask again.
    fn refuses(&self, client: IpAddr) -> Option<ResponseCode> {
        match self.access.standing(client) {
            Standing::Client => None,
            Standing::Unknown => Some(ResponseCode::ServFail),
            Standing::Stranger => Some(ResponseCode::Refused),
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

/// Has a task do what never ends, and another one if it does: something in it broke. The sockets
/// are not the task's own, so that the address is never without them.
async fn keep<F: Future<Output = ()> + Send + 'static>(work: impl Fn() -> F) {
    let mut task = JoinSet::new();
    loop {
        task.spawn(work());
        if let Some(Err(error)) = task.join_next().await {
            tracing::error!("answering DNS questions: {error}; it is started again");
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn work_that_broke_is_begun_again() {
        let begun = AtomicUsize::new(0);
        let fourth = Arc::new(Notify::new());
        let work = || {
            let number = begun.fetch_add(1, Ordering::SeqCst);
            let fourth = fourth.clone();
            async move {
                assert!(number == 3, "the test breaks it");
                fourth.notify_one();
                std::future::pending::<()>().await;
            }
        };
        let reached = async {
            tokio::select! {
                () = keep(work) => {}
                () = fourth.notified() => {}
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 4);
    }
}
