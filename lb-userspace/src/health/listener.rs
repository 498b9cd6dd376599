//! One socket that is listened at, and its clients.
//!
//! A connection is one question: it is answered, closed, and over after [`PATIENCE`] at the
//! latest; what comes behind its head is not read. The newest clients are served: beyond [`MOST_CLIENTS`] the oldest one is dropped, so
//! whoever opens connections without end keeps nobody else from being answered.

use super::answer::Facts;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrStorage, bind, listen,
    setsockopt, shutdown, socket, sockopt,
};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long a client may take for its question and our answer together.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients all sockets together serve at a time.
const MOST_CLIENTS: usize = 256;
/// How many bytes of a question are kept.
const MOST_BYTES: usize = 16 * 1024;
/// How long nobody is let in after the kernel refused to (no descriptor left, most likely).
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is listened at; it and its clients' connections are closed when dropped.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Arc<TcpListener>,
    facts: Arc<Facts>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens at `addr` and answers with `facts`.
    pub(super) fn open(
        addr: SocketAddr,
        facts: Facts,
        runtime: &Handle,
        clients: &Clients,
    ) -> io::Result<Self> {
        let _entered = runtime.enter();
        let socket = Arc::new(TcpListener::from_std(bound(addr)?)?);
        let facts = Arc::new(facts);
        let task = runtime.spawn(accept(socket.clone(), facts.clone(), clients.clone()));
        Ok(Self { socket, facts, task })
    }

    /// What is answered.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The task holds the socket until it is scheduled again; the port has to be free at once.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        self.task.abort();
    }
}

/// A socket of one family alone: the other one has a socket of its own at the same port.
fn bound(addr: SocketAddr) -> io::Result<StdListener> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    // Connections that are closing must not keep the port.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    // Whoever answers next begins before this one ends.
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    if addr.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(addr))?;
    listen(&socket, Backlog::MAXALLOWABLE)?;
    Ok(socket.into())
}

/// Lets clients in until it is aborted; they go with it.
async fn accept(socket: Arc<TcpListener>, facts: Arc<Facts>, clients: Clients) {
    let mut own = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => clients.admit(own.spawn(serve(stream, facts.clone()))),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::debug!("letting in a client of a health check: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = own.join_next() => {}
        }
    }
}

/// Whether an error is about one connection that is over already.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one question, whatever it is. A client that breaks off, or speaks something else than
/// HTTP, is its own business.
async fn serve(stream: TcpStream, facts: Arc<Facts>) {
    let answer = service_fn(|request: Request<Incoming>| {
        ready(Ok::<_, Infallible>(facts.answer(request.uri().path())))
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .title_case_headers(true)
        .max_buf_size(MOST_BYTES)
        // One limit for all of it: below.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), answer);
    let _ = timeout(PATIENCE, connection).await;
}

/// The clients of all sockets, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Mutex<VecDeque<AbortHandle>>>);

impl Clients {
    /// Lets one in, in place of the oldest if there are too many.
    fn admit(&self, client: AbortHandle) {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST_CLIENTS {
            clients.retain(|client| !client.is_finished());
        }
        if clients.len() >= MOST_CLIENTS
            && let Some(oldest) = clients.pop_front()
        {
            oldest.abort();
        }
        clients.push_back(client);
    }
}
