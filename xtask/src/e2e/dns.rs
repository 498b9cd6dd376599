//! The agents in the place of the cluster's name servers: clients do not notice the end of one, and
//! Kubernetes' own tests of DNS pass without any other.

use super::cluster::{Cluster, NODES, eventually, output, pass};
use super::stage::Stage;
use crate::lab::traffic::ask;
use crate::step::step;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// The cluster's name servers.
const SERVERS: &str = "deployment/coredns";
const SERVICE: &str = "kube-system/kube-dns";
/// Names outside of the cluster are nobody's business here: nobody is there.
const FLAGS: &str = "--dns-service kube-system/kube-dns --dns-upstream 127.0.0.1:9 --dns-listen \
     $NODE_IP:10053${NODE_IP6:+,[$NODE_IP6]:10053}";
const NAME: &str = "web.default.svc.cluster.local";
/// As many as ask at a time, 250 times a second each.
const CLIENTS: u32 = 4;
/// Before the agent is killed, and after.
const A_WHILE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(1);

const OFFICIAL: &str = "\\[sig-network\\] DNS";
/// The test of a pod's `dnsConfig` brings a name server of its own, from an image that is not here.
const SKIPPED: &str =
    "\\[Slow\\]|\\[Disruptive\\]|\\[Flaky\\]|Provider:GCE|Feature:|configurable pod resolv.conf";

/// Fails if more questions are lost than are in flight, or a test fails.
pub(super) fn check(cluster: &mut Cluster) -> Result<()> {
    let stage = step("deploy a Service", |_| Stage::set(cluster))?;
    step("agents that are name servers", |_| cluster.set_flags(FLAGS))?;
    let outcome = check_servers(cluster, &stage);
    step("agents that are none, and the cluster's name servers again", |_| {
        scale(cluster, 2)?;
        cluster.set_flags("")
    })?;
    outcome
}

fn check_servers(cluster: &Cluster, stage: &Stage) -> Result<()> {
    let vip = address(cluster)?;
    step("the agent of its node answers a pod", |_| {
        eventually(PATIENCE, "it does", || {
            let one = stage.ask(cluster, &ask::Options::new(vip, NAME))?;
            pause();
            let report = one.finish()?;
            ensure!(is_right(&report) && report.lost.is_empty(), "{report:?}");
            ensure!(by_agent(cluster)? != 0, "the cluster's name servers answer");
            Ok(())
        })
    })?;
    let about = format!("kill an agent under {} questions a second", 250 * CLIENTS);
    let report = step(&about, |step| {
        let options = ask::Options { clients: CLIENTS, ..ask::Options::new(vip, NAME) };
        let asking = stage.ask(cluster, &options)?;
        pass(step, A_WHILE);
        cluster.kill_agent(NODES[0])?;
        let until_it_ended = by_agent(cluster)?;
        pass(step, A_WHILE);
        let report = asking.finish()?;
        ensure!(by_agent(cluster)? == until_it_ended, "a dead agent got questions");
        cluster.start_agents("start")?;
        Ok(report)
    })?;
    let lost: u32 = report.lost.values().sum();
    println!("{} questions, {lost} lost, answers {:?}", report.asked(), report.answers);
    ensure!(is_right(&report) && lost <= CLIENTS, "{report:?}");
    step("no name server but the agents", |_| scale(cluster, 0))?;
    cluster.official(OFFICIAL, SKIPPED)
}

/// Whether whoever answered knew the answer.
fn is_right(report: &ask::Report) -> bool {
    !report.answers.is_empty() && report.answers.keys().all(|code| code == ask::KNOWN)
}

/// Long enough for a few questions.
fn pause() {
    std::thread::sleep(Duration::from_millis(200));
}

fn address(cluster: &Cluster) -> Result<SocketAddr> {
    let (namespace, name) = SERVICE.split_once('/').context("a Service has a namespace")?;
    let path = "jsonpath={.spec.clusterIP}";
    let ip = cluster.kubectl(&["-n", namespace, "get", "service", name, "-o", path])?;
    Ok(SocketAddr::new(ip.parse()?, 53))
}

/// How many flows of datagrams the agent of the first node has got.
fn by_agent(cluster: &Cluster) -> Result<u64> {
    let listed = cluster.lbctl(NODES[0], &["get", "backends", "-o", "json"])?;
    let listed: Value = serde_json::from_str(&listed)?;
    let items = listed.pointer("/items").and_then(Value::as_array);
    let is_own = |item: &&Value| {
        let flags = item.pointer("/flags").and_then(Value::as_array);
        flags.is_some_and(|flags| flags.iter().any(|flag| flag == "agent"))
    };
    let own = items.context("lbctl lists no backends")?.iter().filter(is_own);
    Ok(own.filter_map(|item| item.pointer("/traffic/connections")?.as_u64()).sum())
}

fn scale(cluster: &Cluster, replicas: u32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    cluster.kubectl(&["-n", "kube-system", "scale", SERVERS, &replicas])?;
    let wait = ["-n", "kube-system", "rollout", "status", SERVERS, "--timeout=120s"];
    output(cluster.script("kubectl.sh").args(wait)).map(drop)
}
