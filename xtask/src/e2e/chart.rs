//! The manifests as a cluster is given them: their pods get ready with the rights that they ask
//! for, Events arrive, and load balancers are answered while pods are replaced.

use super::cluster::{Cluster, NODES, STATE, eventually};
use super::stage::Stage;
use crate::step::step;
use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MANIFESTS: &str = "deploy/lb.yaml";
/// An image that every node has; the programs are the machine's own.
const IMAGE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.63.0";
const CLAIMS: &str = include_str!("claims.yaml");
const PATIENCE: Duration = Duration::from_mins(2);
/// How long load balancers may find nobody while one process follows another.
const MUTE: Duration = Duration::from_secs(1);

/// Fails if the pods do not serve, an Event does not come, or nobody answers during a rollout.
pub(super) fn check(cluster: &mut Cluster) -> Result<()> {
    let manifests = manifests(cluster)?;
    step("pods in the place of the nodes' own agents", |_| {
        cluster.stop_agents()?;
        cluster.apply(&manifests)?;
        rolled_out(cluster, "lb")?;
        rolled_out(cluster, "lb-health")
    })?;
    let outcome = check_pods(cluster);
    step("the nodes' own agents again", |_| {
        cluster.delete(CLAIMS)?;
        cluster.delete(&manifests)?;
        cluster.start_agents("start")
    })?;
    outcome
}

fn check_pods(cluster: &Cluster) -> Result<()> {
    step("they serve", |_| Stage::set(cluster))?;
    step("an Event tells of a Service that cannot have its address", |_| {
        cluster.apply(CLAIMS)?;
        let of = ["get", "events", "--field-selector=reason=NotProgrammed", "-o", "name"];
        eventually(PATIENCE, "there is one", || {
            ensure!(!cluster.kubectl(&of)?.is_empty(), "there is none");
            Ok(())
        })
    })?;
    println!("{:<22} {:>6} {:>6} {:>8}", "ROLLOUT", "ASKED", "MUTE", "LONGEST");
    for (set, most) in [("lb", Duration::ZERO), ("lb-health", MUTE)] {
        let asker = Asker::start(cluster)?;
        let replaced = step(&format!("replace the pods of {set}"), |_| {
            cluster.kubectl(&["-n", "kube-system", "rollout", "restart", &daemon_set(set)])?;
            rolled_out(cluster, set)
        });
        let Answers { asked, mute, longest } = asker.finish()?;
        replaced?;
        println!("{set:<22} {asked:>6} {mute:>6} {:>5} ms", longest.as_millis());
        ensure!(longest <= most, "{set}: nobody answered for {longest:?}");
    }
    Ok(())
}

/// What would be applied, where it differs from what stands in the file: the image is not in any
/// registry, and nodes share a file system but for `/run`.
fn manifests(cluster: &Cluster) -> Result<String> {
    let server =
        cluster.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
    let server = server.trim().trim_start_matches("https://").to_owned();
    let (host, port) = server.rsplit_once(':').context("the API server has no port")?;
    let programs = cluster.programs().display();
    let mut text = fs::read_to_string(workspace::root().join(MANIFESTS)).context(MANIFESTS)?;
    let image = concat!("image: lb:", env!("CARGO_PKG_VERSION"));
    for (written, wanted) in [
        (image, format!("image: {IMAGE}\n          command: [/lab/lb-agent]")),
        ("volumeMounts:", "volumeMounts:\n            - {name: lab, mountPath: /lab}".to_owned()),
        (
            "      volumes:",
            format!("      volumes:\n        - {{name: lab, hostPath: {{path: {programs}}}}}"),
        ),
        ("path: /var/lib/lb", format!("path: {STATE}")),
        ("path: /sys/fs/cgroup", "path: /sys/fs/cgroup/unified".to_owned()),
        ("# - --cluster-cidr=", "- --cluster-cidr=".to_owned()),
        ("# - name: KUBERNETES_SERVICE_HOST", "- name: KUBERNETES_SERVICE_HOST".to_owned()),
        ("#   value: 192.0.2.1", format!("  value: {host:?}")),
        ("# - name: KUBERNETES_SERVICE_PORT", "- name: KUBERNETES_SERVICE_PORT".to_owned()),
        ("#   value: \"6443\"", format!("  value: {port:?}")),
    ] {
        ensure!(text.contains(written), "{MANIFESTS} does not say {written:?} any more");
        text = text.replace(written, &wanted);
    }
    Ok(text)
}

fn daemon_set(name: &str) -> String {
    format!("daemonset/{name}")
}

fn rolled_out(cluster: &Cluster, set: &str) -> Result<()> {
    let set = daemon_set(set);
    cluster.kubectl(&["-n", "kube-system", "rollout", "status", &set, "--timeout=120s"]).map(drop)
}

/// A load balancer that asks the first node again and again.
struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Answers>>,
}

#[derive(Default)]
struct Answers {
    asked: u32,
    /// How often nobody said that the node is healthy.
    mute: u32,
    /// The longest time in a row.
    longest: Duration,
}

impl Asker {
    fn start(cluster: &Cluster) -> Result<Self> {
        let url = format!("http://{}:10256/healthz", cluster.address(NODES[0])?);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (mut answers, mut last) = (Answers::default(), Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                answers.asked += 1;
                if is_healthy(&url)? {
                    last = Instant::now();
                } else {
                    answers.mute += 1;
                    answers.longest = answers.longest.max(last.elapsed());
                }
            }
            Ok(answers)
        });
        Ok(Self { stop, thread })
    }

    fn finish(self) -> Result<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("whoever asks has panicked"))?
    }
}

fn is_healthy(url: &str) -> Result<bool> {
    let mut curl = Cluster::outside();
    curl.args(["curl", "--silent", "--max-time", "1", "--output", "/dev/null"]);
    let said = curl.args(["--write-out", "%{http_code}", url]).output().context("starting curl")?;
    Ok(said.stdout == b"200")
}
