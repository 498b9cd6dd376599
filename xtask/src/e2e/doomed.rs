//! A Service most of whose pods die while nobody can be told.

use super::cluster::{CATCH_UP, Cluster, NODES, eventually, output};
use super::stage::{Client, Place, Stage};
use crate::lab::traffic::hold;
use anyhow::{Context as _, Result, anyhow, ensure};
use std::net::SocketAddr;
use std::time::Duration;

const MANIFEST: &str = include_str!("doomed.yaml");
const PORT: u16 = 80;
/// Until kubelets have told the API server of other pods.
const PATIENCE: Duration = Duration::from_mins(2);

/// A Service with a pod on every node.
pub(super) struct Doomed {
    address: SocketAddr,
    /// Node and address of those that die: all but the first node's.
    dying: Vec<(String, String)>,
}

impl Doomed {
    /// Deploys it.
    pub(super) fn set(cluster: &Cluster) -> Result<Self> {
        const PODS: &str =
            "jsonpath={range .items[*]}{.spec.nodeName} {.status.podIP}{\"\\n\"}{end}";
        cluster.apply(&manifest(cluster))?;
        cluster.kubectl(&["rollout", "status", "daemonset/doomed", "--timeout=120s"])?;
        let ip =
            cluster.kubectl(&["get", "service", "doomed", "-o", "jsonpath={.spec.clusterIP}"])?;
        let pods = cluster.kubectl(&["get", "pods", "-l", "app=doomed", "-o", PODS])?;
        let pods = pods.lines().filter_map(|line| line.split_once(' '));
        let dying = pods.filter(|(node, _)| *node != NODES[0]);
        let dying = dying.map(|(node, ip)| (node.to_owned(), ip.to_owned())).collect();
        Ok(Self { address: SocketAddr::new(ip.parse()?, PORT), dying })
    }

    /// Holds connections to it from a pod.
    pub(super) fn hold(
        &self,
        cluster: &Cluster,
        stage: &Stage,
        connections: u32,
    ) -> Result<Client<hold::Report>> {
        stage.hold_at(cluster, Place::Pod, self.address, connections)
    }

    /// Kills all processes of the pods that die, and so the pods.
    pub(super) fn kill(&self, cluster: &Cluster) -> Result<()> {
        const KILL: &str = "for ns in /run/netns/*; do \
             nsenter --net=$ns ip -o addr | grep -qwF \"$1\" || continue; \
             kill -KILL $(ip netns pids $(basename $ns)); exit; done; \
             echo \"no pod has $1\" >&2; exit 1";
        for (node, ip) in &self.dying {
            output(cluster.in_node(node).args(["bash", "-c", KILL, "kill", ip]))?;
        }
        Ok(())
    }

    /// Fails unless those connections were lost, and no other, whose pod has died.
    pub(super) fn judge(&self, report: &hold::Report) -> Result<()> {
        let (lost, opened): (u32, u32) = (report.lost.values().sum(), report.opened.values().sum());
        let of = |node: &str| report.opened.get(node).copied().unwrap_or_default();
        let dead: u32 = self.dying.iter().map(|(node, _)| of(node)).sum();
        let lived = opened - dead;
        println!("pods died: {dead} connections with them, {lived} of {opened} lived, {lost} lost");
        ensure!(report.refused.is_empty() && lost == dead && lived > 0, "{report:?}");
        Ok(())
    }

    /// Waits until the API server knows that the pods are gone, and then [`CATCH_UP`] at most until
    /// the agents do.
    pub(super) fn await_forgotten(&self, cluster: &Cluster) -> Result<()> {
        let listed = |said: &str| {
            let mut words = said.split(|of: char| !(of.is_ascii_hexdigit() || of == '.'));
            let found = words.find(|word| self.dying.iter().any(|(_, ip)| ip == word));
            found.map_or(Ok(()), |ip| Err(anyhow!("{ip} is an endpoint:\n{said}")))
        };
        let slices = ["get", "endpointslices", "-l", "kubernetes.io/service-name=doomed", "-o"];
        let addresses = "jsonpath={range .items[*].endpoints[*]}{.addresses[0]}{\"\\n\"}{end}";
        eventually(PATIENCE, "slices are without the dead pods", || {
            listed(&cluster.kubectl(&[&slices[..], &[addresses]].concat())?)
        })?;
        for node in NODES {
            let took = eventually(CATCH_UP, &format!("{node} is without them"), || {
                listed(&cluster.lbctl(node, &["get", "endpoints", "doomed", "-n", "default"])?)
            })?;
            println!("{node} was without the dead pods after {} ms", took.as_millis());
        }
        cluster.delete(&manifest(cluster)).context("taking it away")
    }
}

fn manifest(cluster: &Cluster) -> String {
    MANIFEST.replace("@PROGRAMS@", &cluster.programs().display().to_string())
}
