use super::*;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

/// An answer: its message, and its status in the trailers.
#[derive(Clone, Copy)]
struct Said(&'static [u8], &'static str);

const SERVING: Said = Said(&[0, 0, 0, 0, 2, 8, 1], "0");

/// A server of gRPC that answers each request by its path and message.
async fn grpc(reply: impl Fn(&str, &[u8]) -> Said + Clone + Send + 'static) -> Place {
    server(move |stream| {
        let reply = reply.clone();
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let reply = reply.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let content = request.headers().get("content-type").cloned();
                    assert_eq!(content.unwrap(), "application/grpc");
                    let message = request.into_body().collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(response(reply(&path, &message)))
                }
            });
            let _ = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

type Frames = futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

fn response(Said(message, status): Said) -> Response<StreamBody<Frames>> {
    let name = HeaderName::from_static("grpc-status");
    let trailers = HeaderMap::from_iter([(name, HeaderValue::from_static(status))]);
    let frames = vec![Ok(Frame::data(Bytes::from_static(message))), Ok(Frame::trailers(trailers))];
    Response::new(StreamBody::new(futures_util::stream::iter(frames)))
}

async fn asked(place: Place, service: &str) -> Outcome {
    outcome(Check::Grpc(place, service.to_owned())).await
}

/// What a server that answers so is thought of.
async fn answered(said: Said) -> Outcome {
    asked(grpc(move |_, _| said).await, "").await
}

#[tokio::test]
async fn only_serving_is_success() {
    assert_eq!(answered(SERVING).await, Outcome::Success);
    let status = |message| answered(Said(message, "0"));
    assert_eq!(status(&[0, 0, 0, 0, 2, 8, 2]).await, failure("gRPC health NOT_SERVING"));
    assert_eq!(status(&[0, 0, 0, 0, 2, 8, 3]).await, failure("gRPC health SERVICE_UNKNOWN"));
    assert_eq!(status(&[0, 0, 0, 0, 0]).await, failure("gRPC health UNKNOWN"));
    assert_eq!(status(&[0, 0, 0, 0, 2, 8, 9]).await, failure("gRPC health 9"));
}

#[tokio::test]
async fn the_service_is_asked_by_its_name() {
    let place = grpc(|path, message| match (path, message) {
        ("/grpc.health.v1.Health/Check", [0, 0, 0, 0, 5, 0x0a, 3, b'w', b'e', b'b']) => SERVING,
        _ => Said(&[], "5"),
    })
    .await;
    assert_eq!(asked(place.clone(), "web").await, Outcome::Success);
    assert_eq!(asked(place, "").await, failure("gRPC status 5: "));
}

#[tokio::test]
async fn a_server_without_the_service_is_named() {
    let why = "the server does not know grpc.health.v1.Health";
    assert_eq!(answered(Said(&[], "12")).await, failure(why));
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_none_is_a_failure() {
    static LONG: [u8; 20 << 10] = [0; 20 << 10];
    assert!(matches!(answered(Said(&LONG, "0")).await, Outcome::Failure(_)));
    assert_eq!(answered(Said(&[0], "0")).await, failure("the answer is too short"));
}

#[tokio::test]
async fn http2_that_is_not_grpc_is_a_failure() {
    let place = server(|stream| async move {
        let service = service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        });
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    })
    .await;
    assert_eq!(asked(place, "").await, failure("the answer is not of gRPC"));
}

#[tokio::test]
async fn who_speaks_no_http2_says_nothing_or_does_not_listen_is_not_ready() {
    let hangs_up = server(|_| async {}).await;
    assert!(matches!(asked(hangs_up, "").await, Outcome::Failure(_)));
    let silent = server(|stream| async move {
        tokio::time::sleep(LONG).await;
        drop(stream);
    })
    .await;
    let silent = Check::Grpc(silent, String::new());
    assert_eq!(outcome_soon(silent).await, failure("no answer within 1 s"));
    let (_socket, closed) = closed_port();
    assert!(matches!(asked(closed, "").await, Outcome::Failure(_)));
}
