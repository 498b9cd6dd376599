//! Health check node ports, asked over real sockets.
//!
//! Each test runs in a network namespace of its own thread, with a loopback link and nothing
//! else; it needs root. The server is driven by the test's own runtime, on that thread.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use lb_userspace::compile::Family;
use lb_userspace::compile::health::Check;
use lb_userspace::health::{Proxy, Server};
use lb_userspace::model::ObjectName;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::LinkUnspec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener as Taken};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n";
const PORT: u16 = 31000;
const HEALTHY: Proxy = Proxy { healthy: true, node_eligible: true };
/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(5);

/// A server on a node of its own.
struct Node {
    server: Server,
    runtime: Runtime,
}

/// What a client got.
#[derive(Debug, PartialEq)]
struct Answer {
    status: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Node {
    fn new() -> Self {
        Self::driven_by(Builder::new_current_thread())
    }

    fn driven_by(mut runtime: Builder) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(raise_loopback()).unwrap();
        Self { server: Server::new(runtime.handle().clone()), runtime }
    }

    /// Applies checks, each `name port count`, all of both families.
    fn apply(&mut self, checks: &[(&str, u16, usize)]) {
        let both = |count| Family::ALL.map(|family| (family, count)).into();
        let checks = checks.iter().map(|(name, port, count)| {
            (ObjectName::new("ns", *name), Check { port: *port, local_endpoints: both(*count) })
        });
        self.server.apply(&checks.collect());
    }

    /// Sends `bytes` and reads to the end.
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<String> {
        self.runtime.block_on(async {
            let mut stream = TcpStream::connect(to).await?;
            stream.write_all(bytes).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        })
    }

    fn ask(&self, port: u16) -> Answer {
        parsed(&self.send(v4(port), ASK.as_bytes()).unwrap())
    }

    /// What is told about whom at `port`.
    #[track_caller]
    fn tells(&self, port: u16, name: &str, count: usize) {
        let body = json!({
            "service": { "namespace": "ns", "name": name },
            "localEndpoints": count,
            "serviceProxyHealthy": true,
        });
        assert_eq!(self.ask(port).json(), body);
    }

    #[track_caller]
    fn is_closed(&self, to: SocketAddr) {
        let error = self.send(to, ASK.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    /// The messages of all problems.
    fn problems(&self) -> Vec<String> {
        self.server.problems().iter().map(ToString::to_string).collect()
    }
}

async fn raise_loopback() -> anyhow::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let up = LinkUnspec::new_with_index(if_nametoindex("lo")?).up().build();
    Ok(handle.link().set(up).execute().await?)
}

fn v4(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn v6(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))
}

fn parsed(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().to_owned();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answer { status, headers, body: body.to_owned() }
}

#[test]
fn the_answer_is_kube_proxys_to_the_letter() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 2)]);
    let answer = node.ask(PORT);
    let body = "{\n\t\"service\": {\n\t\t\"namespace\": \"ns\",\n\t\t\"name\": \"web\"\n\t},\n\
                \t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}";
    assert_eq!((answer.status.as_str(), answer.body.as_str()), ("HTTP/1.1 200 OK", body));
    let length = body.len().to_string();
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Load-Balancing-Endpoint-Weight", "2"),
        ("Content-Length", length.as_str()),
        ("Connection", "close"),
    ] {
        assert_eq!(answer.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn without_an_endpoint_or_a_healthy_proxy_the_node_is_unavailable() {
    const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable";
    let mut node = Node::new();
    node.apply(&[("web", PORT, 0)]);
    assert_eq!(node.ask(PORT).status, UNAVAILABLE);
    node.tells(PORT, "web", 0);
    node.apply(&[("web", PORT, 3)]);
    assert_eq!(node.ask(PORT).status, "HTTP/1.1 200 OK");
    node.server.set_proxy(Proxy { healthy: false, node_eligible: true });
    let answer = node.ask(PORT);
    assert_eq!(answer.status, UNAVAILABLE);
    assert_eq!(answer.headers["X-Load-Balancing-Endpoint-Weight"], "3");
    assert_eq!(answer.json()["serviceProxyHealthy"], false);
    node.server.set_proxy(HEALTHY);
    node.tells(PORT, "web", 3);
}

#[test]
fn any_path_and_method_is_answered_alike() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 1)]);
    let body = node.ask(PORT).body;
    for head in ["GET /", "DELETE /x?y=z", "OPTIONS *", "PATCH /healthz", "BREW /coffee"] {
        let answer = node.send(v4(PORT), format!("{head} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let answer = parsed(&answer.unwrap());
        assert_eq!((answer.status.as_str(), &answer.body), ("HTTP/1.1 200 OK", &body), "{head}");
    }
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(parsed(&node.send(v4(PORT), post.as_bytes()).unwrap()).body, body);
    let head = parsed(&node.send(v4(PORT), b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap());
    assert_eq!((head.status.as_str(), head.body.as_str()), ("HTTP/1.1 200 OK", ""));
    assert_eq!(parsed(&node.send(v4(PORT), b"GET / HTTP/1.0\r\n\r\n").unwrap()).body, body);
}

#[test]
fn families_are_told_apart() {
    let mut node = Node::new();
    let check = |families: &[(Family, usize)]| {
        let local_endpoints = families.iter().copied().collect();
        BTreeMap::from([(ObjectName::new("ns", "web"), Check { port: PORT, local_endpoints })])
    };
    node.server.apply(&check(&[(Family::V4, 0), (Family::V6, 4)]));
    assert_eq!(node.problems(), [""; 0]);
    node.tells(PORT, "web", 0);
    let answer = parsed(&node.send(v6(PORT), ASK.as_bytes()).unwrap());
    assert_eq!(answer.json()["localEndpoints"], 4);
    node.server.apply(&check(&[(Family::V4, 1)]));
    node.tells(PORT, "web", 1);
    node.is_closed(v6(PORT));
}

#[test]
fn ports_come_move_and_go() {
    let mut node = Node::new();
    node.apply(&[("a", PORT, 1), ("b", PORT + 1, 2)]);
    node.tells(PORT, "a", 1);
    node.tells(PORT + 1, "b", 2);
    node.apply(&[("a", PORT + 2, 1), ("b", PORT + 1, 5)]);
    node.is_closed(v4(PORT));
    node.tells(PORT + 2, "a", 1);
    node.tells(PORT + 1, "b", 5);
    node.apply(&[]);
    for port in [PORT, PORT + 1, PORT + 2] {
        node.is_closed(v4(port));
        node.is_closed(v6(port));
    }
}

#[test]
fn a_port_changes_hands_at_once() {
    // Other threads hold the sockets of the agent, and let go of them when they come to it.
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(2);
    for runtime in [Builder::new_current_thread(), threads] {
        let mut node = Node::driven_by(runtime);
        // Whichever is opened first: the other one's has to be closed by then.
        for count in 0..50 {
            node.apply(&[("a", PORT, count), ("b", PORT + 1, count)]);
            assert_eq!(node.problems(), [""; 0]);
            node.tells(PORT, "a", count);
            node.apply(&[("a", PORT + 1, count), ("b", PORT, count)]);
            assert_eq!(node.problems(), [""; 0]);
            node.tells(PORT, "b", count);
        }
    }
}

#[test]
fn a_port_stays_open_while_its_numbers_change() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 1)]);
    let mut open = node.runtime.block_on(TcpStream::connect(v4(PORT))).unwrap();
    node.apply(&[("other", PORT + 1, 1), ("web", PORT, 7)]);
    let answer = node.runtime.block_on(async {
        open.write_all(ASK.as_bytes()).await.unwrap();
        let mut answer = String::new();
        open.read_to_string(&mut answer).await.map(|_| answer)
    });
    assert_eq!(parsed(&answer.unwrap()).json()["localEndpoints"], 7);
}

#[test]
fn a_service_that_goes_takes_its_connections_with_it() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 1)]);
    let mut open = node.runtime.block_on(async {
        let mut open = TcpStream::connect(v4(PORT)).await.unwrap();
        open.write_all(b"GET /").await.unwrap();
        // Once another one is answered, this one was let in.
        let mut other = TcpStream::connect(v4(PORT)).await.unwrap();
        other.write_all(ASK.as_bytes()).await.unwrap();
        other.read_to_string(&mut String::new()).await.unwrap();
        open
    });
    node.apply(&[]);
    let end = node.runtime.block_on(async { timeout(LONG, open.read_u8()).await });
    assert!(end.expect("the connection stays open").is_err());
}

#[test]
fn a_port_that_somebody_has_is_a_problem_until_it_is_free() {
    let mut node = Node::new();
    let taken = Taken::bind("0.0.0.0:31000").unwrap();
    for _ in 0..2 {
        node.apply(&[("web", PORT, 1), ("other", PORT + 1, 1)]);
        let problem = "Service ns/web: spec.healthCheckNodePort: nobody answers at 0.0.0.0:31000 \
                       (Address already in use (os error 98)); it is tried again";
        assert_eq!(node.problems(), [problem]);
        node.tells(PORT + 1, "other", 1);
    }
    drop(taken);
    node.apply(&[("web", PORT, 1), ("other", PORT + 1, 1)]);
    assert_eq!(node.problems(), [""; 0]);
    node.tells(PORT, "web", 1);
}

#[test]
fn two_services_with_one_port_are_a_problem_of_the_second() {
    let mut node = Node::new();
    node.apply(&[("a", PORT, 1), ("b", PORT, 2)]);
    assert_eq!(node.problems().len(), 2, "one for each family: {:?}", node.problems());
    assert!(node.problems().iter().all(|problem| problem.starts_with("Service ns/b: ")));
    node.tells(PORT, "a", 1);
    node.apply(&[("b", PORT, 2)]);
    assert_eq!(node.problems(), [""; 0]);
    node.tells(PORT, "b", 2);
}

#[test]
fn only_the_named_addresses_are_listened_at() {
    let mut node = Node::new();
    let other = SocketAddr::from(([127, 0, 0, 2], PORT));
    node.server.set_addrs([v4(0).ip()].into());
    node.apply(&[("web", PORT, 1)]);
    node.tells(PORT, "web", 1);
    node.is_closed(other);
    node.is_closed(v6(PORT));
    // The address comes before it can be used.
    node.server.set_addrs([other.ip(), IpAddr::from([192, 0, 2, 1])].into());
    node.apply(&[("web", PORT, 1)]);
    node.is_closed(v4(PORT));
    assert!(node.send(other, ASK.as_bytes()).unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(node.problems().len(), 1);
    assert!(node.problems()[0].contains("192.0.2.1:31000 (Cannot assign requested address"));
}

#[test]
fn garbage_is_refused_and_harms_nobody() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 1)]);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let refused: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ];
    for bytes in refused {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
        match node.send(v4(PORT), bytes) {
            Ok(answer) => assert!(!answer.starts_with("HTTP/1.1 200"), "{shown:?}: {answer}"),
            // Closed before all of it was taken.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{shown:?}"),
        }
        node.tells(PORT, "web", 1);
    }
}

#[test]
fn a_client_that_dawdles_is_sent_away() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 1)]);
    node.runtime.block_on(async {
        let mut slow = TcpStream::connect(v4(PORT)).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        // The clock runs ahead whenever nothing else is to be done.
        tokio::time::pause();
        let started = tokio::time::Instant::now();
        let end = slow.read_u8().await;
        assert!(end.is_err(), "{end:?}");
        assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
    });
}

#[test]
fn many_idle_clients_keep_nobody_from_being_answered() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 1), ("other", PORT + 1, 1)]);
    let idle: Vec<TcpStream> = node.runtime.block_on(async {
        let mut idle = Vec::new();
        for _ in 0..400 {
            idle.push(TcpStream::connect(v4(PORT)).await.unwrap());
        }
        idle
    });
    node.tells(PORT, "web", 1);
    node.tells(PORT + 1, "other", 1);
    // The oldest had to go, the newest are still there.
    let is_open = |stream: &TcpStream| {
        let end = stream.try_read(&mut [0; 1]);
        end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let open = node.runtime.block_on(async {
        for stream in &idle {
            // Lets the runtime look at each.
            let _ = timeout(Duration::ZERO, stream.readable()).await;
        }
        idle.iter().map(is_open).collect::<Vec<_>>()
    });
    let left = open.iter().filter(|open| **open).count();
    assert!((250..=256).contains(&left), "{left}");
    assert!(!open[0] && open[399]);
}

#[test]
fn a_load_balancer_asks_about_the_node_as_a_whole() {
    let mut node = Node::new();
    let at: SocketAddr = "127.0.0.1:10256".parse().unwrap();
    node.server = Server::new(node.runtime.handle().clone()).with_proxy(vec![at]);
    node.apply(&[("web", PORT, 1)]);
    let ask = |path: &str| {
        let asked = ASK.replace("/healthz", path);
        let text = node.send(at, asked.as_bytes()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    };
    let cases = [
        (HEALTHY, "200", "200"),
        (Proxy { node_eligible: false, ..HEALTHY }, "503", "200"),
        (Proxy { healthy: false, ..HEALTHY }, "503", "503"),
    ];
    for (proxy, healthz, livez) in cases {
        node.server.set_proxy(proxy);
        let (status, body) = ask("/healthz");
        assert_eq!(status, healthz, "{proxy:?}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["nodeEligible"], json!(proxy.node_eligible));
        assert_eq!(body["healthy"], json!(proxy.healthy));
        assert_eq!(body["status"]["IPv4"]["healthy"], json!(proxy.healthy));
        assert!(body["lastUpdated"].as_str().unwrap().ends_with('Z'), "{body}");
        let (status, body) = ask("/livez");
        assert_eq!(status, livez, "{proxy:?}");
        assert!(!body.contains("nodeEligible"), "{body}");
    }
    assert_eq!(ask("/metrics").0, "404");
}

#[test]
fn whoever_answers_next_can_begin_before_this_one_ends() {
    let mut node = Node::new();
    node.apply(&[("web", PORT, 1)]);
    let mut next = Server::new(node.runtime.handle().clone());
    let check = Check { port: PORT, local_endpoints: Family::ALL.map(|family| (family, 2)).into() };
    next.apply(&[(ObjectName::new("ns", "web"), check)].into());
    assert_eq!(next.problems(), []);
    node.server.close();
    let at: SocketAddr = format!("127.0.0.1:{PORT}").parse().unwrap();
    for _ in 0..20 {
        let text = node.send(at, ASK.as_bytes()).unwrap();
        assert!(text.contains("\"localEndpoints\": 2"), "{text}");
    }
}
