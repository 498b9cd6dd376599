//! `grpc`: `grpc.health.v1.Health/Check`, in the words of the health checking protocol.
//!
//! Hand-framed over hyper's HTTP/2: the two messages have one field each (a name, a number), and
//! gRPC puts five bytes before them and a status behind.

use super::{MOST_BYTES, Outcome, USER_AGENT, tcp, too_slow};
use crate::source::kubelet::probe::Place;
use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// Values of `HealthCheckResponse.status`, by number.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/// The one that is success.
const SERVING: u64 = 1;
/// The gRPC status of a server that does not know the method.
const UNIMPLEMENTED: &str = "12";

/// Asks for the health of `service`; empty: of the server.
pub(super) async fn check(place: &Place, service: &str, patience: Duration) -> Outcome {
    match timeout(patience, ask(place, service, patience)).await {
        Ok(Ok(SERVING)) => Outcome::Success,
        Ok(Ok(other)) => Outcome::Failure(format!("gRPC health {}", name(other))),
        Ok(Err(error)) => Outcome::Failure(format!("{error:#}")),
        Err(_) => Outcome::Failure(too_slow(patience)),
    }
}

fn name(status: u64) -> String {
    let known = usize::try_from(status).ok().and_then(|index| STATUSES.get(index));
    known.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

async fn ask(place: &Place, service: &str, patience: Duration) -> Result<u64> {
    let stream = TokioIo::new(tcp::connect(place).await?);
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), stream).await.context("speaking HTTP/2")?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        // Whoever waits for the answer hears of it, too.
        let _ = connection.await;
    });
    let response = sender.send_request(request(place, service, patience)?).await;
    read(response.context("asking over HTTP/2")?).await
}

fn request(place: &Place, service: &str, patience: Duration) -> Result<Request<Full<Bytes>>> {
    let request = Request::post(format!("http://{place}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", USER_AGENT)
        .header("grpc-timeout", format!("{}m", patience.as_millis().min(99_999_999)));
    Ok(request.body(Full::new(framed(&question(service)?)?))?)
}

/// The status is in the trailers, or in the headers if there is nothing else.
async fn read(response: Response<Incoming>) -> Result<u64> {
    ensure!(response.status().is_success(), "HTTP {}", response.status().as_u16());
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_BYTES).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed).context("reading the answer")?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    succeeded(&head.headers, &trailers)?;
    answer(&body.to_bytes())
}

fn succeeded(headers: &HeaderMap, trailers: &HeaderMap) -> Result<()> {
    let text = |name| {
        let value = trailers.get(name).or_else(|| headers.get(name))?;
        Some(value.to_str().unwrap_or("?").to_owned())
    };
    match text("grpc-status").as_deref() {
        Some("0") => Ok(()),
        Some(UNIMPLEMENTED) => bail!("the server does not know grpc.health.v1.Health"),
        Some(code) => {
            bail!("gRPC status {code}: {}", text("grpc-message").unwrap_or_default().escape_debug())
        }
        None => bail!("the answer is not of gRPC"),
    }
}

/// `HealthCheckRequest`: field 1, a text.
fn question(service: &str) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut rest = u32::try_from(service.len()).context("the name is too long")?;
        while rest >= 0x80 {
            message.push(u8::try_from(rest & 0x7f)? | 0x80);
            rest >>= 7;
        }
        message.push(u8::try_from(rest)?);
        message.extend(service.bytes());
    }
    Ok(message)
}

/// Not compressed, and how long it is.
fn framed(message: &[u8]) -> Result<Bytes> {
    let len = u32::try_from(message.len())?.to_be_bytes();
    Ok([&[0], &len[..], message].concat().into())
}

/// The status in a framed `HealthCheckResponse`: field 1, a number; absent: 0.
fn answer(framed: &[u8]) -> Result<u64> {
    let (head, message) = framed.split_at_checked(5).context("the answer is too short")?;
    ensure!(head.first() == Some(&0), "the answer is compressed, which nobody asked for");
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        match varint(&mut rest)? {
            0x08 => status = varint(&mut rest)?,
            other => skip(other & 7, &mut rest)?,
        }
    }
    Ok(status)
}

/// A field that this version of the protocol does not have.
fn skip(kind: u64, rest: &mut &[u8]) -> Result<()> {
    let len = match kind {
        0 => return varint(rest).map(drop),
        1 => 8,
        2 => usize::try_from(varint(rest)?)?,
        5 => 4,
        _ => bail!("the answer is no message"),
    };
    *rest = rest.get(len..).context("the answer breaks off")?;
    Ok(())
}

/// Seven bits a byte, the lowest first.
fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().context("the answer breaks off")?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("the answer is no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_framed_message_with_the_services_name() {
        let asked = |service| framed(&question(service).unwrap()).unwrap().to_vec();
        assert_eq!(asked(""), [0, 0, 0, 0, 0]);
        assert_eq!(asked("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = asked(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn an_answers_status_is_its_first_field() {
        let status = |message: &[u8]| {
            let said = answer(&framed(message).unwrap());
            said.map_or_else(|error| error.to_string(), name)
        };
        assert_eq!(status(&[]), "UNKNOWN");
        assert_eq!(status(&[8, 1]), "SERVING");
        assert_eq!(status(&[8, 2]), "NOT_SERVING");
        assert_eq!(status(&[8, 0x80, 1]), "128");
        // Fields 2 to 5, of each kind that there is, before it.
        let other = [0x10, 0x80, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 1, 9, 0x2d, 1, 2, 3, 4];
        assert_eq!(status(&[&other[..], &[8, 1]].concat()), "SERVING");
        assert_eq!(status(&[0x22, 9, 1]), "the answer breaks off");
        assert_eq!(status(&[8]), "the answer breaks off");
        assert_eq!(status(&[0x0b]), "the answer is no message");
        assert_eq!(status(&[0xff; 11]), "the answer is no message");
        assert_eq!(answer(&[0, 0]).unwrap_err().to_string(), "the answer is too short");
        assert!(answer(&[1, 0, 0, 0, 0]).is_err());
    }
}
