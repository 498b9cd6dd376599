//! A Service with pods on every node, and clients that count what happens to their connections.

use super::cluster::{Cluster, NODES, eventually, output};
use crate::lab::traffic::{READY, ask, connect, hold};
use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const MANIFEST: &str = include_str!("web.yaml");
const PORT: u16 = 80;
pub(super) const NODE_PORT: u16 = 30080;
/// How long an answer may take on a connection that is held: whoever is slow shows in the table,
/// whoever is lost fails. (A new connection has the two seconds of `lab connect`.)
const PATIENCE_MS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_mins(2);

/// What was deployed.
pub(super) struct Stage {
    /// The Service's address.
    pub(super) cluster_ip: SocketAddr,
    /// Its node port, at the first node.
    pub(super) node_port: SocketAddr,
    /// The address of a pod on the first node that only asks.
    client: String,
}

impl Stage {
    /// Deploys it, and waits until it is served.
    pub(super) fn set(cluster: &Cluster) -> Result<Self> {
        let programs = cluster.programs().display().to_string();
        cluster.apply(&MANIFEST.replace("@PROGRAMS@", &programs))?;
        for name in ["daemonset/web", "daemonset/client"] {
            cluster.kubectl(&["rollout", "status", name, "--timeout=120s"])?;
        }
        let field = |path: &str, what: &[&str]| {
            let path = format!("jsonpath={{{path}}}");
            cluster.kubectl(&[&["get"], what, &["-o", &path]].concat())
        };
        let cluster_ip: IpAddr = field(".spec.clusterIP", &["service", "web"])?.parse()?;
        let node = cluster.address(NODES[0])?;
        let on_node = format!("--field-selector=spec.nodeName={}", NODES[0]);
        let client = field(".items[0].status.podIP", &["pods", "-l", "app=client", &on_node])?;
        let stage = Self {
            cluster_ip: SocketAddr::new(cluster_ip, PORT),
            node_port: SocketAddr::new(node, NODE_PORT),
            client,
        };
        eventually(PATIENCE, "the Service answers", || {
            for place in [Place::Pod, Place::Outside] {
                let one = connect::Options::to(stage.target(place)).count(1);
                let report: connect::Report =
                    stage.start(cluster, place, "connect", one.arguments())?.finish()?;
                ensure!(report.errors.is_empty(), "{:?}", report.errors);
            }
            Ok(())
        })?;
        Ok(stage)
    }

    /// Where a client of this kind aims.
    fn target(&self, place: Place) -> SocketAddr {
        match place {
            Place::Pod => self.cluster_ip,
            Place::Outside => self.node_port,
        }
    }

    /// Holds connections open and talking; returns when they are.
    pub(super) fn hold(
        &self,
        cluster: &Cluster,
        place: Place,
        connections: u32,
    ) -> Result<Client<hold::Report>> {
        self.hold_at(cluster, place, self.target(place), connections)
    }

    /// The same with another server.
    pub(super) fn hold_at(
        &self,
        cluster: &Cluster,
        place: Place,
        to: SocketAddr,
        connections: u32,
    ) -> Result<Client<hold::Report>> {
        let to = hold::Options::to(to);
        let options = hold::Options { pause_ms: 1000, timeout_ms: PATIENCE_MS, ..to };
        let arguments = options.connections(connections).arguments();
        let mut client = self.start(cluster, place, "hold", arguments)?;
        client.await_ready()?;
        Ok(client)
    }

    /// Opens connections, so many a second. Their ports are below those that kernels give, so that
    /// nobody else's is taken, and more than are opened within a minute.
    pub(super) fn connect(
        &self,
        cluster: &Cluster,
        place: Place,
        rate: u32,
    ) -> Result<Client<connect::Report>> {
        let options = connect::Options {
            rate: Some(rate),
            from_ports: Some(connect::Ports::new(11_000, 32_767)),
            ..connect::Options::to(self.target(place))
        };
        self.start(cluster, place, "connect", options.parallel(4 * rate).arguments())
    }

    /// Asks a name server from a pod of the first node, and returns when it has begun.
    pub(super) fn ask(
        &self,
        cluster: &Cluster,
        options: &ask::Options,
    ) -> Result<Client<ask::Report>> {
        let mut client = self.start(cluster, Place::Pod, "ask", options.arguments())?;
        client.await_ready()?;
        Ok(client)
    }

    /// TCP segments that the kernel of a client had to send again, since it started.
    pub(super) fn resent(&self, cluster: &Cluster, place: Place) -> Result<u64> {
        let mut command = self.command(cluster, place);
        let read = output(command.args(["cat", "/proc/net/snmp"]))?;
        let text = String::from_utf8(read.stdout)?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = lines.next().zip(lines.next()).context("no TCP in /proc/net/snmp")?;
        let mut pairs = names.split(' ').zip(values.split(' '));
        let (_, count) =
            pairs.find(|(name, _)| *name == "RetransSegs").context("no RetransSegs")?;
        Ok(count.parse()?)
    }

    /// A command where a client is, to which the program is still to be added.
    fn command(&self, cluster: &Cluster, place: Place) -> Command {
        match place {
            Place::Pod => cluster.in_pod(NODES[0], &self.client),
            Place::Outside => Cluster::outside(),
        }
    }

    fn start<T: DeserializeOwned>(
        &self,
        cluster: &Cluster,
        place: Place,
        verb: &str,
        arguments: Vec<String>,
    ) -> Result<Client<T>> {
        let mut command = self.command(cluster, place);
        // Who measures must not wait for a processor: what is slow is to be the network.
        command.args(["chrt", "--rr", "1"]);
        command.arg(cluster.programs().join("xtask")).args(["lab", verb]).args(arguments);
        Client::start(command)
    }
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a pod: it asks the `ClusterIP`.
    Pod,
    /// Outside the cluster: it asks the node port.
    Outside,
}

/// A client at work.
pub(super) struct Client<T> {
    child: Child,
    said: BufReader<ChildStdout>,
    report: std::marker::PhantomData<T>,
}

impl<T: DeserializeOwned> Client<T> {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let said = BufReader::new(child.stdout.take().context("a client says nothing")?);
        Ok(Self { child, said, report: std::marker::PhantomData })
    }

    /// Waits until it says so.
    fn await_ready(&mut self) -> Result<()> {
        let mut line = String::new();
        self.said.read_line(&mut line).context("waiting for a client")?;
        ensure!(line.trim() == READY, "a client said {line:?}");
        Ok(())
    }

    /// Ends it; what it counted.
    pub(super) fn finish(mut self) -> Result<T> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.said.read_to_string(&mut said).context("waiting for a client")?;
        let status = self.child.wait().context("waiting for a client")?;
        ensure!(status.success(), "a client failed: {status}");
        crate::lab::traffic::report(&said)
    }
}
