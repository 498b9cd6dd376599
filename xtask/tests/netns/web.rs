//! Pages of HTTP servers.

use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use xtask::lab::Host;

/// The status and body that `from` gets when it asks for `path`.
pub(crate) fn get(from: &Host, to: SocketAddr, path: &str) -> Result<(u16, String)> {
    from.within(|| {
        let mut stream = TcpStream::connect(to)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).context("no status")?.parse()?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        Ok((status, body.to_owned()))
    })
}
