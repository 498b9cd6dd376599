//! `xtask lab serve`: one process that is every server of a pod.
//!
//! It listens at each address that its host has when it starts, one socket each, so that a UDP
//! answer always leaves from the address that was asked.

use super::http::{self, Site};
use super::names::Names;
use super::pattern::Pattern;
use super::{Info, READY, runtime};
use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use std::future::pending;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::PathBuf;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{LocalSet, spawn_local};

/// What the server of bytes answers if all of them were right.
pub(super) const ALL_RIGHT: u64 = u64::MAX;

/// The largest UDP payload, and a good size for reads.
const BUFFER: usize = 65_536;

/// What to serve, and where.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Name to answer with
    #[arg(long)]
    pub name: String,
    /// Port for HTTP: "/" tells the name, "/info" also who is seen, "/ready" answers probes
    #[arg(long)]
    pub http: Vec<u16>,
    /// File without which probes are answered 503
    #[arg(long, value_name = "FILE")]
    pub ready: Option<PathBuf>,
    /// UDP port: answers who it is and sees on a first line, then what it was sent
    #[arg(long)]
    pub udp: Vec<u16>,
    /// TCP port: answers what it is sent
    #[arg(long)]
    pub echo: Vec<u16>,
    /// TCP port: checks a large transfer and sends as much back
    #[arg(long)]
    pub bulk: Vec<u16>,
    /// UDP port: answers DNS questions about the names of --record
    #[arg(long)]
    pub dns: Vec<u16>,
    /// A name that there is
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub record: Vec<String>,
    /// Address to listen at; default: all that the host has now
    #[arg(long)]
    pub address: Vec<IpAddr>,
}

impl Options {
    /// A server that is called `name` and listens nowhere yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds a port for HTTP.
    #[must_use]
    pub fn http(mut self, port: u16) -> Self {
        self.http.push(port);
        self
    }

    /// Is ready while this file exists.
    #[must_use]
    pub fn ready(mut self, file: PathBuf) -> Self {
        self.ready = Some(file);
        self
    }

    /// Adds a UDP port.
    #[must_use]
    pub fn udp(mut self, port: u16) -> Self {
        self.udp.push(port);
        self
    }

    /// Adds a TCP port that echoes.
    #[must_use]
    pub fn echo(mut self, port: u16) -> Self {
        self.echo.push(port);
        self
    }

    /// Adds a TCP port for large transfers.
    #[must_use]
    pub fn bulk(mut self, port: u16) -> Self {
        self.bulk.push(port);
        self
    }

    /// Adds a UDP port where these names are known (`NAME=ADDRESS`), and that there are no others.
    #[must_use]
    pub fn dns(mut self, port: u16, records: &[&str]) -> Self {
        self.dns.push(port);
        self.record.extend(records.iter().map(|record| (*record).to_owned()));
        self
    }

    /// Listens at this address (and those added before) alone.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address.push(address);
        self
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--name".to_owned(), self.name.clone()];
        let kinds = [
            ("http", &self.http),
            ("udp", &self.udp),
            ("echo", &self.echo),
            ("bulk", &self.bulk),
            ("dns", &self.dns),
        ];
        for (kind, ports) in kinds {
            arguments.extend(ports.iter().map(|port| format!("--{kind}={port}")));
        }
        arguments.extend(self.record.iter().map(|record| format!("--record={record}")));
        arguments.extend(self.ready.iter().map(|file| format!("--ready={}", file.display())));
        arguments.extend(self.address.iter().map(|address| format!("--address={address}")));
        arguments
    }
}

/// Serves until it is killed.
pub fn run(options: &Options) -> Result<()> {
    let site = Rc::new(Site::new(&options.name, options.ready.clone()));
    let names = Rc::new(Names::new(&options.record)?);
    LocalSet::new().block_on(&runtime()?, async {
        for address in addresses(options)? {
            streams(options, address, &site).await?;
            datagrams(options, address, &names).await?;
        }
        println!("{READY}");
        pending().await
    })
}

async fn streams(options: &Options, address: IpAddr, site: &Rc<Site>) -> Result<()> {
    for port in &options.http {
        let site = site.clone();
        accept(address, *port, async move |stream| http::answer(stream, &site).await).await?;
    }
    for port in &options.echo {
        accept(address, *port, echo).await?;
    }
    for port in &options.bulk {
        accept(address, *port, check).await?;
    }
    Ok(())
}

async fn datagrams(options: &Options, address: IpAddr, names: &Rc<Names>) -> Result<()> {
    for port in &options.udp {
        let (name, local) = (options.name.clone(), SocketAddr::new(address, *port));
        reply(local, move |packet, client| echo_below(&name, (client, local), packet)).await?;
    }
    for port in &options.dns {
        let names = names.clone();
        reply(SocketAddr::new(address, *port), move |packet, _| names.answer(packet)).await?;
    }
    Ok(())
}

/// Listens, and does `talk` with every client. A client that breaks off is its own business.
async fn accept<F>(address: IpAddr, port: u16, talk: F) -> Result<()>
where
    F: AsyncFn(TcpStream) -> Result<()> + Clone + 'static,
{
    let address = SocketAddr::new(address, port);
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listening at TCP {address}"))?;
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let talk = talk.clone();
            spawn_local(async move { talk(stream).await });
        }
    });
    Ok(())
}

async fn echo(stream: TcpStream) -> Result<()> {
    let (mut reader, mut writer) = split(stream);
    copy(&mut reader, &mut writer).await?;
    Ok(())
}

/// Reads a length and as many bytes; answers where the first wrong one was, and as many bytes.
async fn check(mut stream: TcpStream) -> Result<()> {
    let length = stream.read_u64().await?;
    let wrong = receive(&mut stream, length).await?;
    stream.write_u64(wrong.unwrap_or(ALL_RIGHT)).await?;
    send(&mut stream, length).await
}

/// Reads `length` bytes of the pattern; the offset of the first wrong one.
pub(super) async fn receive(stream: &mut TcpStream, length: u64) -> Result<Option<u64>> {
    let pattern = Pattern::new();
    let mut buffer = vec![0; BUFFER];
    let (mut offset, mut wrong) = (0, None);
    while offset < length {
        let len = stream.read(&mut buffer).await?;
        let bytes = buffer.get(..len).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.with_context(|| format!("closed after {offset} of {length} bytes"))?;
        wrong = wrong.or_else(|| pattern.difference(offset, bytes));
        offset += len as u64;
    }
    Ok(wrong)
}

/// Writes `length` bytes of the pattern.
pub(super) async fn send(stream: &mut TcpStream, length: u64) -> Result<()> {
    let pattern = Pattern::new();
    let mut offset = 0;
    while offset < length {
        let bytes = pattern.at(offset, length - offset);
        stream.write_all(bytes).await?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// Listens, and answers every datagram with what `answer` makes of it, if anything.
async fn reply<F>(address: SocketAddr, answer: F) -> Result<()>
where
    F: Fn(&[u8], SocketAddr) -> Option<Vec<u8>> + 'static,
{
    let socket = UdpSocket::bind(address).await;
    let socket = socket.with_context(|| format!("listening at UDP {address}"))?;
    spawn_local(async move {
        let mut buffer = vec![0; BUFFER];
        loop {
            // An error here is an earlier answer that could not be delivered.
            let Ok((len, client)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            if let Some(answer) = answer(buffer.get(..len).unwrap_or_default(), client) {
                let _lost = socket.send_to(&answer, client).await;
            }
        }
    });
    Ok(())
}

/// A line about server and client, then what was sent.
fn echo_below(name: &str, ends: (SocketAddr, SocketAddr), packet: &[u8]) -> Option<Vec<u8>> {
    let (client, local) = ends;
    let mut answer = serde_json::to_vec(&Info { name: name.to_owned(), client, local }).ok()?;
    answer.push(b'\n');
    answer.extend(packet);
    Some(answer)
}

/// Every address that can be bound to without naming a link.
fn addresses(options: &Options) -> Result<Vec<IpAddr>> {
    if !options.address.is_empty() {
        return Ok(options.address.clone());
    }
    let all = getifaddrs().context("listing addresses")?.filter_map(|entry| entry.address);
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(*SocketAddrV4::from(*v4).ip()));
        let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::from(*SocketAddrV6::from(*v6).ip()));
        v4.or(v6)
    };
    Ok(all.filter_map(ip).filter(|ip| !is_link_local(ip)).collect())
}

fn is_link_local(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
