//! The network of the Service notes: three pods `kubia`, and clients inside and outside.
//!
//! ```text
//!  client 192.0.2.10 ──┐          ┌─ node 192.0.2.2 ──────────────────────────┐
//!  external-1 .111 ────┤  "wire"  │ eth0    br0 10.244.0.1/24 ┬ veth-kubia-1  ├─ kubia-1 .11
//!   (11.11.11.11)      ├──────────┤                           ├ veth-kubia-2  ├─ kubia-2 .12
//!  external-2 .112 ────┘          │                           ├ veth-kubia-3  ├─ kubia-3 .13
//!   (22.22.22.22)                 └───────────────────────────┴ veth-shell ───┴─ shell   .20
//! ```
//! Each host has IPv6 too: `2001:db8:1::/64` on the wire, `fd00:10:244::/64` in the node, the
//! same last numbers, except that the external hosts are IPv4 only, as in the notes.

use super::traffic::serve;
use super::{End, Host, Lab, Process};
use anyhow::Result;
use std::net::IpAddr;

/// Where pods live.
pub const POD_CIDRS: [&str; 2] = ["10.244.0.0/24", "fd00:10:244::/64"];

/// Where `ClusterIP`s come from.
pub const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

/// The node's addresses on the wire.
pub const NODE: [&str; 2] = ["192.0.2.2", "2001:db8:1::2"];

/// Ports of the pods: HTTP, and HTTP where the notes have HTTPS.
pub const HTTP: u16 = 8080;
/// See [`HTTP`].
pub const HTTPS: u16 = 8443;
/// Echoes datagrams.
pub const UDP: u16 = 5353;
/// Checks large transfers.
pub const BULK: u16 = 5001;

/// The network, without servers.
#[derive(Debug)]
pub struct Kubia {
    /// A machine on the node's wire that is not of the cluster.
    pub client: Host,
    /// The node: forwards between the wire and its pods.
    pub node: Host,
    /// `kubia-1`, `kubia-2`, `kubia-3`.
    pub pods: Vec<Host>,
    /// A pod for clients.
    pub shell: Host,
    /// 11.11.11.11 and 22.22.22.22.
    pub external: Vec<Host>,
    /// The switch between client, node and external hosts; its ports bear their names.
    pub wire: Host,
    /// Owns all of it.
    pub lab: Lab,
}

impl Kubia {
    /// Builds the network.
    pub fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let (client, node) = (lab.host("client")?, lab.host("node")?);
        let external = vec![lab.host("external-1")?, lab.host("external-2")?];
        let wire = wire(&lab, &client, &node, &external)?;
        let pods = [("kubia-1", 11), ("kubia-2", 12), ("kubia-3", 13), ("shell", 20)];
        let pods = pods.map(|(name, number)| pod(&lab, &node, name, number));
        let mut pods = pods.into_iter().collect::<Result<Vec<_>>>()?;
        let shell = pods.split_off(3).remove(0);
        bridge(&node, &["kubia-1", "kubia-2", "kubia-3", "shell"])?;
        routes(&client, &node, &external)?;
        Ok(Self { client, node, pods, shell, external, wire, lab })
    }

    /// Adds a pod to the node, as a kubelet would; its link is called `veth-NAME`.
    pub fn pod(&self, name: &str, number: u8) -> Result<Host> {
        let pod = pod(&self.lab, &self.node, name, number)?;
        self.node.attach("br0", &format!("veth-{name}"))?;
        Ok(pod)
    }

    /// Starts the servers of all pods and external hosts; they answer with their host's name.
    pub fn serve(&self) -> Result<Vec<Process>> {
        let pods = self.pods.iter().map(serve_pod);
        let external = self
            .external
            .iter()
            .map(|host| host.serve(&serve::Options::new(host.name()).http(80).udp(UDP).bulk(BULK)));
        pods.chain(external).collect()
    }
}

/// Starts the servers of a pod `kubia`.
pub fn serve_pod(pod: &Host) -> Result<Process> {
    let server = serve::Options::new(pod.name()).http(HTTP).http(HTTPS).udp(UDP).bulk(BULK);
    pod.serve(&server)
}

/// The addresses of a pod by its number.
pub fn pod_addresses(number: u8) -> [IpAddr; 2] {
    [
        IpAddr::from([10, 244, 0, number]),
        IpAddr::from([0xfd00, 0x10, 0x244, 0, 0, 0, 0, hex(number)]),
    ]
}

/// The group of an IPv6 address that reads as `number`.
fn hex(number: u8) -> u16 {
    let number = u16::from(number);
    number / 100 * 0x100 + number / 10 % 10 * 0x10 + number % 10
}

fn wire(lab: &Lab, client: &Host, node: &Host, external: &[Host]) -> Result<Host> {
    let v4 = |host, number: u8| End::new(host, "eth0").address(&format!("192.0.2.{number}/24"));
    let dual = |host, number| v4(host, number).address(&format!("2001:db8:1::{number}/64"));
    let mut ends = vec![dual(client, 10).fill_checksums(), dual(node, 2)];
    for (host, number) in external.iter().zip([111, 112]) {
        ends.push(v4(host, number).fill_checksums());
    }
    lab.wire("wire", ends)
}

/// A pod whose link `veth-NAME` of the node is not a port of its bridge yet.
pub fn pod(lab: &Lab, node: &Host, name: &str, number: u8) -> Result<Host> {
    let pod = lab.host(name)?;
    let [v4, v6] = pod_addresses(number);
    let inside = End::new(&pod, "eth0").address(&format!("{v4}/24")).address(&format!("{v6}/64"));
    lab.veth(End::new(node, &format!("veth-{name}")), inside)?;
    pod.route("0.0.0.0/0", "10.244.0.1")?;
    pod.route("::/0", "fd00:10:244::1")?;
    Ok(pod)
}

/// The node's bridge with these pods' links, and its addresses; the node forwards from now on.
pub fn bridge(node: &Host, pods: &[&str]) -> Result<()> {
    node.bridge("br0", &[])?;
    for pod in pods {
        node.attach("br0", &format!("veth-{pod}"))?;
    }
    node.address("br0", "10.244.0.1/24")?;
    node.address("br0", "fd00:10:244::1/64")?;
    node.forward()
}

fn routes(client: &Host, node: &Host, external: &[Host]) -> Result<()> {
    let [node4, node6] = NODE;
    let [[pods4, pods6], [services4, services6]] = [POD_CIDRS, SERVICE_CIDRS];
    for (to, gateway) in [(pods4, node4), (pods6, node6), (services4, node4), (services6, node6)] {
        client.route(to, gateway)?;
    }
    let own = [("11.11.11.11/32", "192.0.2.111"), ("22.22.22.22/32", "192.0.2.112")];
    for (host, (address, gateway)) in external.iter().zip(own) {
        host.address("lo", address)?;
        host.route(pods4, node4)?;
        node.route(address, gateway)?;
        client.route(address, gateway)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_a_pod_read_alike() {
        let [v4, v6] = pod_addresses(11).map(|address| address.to_string());
        assert_eq!((v4.as_str(), v6.as_str()), ("10.244.0.11", "fd00:10:244::11"));
    }
}
