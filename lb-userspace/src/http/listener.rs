//! One socket that is listened at, and its clients.

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrStorage, bind, listen,
    setsockopt, shutdown, socket, sockopt,
};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long a client may take for its question and our answer together.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many bytes of a question are kept.
const MOST_BYTES: usize = 16 * 1024;
/// How long nobody is let in after the kernel refused to (no descriptor left, most likely).
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is listened at; it and its clients' connections are closed when dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<TcpListener>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens at `addr`, in the network namespace of the calling thread, and gives each question
    /// the answer that `answer` makes of it.
    ///
    /// # Errors
    /// The address is not this host's, or somebody else listens there.
    pub fn open<F, A>(
        addr: SocketAddr,
        port: Port,
        (runtime, clients): (&Handle, &Clients),
        answer: F,
    ) -> io::Result<Self>
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
        A: Future<Output = Response<String>> + Send + 'static,
    {
        let socket = bare(addr)?;
        if port == Port::Shared {
            setsockopt(&socket, sockopt::ReusePort, &true)?;
        }
        bind(socket.as_raw_fd(), &SockaddrStorage::from(addr))?;
        listen(&socket, Backlog::MAXALLOWABLE)?;
        let _entered = runtime.enter();
        let socket = Arc::new(TcpListener::from_std(StdListener::from(socket))?);
        let task = runtime.spawn(accept(socket.clone(), clients.clone(), answer));
        Ok(Self { socket, task })
    }
}

/// Who may listen at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// One socket.
    Own,
    /// Others of this user that share it too: whoever answers next begins before the one before
    /// ends. Until then the kernel chooses between them.
    Shared,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The task holds the socket until it is scheduled again; the port has to be free at once.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        self.task.abort();
    }
}

/// A socket of one family alone: the other one has a socket of its own at the same port.
fn bare(addr: SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    // Connections that are closing must not keep the port.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if addr.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    Ok(socket)
}

/// Lets clients in until it is aborted; they go with it.
async fn accept<F, A>(socket: Arc<TcpListener>, clients: Clients, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<String>> + Send + 'static,
{
    let mut own = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => clients.admit(own.spawn(serve(stream, answer.clone()))),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::debug!("letting in a client: {error}");
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

/// Answers one question. A client that breaks off, or speaks something else than HTTP, is its own
/// business.
async fn serve<F, A>(stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<String>>,
{
    let answered = service_fn(move |question| {
        let answer = answer(question);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .title_case_headers(true)
        .max_buf_size(MOST_BYTES)
        // One limit for all of it: below.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), answered);
    let _ = timeout(PATIENCE, connection).await;
}

/// The clients of all sockets that share it, oldest first.
#[derive(Clone, Debug)]
pub struct Clients {
    most: usize,
    present: Arc<Mutex<VecDeque<AbortHandle>>>,
}

impl Clients {
    /// Room for `most` clients at a time.
    pub fn at_most(most: usize) -> Self {
        Self { most, present: Arc::default() }
    }

    /// Lets one in, in place of the oldest if there are too many.
    pub fn admit(&self, client: AbortHandle) {
        let mut clients = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= self.most {
            clients.retain(|client| !client.is_finished());
        }
        if clients.len() >= self.most
            && let Some(oldest) = clients.pop_front()
        {
            oldest.abort();
        }
        clients.push_back(client);
    }
}
