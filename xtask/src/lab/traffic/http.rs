//! The smallest HTTP/1.1 that two of our own and curl agree on: `GET` without a body, answers
//! with a length, connections that stay open.

use super::{Info, TOLD_READY, TOLD_UNREADY};
use anyhow::Result;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What a server says of itself.
pub(super) struct Site {
    name: String,
    /// It is ready while this file exists; `None`: always.
    ready: Option<PathBuf>,
    /// What the last probe was told.
    told: Cell<Option<bool>>,
}

impl Site {
    /// A server of this name.
    pub(super) fn new(name: &str, ready: Option<PathBuf>) -> Self {
        Self { name: name.to_owned(), ready, told: Cell::new(None) }
    }

    /// The page for probes. What is new in it is printed before anybody hears it, so that the time
    /// that follows is not taken for shorter than it is.
    fn readiness(&self) -> (&'static str, String) {
        let is_ready = self.ready.as_ref().is_none_or(|file| file.exists());
        let (status, said) = if is_ready {
            ("200 OK", TOLD_READY)
        } else {
            ("503 Service Unavailable", TOLD_UNREADY)
        };
        if self.told.replace(Some(is_ready)) != Some(is_ready) {
            println!("{said}");
        }
        (status, format!("{said}\n"))
    }
}

/// Answers the requests of one client until it closes.
pub(super) async fn answer(stream: TcpStream, site: &Site) -> Result<()> {
    let client = canonical(stream.peer_addr()?);
    let local = canonical(stream.local_addr()?);
    let info = Info { name: site.name.clone(), client, local };
    let mut stream = BufReader::new(stream);
    while let Some(head) = head(&mut stream).await? {
        let path = head.split(' ').nth(1).unwrap_or("/");
        stream.write_all(respond(path, site, &info)?.as_bytes()).await?;
        if has(&head, "connection: close") {
            break;
        }
    }
    Ok(())
}

fn respond(path: &str, site: &Site, info: &Info) -> Result<String> {
    let (status, body) = match path {
        "/" => ("200 OK", format!("You've hit {}\n", info.name)),
        "/info" => ("200 OK", serde_json::to_string(info)? + "\n"),
        "/ready" => site.readiness(),
        _ => ("404 Not Found", String::new()),
    };
    Ok(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// A client's connection.
pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Speaks HTTP over `stream`.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    /// Asks the server who it is.
    pub(super) async fn info(&mut self) -> io::Result<Info> {
        self.0.write_all(b"GET /info HTTP/1.1\r\nhost: lab\r\n\r\n").await?;
        let head = head(&mut self.0).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut body = vec![0; length(&head).ok_or(io::ErrorKind::InvalidData)?];
        self.0.read_exact(&mut body).await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// The lines up to an empty one, in lower case after the first; `None` if there is nothing more.
async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = String::new();
    while stream.read_line(&mut head).await? > 0 {
        if head.ends_with("\r\n\r\n") {
            return Ok(Some(head));
        }
    }
    if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn has(head: &str, line: &str) -> bool {
    head.lines().any(|other| other.eq_ignore_ascii_case(line))
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
}

/// An IPv4 client of an IPv6 socket is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, site: &Site) -> String {
        let info = Info {
            name: site.name.clone(),
            client: "192.0.2.1:1".parse().unwrap(),
            local: "192.0.2.2:80".parse().unwrap(),
        };
        respond(path, site, &info).unwrap()
    }

    #[test]
    fn an_answer_tells_its_length() {
        let site = Site::new("kubia-1", None);
        let answer = page("/", &site);
        assert_eq!(length(&answer), Some("You've hit kubia-1\n".len()));
        assert!(answer.ends_with("\r\n\r\nYou've hit kubia-1\n"));
        assert!(page("/else", &site).starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_server_is_ready_unless_its_file_is_missing() {
        let status = |ready| page("/ready", &Site::new("a", ready))[..12].to_owned();
        assert_eq!(status(None), "HTTP/1.1 200");
        assert_eq!(status(Some("/".into())), "HTTP/1.1 200");
        assert_eq!(status(Some("/no/such/file".into())), "HTTP/1.1 503");
    }

    #[test]
    fn a_header_is_found_in_any_case() {
        assert!(has("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", "connection: close"));
    }
}
