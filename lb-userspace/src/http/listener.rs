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
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
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
        let (shared, clients) = (socket.clone(), clients.clone());
        let welcome = move |stream, _| Some(serve(stream, answer.clone()));
        let task = runtime.spawn(async move { accept(&shared, &clients, welcome).await });
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

/// Lets clients in until it is aborted; they go with it. `welcome` says what is done for a client;
/// nothing: it is dropped at once, and takes nobody's place.
pub(crate) async fn accept<A>(
    socket: &TcpListener,
    clients: &Clients,
    welcome: impl Fn(TcpStream, IpAddr) -> Option<A>,
) where
    A: Future<Output = ()> + Send + 'static,
{
    let mut own = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(work) = welcome(stream, peer.ip()) {
                        clients.admit(peer.ip(), own.spawn(work));
                    }
                }
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
    most_each: usize,
    present: Arc<Mutex<VecDeque<(IpAddr, AbortHandle)>>>,
}

impl Clients {
    /// Room for `most` clients at a time.
    pub fn at_most(most: usize) -> Self {
        Self { most, most_each: most, present: Arc::default() }
    }

    /// Room for `most` of each address, so that one takes not the place of all others.
    #[must_use]
    pub fn each_at_most(self, most: usize) -> Self {
        Self { most_each: most, ..self }
    }

    /// Lets one in: if its address has too many, in place of the oldest of them; if there are too
    /// many of all, in place of the oldest.
    pub fn admit(&self, peer: IpAddr, client: AbortHandle) {
        let mut clients = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|(_, client)| !client.is_finished());
        let own = clients.iter().filter(|(other, _)| *other == peer).count();
        let too_many = if own >= self.most_each {
            clients.iter().position(|(other, _)| *other == peer)
        } else {
            (clients.len() >= self.most).then_some(0)
        };
        if let Some((_, oldest)) = too_many.and_then(|at| clients.remove(at)) {
            oldest.abort();
        }
        clients.push_back((peer, client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpSocket;

    /// A connection from 127.0.0.`last`.
    async fn connect(server: SocketAddr, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        socket.connect(server).await.unwrap()
    }

    /// Whether the connection is still there after a while.
    async fn is_open(stream: &mut TcpStream) -> bool {
        timeout(Duration::from_millis(200), stream.read_u8()).await.is_err()
    }

    /// A socket that lets everybody in but 127.0.0.9.
    async fn open(clients: Clients) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let stranger: IpAddr = Ipv4Addr::new(127, 0, 0, 9).into();
        let welcome = move |stream: TcpStream, peer| {
            (peer != stranger).then_some(async move {
                let _held = stream;
                std::future::pending::<()>().await;
            })
        };
        tokio::spawn(async move { accept(&socket, &clients, welcome).await });
        addr
    }

    #[tokio::test]
    async fn whoever_is_not_welcome_takes_nobodys_place() {
        let server = open(Clients::at_most(1)).await;
        let mut first = connect(server, 1).await;
        for _ in 0..3 {
            let mut stranger = connect(server, 9).await;
            assert!(!is_open(&mut stranger).await);
        }
        assert!(is_open(&mut first).await);
    }

    #[tokio::test]
    async fn whoever_has_too_many_connections_loses_its_own() {
        let server = open(Clients::at_most(4).each_at_most(2)).await;
        let mut first = connect(server, 1).await;
        let mut noisy = Vec::new();
        for _ in 0..10 {
            noisy.push(connect(server, 2).await);
        }
        assert!(is_open(&mut first).await);
        assert!(is_open(noisy.last_mut().unwrap()).await);
        assert!(!is_open(&mut noisy[0]).await);
    }

    #[tokio::test]
    async fn a_new_client_takes_the_oldest_ones_place() {
        let server = open(Clients::at_most(2)).await;
        let mut clients = Vec::new();
        for last in 1..=3 {
            clients.push(connect(server, last).await);
        }
        assert!(!is_open(&mut clients[0]).await);
        assert!(is_open(&mut clients[2]).await);
    }
}
