use super::*;
use crate::source::kubelet::probe::HttpGet;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

fn get(place: Place, path: &str) -> Check {
    with_headers(place, path, &[])
}

fn with_headers(place: Place, path: &str, headers: &[(&str, &str)]) -> Check {
    let headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Check::Http(HttpGet { tls: false, place, path: path.to_owned(), headers })
}

/// What a client asks, up to the empty line.
async fn question(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { break };
        text.push(byte);
    }
    String::from_utf8(text).unwrap()
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: impl Fn(&str) -> String) {
    let reply = reply(&question(&mut stream).await);
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A server that makes an answer of each question.
async fn web(reply: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> Place {
    server(move |stream| converse(stream, reply.clone())).await
}

fn status(code: &str, more: &str) -> String {
    format!("HTTP/1.1 {code} x\r\n{more}content-length: 0\r\n\r\n")
}

/// What a server that answers so is thought of.
async fn answered(answer: String) -> Outcome {
    outcome(get(web(move |_| answer.clone()).await, "/")).await
}

#[tokio::test]
async fn from_200_to_399_is_success() {
    for code in ["200", "201", "204", "299", "300", "304", "399"] {
        assert_eq!(answered(status(code, "")).await, Outcome::Success, "{code}");
    }
    for code in ["400", "401", "404", "500", "503", "599"] {
        let why = format!("HTTP {code}");
        assert_eq!(answered(status(code, "")).await, failure(&why));
    }
}

#[tokio::test]
async fn the_body_of_a_failure_is_not_repeated() {
    let secret = "HTTP/1.1 500 x\r\ncontent-length: 6\r\n\r\nsecret".to_owned();
    assert_eq!(answered(secret).await, failure("HTTP 500"));
}

#[tokio::test]
async fn what_is_not_http_is_a_failure() {
    for answer in ["", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1"] {
        assert!(matches!(answered(answer.to_owned()).await, Outcome::Failure(_)), "{answer:?}");
    }
}

/// The question that a probe with these headers asks, without the port.
async fn asked(path: &str, headers: &[(&str, &str)]) -> Vec<String> {
    let heard = Arc::new(Mutex::new(String::new()));
    let ear = Arc::clone(&heard);
    let place = web(move |question| {
        question.clone_into(&mut ear.lock().unwrap());
        status("200", "")
    })
    .await;
    let own = place.to_string();
    assert_eq!(outcome(with_headers(place, path, headers)).await, Outcome::Success);
    let heard = heard.lock().unwrap().replace(&own, "PLACE");
    let mut lines: Vec<_> =
        heard.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

#[tokio::test]
async fn a_server_knows_a_probe_by_its_user_agent() {
    let expect = [
        "GET /healthz?full HTTP/1.1",
        "accept: */*",
        "connection: close",
        "host: PLACE",
        "user-agent: kube-probe/1.36",
    ];
    assert_eq!(asked("/healthz?full", &[]).await, expect);
}

#[tokio::test]
async fn written_headers_go_before_those_of_the_probe() {
    let headers = [
        ("Host", "web.example"),
        ("X-Twice", "1"),
        ("User-Agent", "mine"),
        ("X-Twice", "2"),
        ("Accept", ""),
        ("Content-Length", "7"),
    ];
    let expect = [
        "GET / HTTP/1.1",
        "connection: close",
        "host: web.example",
        "user-agent: mine",
        "x-twice: 1",
        "x-twice: 2",
    ];
    assert_eq!(asked("/", &headers).await, expect);
}

/// A server that leads `/` to `location` and answers 200 at `/ok`, else 404.
async fn leading(code: &'static str, location: &str) -> Outcome {
    let location = location.to_owned();
    let place = web(move |question| match question.split(' ').nth(1) {
        Some("/") => status(code, &format!("location: {location}\r\n")),
        Some("/ok") => status("200", ""),
        _ => status("404", ""),
    });
    outcome(get(place.await, "/")).await
}

#[tokio::test]
async fn a_redirect_within_the_host_is_followed() {
    for code in ["301", "302", "303", "307", "308"] {
        assert_eq!(leading(code, "/ok").await, Outcome::Success, "{code}");
        assert_eq!(leading(code, "/bad").await, failure("HTTP 404"), "{code}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_success_and_not_followed() {
    for location in ["http://192.0.2.1/bad", "https://nobody.invalid/", "//nobody.invalid/bad"] {
        assert_eq!(leading("302", location).await, Outcome::Success, "{location}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_port_of_the_host_is_followed() {
    let other = web(|_| status("500", "")).await;
    assert_eq!(leading("302", &format!("http://{other}/")).await, failure("HTTP 500"));
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_answer_and_one_to_nonsense_a_failure() {
    assert_eq!(answered(status("302", "")).await, Outcome::Success);
    assert!(matches!(leading("302", "ftp://127.0.0.1/").await, Outcome::Failure(_)));
}

#[tokio::test]
async fn a_circle_is_left_after_ten_requests() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let place = web(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        status("302", "location: /\r\n")
    });
    assert_eq!(outcome(get(place.await, "/")).await, failure("stopped after 10 redirects"));
    assert_eq!(count.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn a_written_host_is_kept_by_a_redirect_within_the_host() {
    let place = web(|question| match question {
        text if !text.contains("host: web.example\r\n") => status("404", ""),
        text if text.starts_with("GET / ") => status("302", "location: /ok\r\n"),
        _ => status("200", ""),
    });
    let check = with_headers(place.await, "/", &[("Host", "web.example")]);
    assert_eq!(outcome(check).await, Outcome::Success);
}

#[tokio::test]
async fn of_a_body_without_end_only_the_beginning_is_read() {
    let place = server(|mut stream| async move {
        question(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 x\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    assert_eq!(outcome(get(place.await, "/")).await, Outcome::Success);
}

#[tokio::test]
async fn a_head_without_end_is_a_failure() {
    let place = server(|mut stream| async move {
        question(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 x\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    assert!(matches!(outcome(get(place.await, "/")).await, Outcome::Failure(_)));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_answer_however_often_it_is_asked() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let place = web(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        "HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nhalf".to_owned()
    });
    assert!(matches!(outcome(get(place.await, "/")).await, Outcome::Void(_)));
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn who_says_nothing_fails_when_the_time_is_up() {
    let place = server(|stream| async move {
        tokio::time::sleep(LONG).await;
        drop(stream);
    });
    assert_eq!(outcome_soon(get(place.await, "/")).await, failure("no answer within 1 s"));
}

#[tokio::test]
async fn a_closed_port_is_a_failure() {
    let (_socket, place) = closed_port();
    assert!(matches!(outcome(get(place, "/")).await, Outcome::Failure(_)));
}

/// A server with a certificate that nobody signed, of another name, and expired.
async fn secure(reply: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> Place {
    let certificate = include_bytes!("expired.crt.der").to_vec().into();
    let key = PrivatePkcs8KeyDer::from(include_bytes!("expired.key.der").to_vec());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server(move |stream| {
        let (acceptor, reply) = (acceptor.clone(), reply.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, reply).await;
            }
        }
    })
    .await
}

fn over_tls(place: Place) -> Check {
    Check::Http(HttpGet { tls: true, place, path: "/".to_owned(), headers: Vec::new() })
}

#[tokio::test]
async fn over_tls_any_certificate_will_do() {
    assert_eq!(outcome(over_tls(secure(|_| status("200", "")).await)).await, Outcome::Success);
    assert_eq!(outcome(over_tls(secure(|_| status("503", "")).await)).await, failure("HTTP 503"));
}

#[tokio::test]
async fn a_redirect_to_tls_is_followed() {
    let safe = secure(|_| status("418", "")).await;
    assert_eq!(leading("308", &format!("https://{safe}/")).await, failure("HTTP 418"));
}

#[tokio::test]
async fn without_tls_on_the_other_side_it_is_a_failure() {
    let place = web(|_| status("200", "")).await;
    assert!(matches!(outcome(over_tls(place)).await, Outcome::Failure(_)));
    let place = secure(|_| status("200", "")).await;
    assert!(matches!(outcome(get(place, "/")).await, Outcome::Failure(_)));
}
