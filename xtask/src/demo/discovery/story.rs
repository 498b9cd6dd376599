//! The claims in order: from one name to every kind of record.

use super::super::tell::heading;
use super::check::{dig, dig_for, kept, libraries, ours, reverse, theirs, unkept};
use super::readiness;
use super::stage::Stage;
use anyhow::Result;

/// What dig is told, and the lines of the answer.
type Row = (&'static str, &'static [&'static str]);

/// Both addresses of the Service `kubia`.
const KUBIA: [&str; 2] = ["10.96.0.10", "fd00:10:96::10"];

/// The addresses of all three pods.
pub(super) const PODS: [&str; 6] = [
    "10.244.0.11",
    "10.244.0.12",
    "10.244.0.13",
    "fd00:10:244::11",
    "fd00:10:244::12",
    "fd00:10:244::13",
];

/// Tells all of it; stops at the first claim that does not hold.
pub(super) fn tell(stage: &Stage) -> Result<()> {
    readiness::wait_for_all(stage)?;
    services(stage)?;
    search_path(stage)?;
    headless(stage)?;
    ports(stage)?;
    addresses(stage)?;
    pods_and_version(stage)?;
    nothing(stage)?;
    external_names(stage)?;
    ways(stage)?;
    readiness::tell(stage)
}

/// Asks a pod's dig for each row.
pub(super) fn table(stage: &Stage, rows: &[Row]) -> Result<()> {
    rows.iter().try_for_each(|(question, expected)| dig(&stage.network.shell, question, expected))
}

fn services(stage: &Stage) -> Result<()> {
    heading("A Service has an address of each of its families (Service kubia)");
    table(
        stage,
        &[
            ("kubia.default.svc.cluster.local A", &["A 10.96.0.10"]),
            ("kubia.default.svc.cluster.local AAAA", &["AAAA fd00:10:96::10"]),
        ],
    )?;
    libraries(&stage.network.shell, "kubia.default.svc.cluster.local", &KUBIA)
}

fn search_path(stage: &Stage) -> Result<()> {
    heading("Short names, by the search path of the pod's resolv.conf (ndots:5)");
    let shell = &stage.network.shell;
    dig(shell, "+search kubia A", &["A 10.96.0.10"])?;
    for name in ["kubia", "kubia.default", "kubia.default.svc", "kubia.default.svc.cluster.local."]
    {
        libraries(shell, name, &KUBIA)?;
    }
    libraries(shell, "cart.shop", &["10.96.0.30"])?;
    // It is in another namespace than the pod.
    libraries(shell, "cart", &[])
}

fn headless(stage: &Stage) -> Result<()> {
    heading("A headless Service has the addresses of its ready pods (Service peers)");
    table(
        stage,
        &[
            (
                "peers.default.svc.cluster.local A",
                &["A 10.244.0.11", "A 10.244.0.12", "A 10.244.0.13"],
            ),
            (
                "peers.default.svc.cluster.local AAAA",
                &["AAAA fd00:10:244::11", "AAAA fd00:10:244::12", "AAAA fd00:10:244::13"],
            ),
            ("kubia-1.peers.default.svc.cluster.local A", &["A 10.244.0.11"]),
            ("kubia-1.peers.default.svc.cluster.local AAAA", &["AAAA fd00:10:244::11"]),
            ("10-244-0-13.peers.default.svc.cluster.local A", &["A 10.244.0.13"]),
        ],
    )?;
    let shell = &stage.network.shell;
    libraries(shell, "peers", &PODS)?;
    libraries(shell, "kubia-2.peers", &["10.244.0.12", "fd00:10:244::12"])
}

fn ports(stage: &Stage) -> Result<()> {
    heading("Ports with a name have SRV records");
    table(
        stage,
        &[
            (
                "_http._tcp.kubia.default.svc.cluster.local SRV",
                &[
                    "SRV 0 100 80 kubia.default.svc.cluster.local.",
                    "with A 10.96.0.10",
                    "with AAAA fd00:10:96::10",
                ],
            ),
            (
                "_echo._udp.kubia.default.svc.cluster.local SRV",
                &[
                    "SRV 0 100 7 kubia.default.svc.cluster.local.",
                    "with A 10.96.0.10",
                    "with AAAA fd00:10:96::10",
                ],
            ),
            (
                "_http._tcp.seed.default.svc.cluster.local SRV",
                &[
                    "SRV 0 100 8080 10-244-0-12.seed.default.svc.cluster.local.",
                    "with A 10.244.0.12",
                ],
            ),
        ],
    )
}

fn addresses(stage: &Stage) -> Result<()> {
    heading("Addresses lead back to names");
    table(
        stage,
        &[
            ("-x 10.96.0.10", &["PTR kubia.default.svc.cluster.local."]),
            ("-x fd00:10:96::10", &["PTR kubia.default.svc.cluster.local."]),
            (
                "-x 10.244.0.11",
                &[
                    "PTR 10-244-0-11.kubia.default.svc.cluster.local.",
                    "PTR kubia-1.peers.default.svc.cluster.local.",
                ],
            ),
            (
                "-x fd00:10:244::13",
                &[
                    "PTR fd00-10-244--13.kubia.default.svc.cluster.local.",
                    "PTR fd00-10-244--13.peers.default.svc.cluster.local.",
                ],
            ),
        ],
    )?;
    for address in KUBIA {
        reverse(&stage.network.shell, address, &["kubia.default.svc.cluster.local"])?;
    }
    Ok(())
}

fn pods_and_version(stage: &Stage) -> Result<()> {
    heading("Pods by their address, and the version of the specification");
    table(
        stage,
        &[
            ("10-244-0-11.default.pod.cluster.local A", &["A 10.244.0.11"]),
            ("fd00-10-244--11.default.pod.cluster.local AAAA", &["AAAA fd00:10:244::11"]),
        ],
    )?;
    let version = [kept("TXT \"1.1.0\"", 28_800)];
    dig_for(&stage.network.shell, "dns-version.cluster.local TXT", &version)
}

fn nothing(stage: &Stage) -> Result<()> {
    heading("What is not there: no such name, or no such record of a name that is there");
    table(
        stage,
        &[
            ("kubja.default.svc.cluster.local A", &["NXDOMAIN"]),
            ("kubia.shop.svc.cluster.local A", &["NXDOMAIN"]),
            ("nobody.default.svc.cluster.local A", &["NXDOMAIN"]),
            ("_ftp._tcp.kubia.default.svc.cluster.local SRV", &["NXDOMAIN"]),
            ("-x 10.96.0.99", &["NXDOMAIN"]),
            ("cart.shop.svc.cluster.local AAAA", &["no such record"]),
            ("cart.shop.svc.cluster.local MX", &["no such record"]),
            ("shop.svc.cluster.local A", &["no such record"]),
        ],
    )?;
    let shell = &stage.network.shell;
    libraries(shell, "kubja", &[])?;
    libraries(shell, "cart.shop.svc.cluster.local", &["10.96.0.30"])
}

fn external_names(stage: &Stage) -> Result<()> {
    heading("ExternalName: a name for another one, outside of the cluster or inside");
    let shell = &stage.network.shell;
    let partner = "partner.default.svc.cluster.local";
    let alias = || ours("CNAME api.example.com.");
    dig_for(shell, &format!("+norecurse {partner} A"), &[alias()])?;
    dig_for(shell, &format!("{partner} A"), &[alias(), theirs("A 198.51.100.80")])?;
    dig_for(shell, &format!("{partner} AAAA"), &[alias(), theirs("AAAA 2001:db8:51::80")])?;
    dig_for(shell, "api.example.com A", &[theirs("A 198.51.100.80")])?;
    dig_for(shell, "gone.example.com A", &[theirs("NXDOMAIN")])?;
    let basket = ["CNAME cart.shop.svc.cluster.local.", "A 10.96.0.30"];
    dig(shell, "basket.default.svc.cluster.local A", &basket)?;
    let elsewhere = ["198.51.100.80", "2001:db8:51::80"];
    libraries(shell, "partner", &elsewhere)?;
    libraries(shell, "api.example.com", &elsewhere)?;
    libraries(shell, "basket", &["10.96.0.30"])
}

fn ways(stage: &Stage) -> Result<()> {
    heading("By IPv6, by TCP, from the node; and not for everybody");
    let (shell, node, client) = (&stage.network.shell, &stage.network.node, &stage.network.client);
    let name = "kubia.default.svc.cluster.local";
    let answer = ["A 10.96.0.10"];
    dig(shell, &format!("@fd00:10:244::1 {name}"), &answer)?;
    dig(shell, &format!("+tcp @fd00:10:244::1 {name}"), &answer)?;
    dig(node, &format!("@10.244.0.1 {name}"), &answer)?;
    dig_for(client, &format!("@10.244.0.1 {name}"), &[unkept("REFUSED")])
}
