//! `httpGet`: the kubelet's `probe/http`.
//!
//! 200 to 399 is success. Redirects are followed while they stay with the host; one that leads to
//! another host is an answer like any, so success. A body that breaks off is no answer at all.

/// Where a redirect leads.
mod redirect;

use super::{MOST_BYTES, Outcome, USER_AGENT, tcp, tls, too_slow};
use crate::source::kubelet::probe::HttpGet;
use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use redirect::Target;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Requests that one check makes at most.
const MOST_REQUESTS: usize = 10;
/// Bytes of the head of an answer.
const MOST_HEAD: usize = 64 << 10;

/// What a connection carries itself.
static OWN_HEADERS: [HeaderName; 4] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER];

/// An answer whose body is still on its way.
struct Answer {
    response: Response<Incoming>,
    /// Ends with it.
    _connection: JoinSet<()>,
}

/// Asks, and reads the answer.
pub(super) async fn check(get: &HttpGet, patience: Duration) -> Outcome {
    let deadline = Instant::now() + patience;
    match timeout_at(deadline, answer(get)).await {
        Ok(Ok(answer)) => judge(answer, deadline).await,
        Ok(Err(error)) => Outcome::Failure(format!("{error:#}")),
        Err(_) => Outcome::Failure(too_slow(patience)),
    }
}

async fn judge(answer: Answer, deadline: Instant) -> Outcome {
    let status = answer.response.status().as_u16();
    match timeout_at(deadline, read(answer)).await {
        Err(_) => Outcome::Void(format!("HTTP {status}, and its body does not end in time")),
        Ok(Err(error)) => Outcome::Void(format!("HTTP {status}, and its body breaks off: {error}")),
        Ok(Ok(())) if (200..400).contains(&status) => Outcome::Success,
        Ok(Ok(())) => Outcome::Failure(format!("HTTP {status}")),
    }
}

/// Reads as much of the body as is ever read.
async fn read(mut answer: Answer) -> hyper::Result<()> {
    let mut read = 0;
    while let Some(frame) = answer.response.body_mut().frame().await {
        read += frame?.data_ref().map_or(0, Bytes::len);
        if read > MOST_BYTES {
            break;
        }
    }
    Ok(())
}

/// The answer behind all redirects that are followed.
async fn answer(get: &HttpGet) -> Result<Answer> {
    let mut target = Target::of(get);
    for _ in 0..MOST_REQUESTS {
        let answer = request(&target, get).await?;
        match target.next(answer.response.status(), answer.response.headers())? {
            Some(next) => target = next,
            None => return Ok(answer),
        }
    }
    bail!("stopped after {MOST_REQUESTS} redirects")
}

async fn request(target: &Target, get: &HttpGet) -> Result<Answer> {
    let stream = tcp::connect(&target.place).await?;
    if target.tls {
        exchange(tls::wrap(stream, &target.place.host).await?, target, get).await
    } else {
        exchange(stream, target, get).await
    }
}

async fn exchange<S>(stream: S, target: &Target, get: &HttpGet) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = Request::get(target.path.as_str()).body(Empty::<Bytes>::new())?;
    *request.headers_mut() = headers(target, get)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .context("speaking HTTP")?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        // Whoever waits for the answer hears of it, too.
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.context("asking over HTTP")?;
    Ok(Answer { response, _connection: task })
}

/// Those that are written, and what the kubelet adds.
fn headers(target: &Target, get: &HttpGet) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &get.headers {
        let name = HeaderName::try_from(name)?;
        if !OWN_HEADERS.contains(&name) {
            headers.append(name, HeaderValue::try_from(value)?);
        }
    }
    let defaults = [(header::USER_AGENT, USER_AGENT), (header::ACCEPT, "*/*")];
    for (name, default) in defaults {
        let written = headers.entry(&name).or_insert(HeaderValue::from_static(default));
        // One that is written as empty is not sent.
        if written.is_empty() {
            headers.remove(name);
        }
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::HOST, HeaderValue::try_from(target.host_header())?);
    Ok(headers)
}
