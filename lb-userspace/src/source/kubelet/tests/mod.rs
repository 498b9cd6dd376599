//! Probes, sentence by sentence: what objects ask for, what servers get to see, when it counts.

/// Objects to probes, and what is wrong with them.
mod plan;
/// Against servers on this host.
mod http;
mod grpc;
mod exec;
/// With a clock that is set by hand.
mod timing;

use super::check::Outcome;
use super::probe::{Check, Place, Probe};
use super::threshold::Thresholds;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const SECOND: Duration = Duration::from_secs(1);
/// More than anything here takes on a machine that has much else to do.
const LONG: Duration = Duration::from_secs(30);

fn probe(check: Check) -> Probe {
    Probe {
        check,
        initial_delay: Duration::ZERO,
        period: 10 * SECOND,
        timeout: LONG,
        thresholds: Thresholds { success: 1, failure: 3 },
    }
}

fn place(at: SocketAddr) -> Place {
    Place { host: at.ip().to_string(), port: at.port() }
}

/// A server that treats each connection so.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Place
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = place(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    at
}

/// A port where nobody listens, nor will while the socket lives.
fn closed_port() -> (TcpSocket, Place) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let place = place(socket.local_addr().unwrap());
    (socket, place)
}

async fn outcome(check: Check) -> Outcome {
    super::check::check(&probe(check)).await
}

/// Of a probe that waits for no more than a second.
async fn outcome_soon(check: Check) -> Outcome {
    super::check::check(&Probe { timeout: SECOND, ..probe(check) }).await
}

fn failure(why: &str) -> Outcome {
    Outcome::Failure(why.to_owned())
}

mod tcp {
    use super::*;

    #[tokio::test]
    async fn whoever_accepts_a_connection_is_ready() {
        let place = server(|_| async {}).await;
        assert_eq!(outcome(Check::Tcp(place)).await, Outcome::Success);
    }

    #[tokio::test]
    async fn a_closed_port_is_a_failure() {
        let (_socket, place) = closed_port();
        let Outcome::Failure(why) = outcome(Check::Tcp(place.clone())).await else { panic!() };
        assert!(why.starts_with(&format!("connecting to {place}: Connection refused")), "{why}");
    }

    #[tokio::test]
    async fn a_name_is_looked_up() {
        let Place { port, .. } = server(|_| async {}).await;
        let place = Place { host: "localhost".to_owned(), port };
        assert_eq!(outcome(Check::Tcp(place)).await, Outcome::Success);
        let place = Place { host: "nobody.invalid".to_owned(), port };
        assert!(matches!(outcome(Check::Tcp(place)).await, Outcome::Failure(_)));
    }
}
