//! The one loop that joins the stages: events in, edits out.
//!
//! One owner of all state ([`State`]), one closed set of events. Sources report into channels;
//! nothing is written to the kernel before the objects that exist have all been reported, so a
//! restart never empties a working node. Ending the agent leaves the datapath as it is.

/// The sentences of `lb-agent check`.
pub mod check;
/// Removing every trace.
pub mod cleanup;
/// What would be done here, beside what kube-proxy has done.
pub mod shadow;
/// The node's links, and what is attached to them.
mod links;
/// What settings are read from.
mod settings;
/// Questions of people.
pub(crate) mod socket;
/// Connections of another proxy.
mod takeover;
/// Metrics and kin.
mod web;
/// How long changes take.
mod triggers;
/// What the agent knows of the cluster.
mod objects;
/// Whose processes are served.
mod cgroup;
/// What it says of itself.
mod tell;
/// What is measured of its work.
mod measures;
/// What it does.
mod state;

use crate::bpf::heartbeat::Heartbeats;
use crate::bpf::pin::PinFolder;
use crate::config::RunArgs;
use crate::dns::{self, Dns};
use crate::link::{Link, watch};
use crate::model::status::Status;
use crate::model::{Change, Problem};
use crate::source::{self, Access, Cluster, Manifests, Scope, Source};
use crate::status::Events;
use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use settings::{Look, Settings};
use socket::{Asked, Socket};
use state::State;
use std::convert::Infallible;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

/// Changes that come close together are planned together.
const BATCH: usize = 4096;
/// How often it is looked whether connections of another proxy are left.
const WATCH: Duration = Duration::from_secs(10);
/// How long until what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How often the files of settings, that of the system's name servers, and the lock of the process
/// that answers load balancers are looked at: people and programs change them, and they may be
/// mounted from anywhere.
const LOOK: Duration = Duration::from_secs(1);

/// Everything that can happen to a running agent.
enum Event {
    /// The cluster or the node changed.
    Input(Input),
    /// Somebody asks.
    Asked(Asked),
    /// Somebody asks how the agent stands.
    Condition(web::Asked),
    /// Something failed a while ago: try again.
    Retry,
    /// Connections of another proxy may have ended.
    Watch,
    /// A file that settings are read from cannot be used as it is now.
    Settings(Problem),
    /// Load balancers are to be answered by the agent now, or by another process.
    Answers,
    /// It is time to end.
    Stop(&'static str),
}

/// Why an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Told,
    /// Its settings, or what it has read of the system, have changed: it is to be started anew.
    NewSettings,
}

/// Runs an agent with the settings that `read` reads, from where `args` say, until it is told to
/// end, or they have changed.
///
/// # Errors
/// Another agent runs here, the kernel lacks something, a source failed for good.
pub async fn run(args: &RunArgs, read: impl Fn() -> Result<RunArgs> + 'static) -> Result<Ending> {
    let (settings, args) = Settings::of(args, read)?;
    let _lock = lock(&args.places.state_dir)?;
    let node = node_name(args.node.as_deref())?;
    let source = source(&args, node.clone()).await?;
    let (conditions_in, conditions) = mpsc::channel(1);
    let events = match &source {
        Source::Cluster(cluster) => Some(Events::new(cluster.client(), node.clone())),
        Source::Manifests(_) => None,
    };
    let pins = PinFolder::new(&args.places.bpffs);
    // What the last agent proved is not true of this one, which knows nothing yet.
    if let Ok(mut heartbeats) = Heartbeats::open(&pins) {
        heartbeats.stop()?;
    }
    let mut dns = args.dns_settings().map(Dns::start);
    let told = (events, conditions_in, dns.as_ref().map(Dns::handle));
    let mut state = State::load(&args, node, source.name(), told)?;
    if let Some(dns) = &mut dns {
        prove(dns, Heartbeats::open(&pins)?);
    }
    let (questions_in, questions) = mpsc::channel(1);
    let mut sources =
        Sources { inputs: Inputs::start(source, dns), settings, questions, conditions };
    tokio::select! {
        result = follow(&mut state, &mut sources) => result,
        never = answer(&args.places.state_dir, questions_in) => match never {},
    }
}

/// Lets programs know of every answer of the name server.
fn prove(dns: &mut Dns, heartbeats: Heartbeats) {
    let heartbeats = Arc::new(Mutex::new(heartbeats));
    dns.prove(move |addr| {
        let beat = heartbeats.lock().unwrap_or_else(PoisonError::into_inner).beat(addr);
        if let Err(error) = beat {
            tracing::warn!("clients of this node are not answered here: {error:#}");
        }
    });
}

/// What leads to the API server; `None`: objects come from a folder.
fn access(args: &RunArgs) -> Option<Access> {
    let in_cluster = args.manifests.is_none().then_some(Access::InCluster);
    args.kubeconfig.clone().map(Access::Kubeconfig).or(in_cluster)
}

/// Where objects come from.
async fn source(args: &RunArgs, node: String) -> Result<Source> {
    if let Some(dir) = &args.manifests {
        return Ok(Source::Manifests(Manifests::new(source::Settings {
            dir: dir.clone(),
            node,
            service_cidrs: args.service_cidrs(),
            node_port_range: source::Settings::NODE_PORTS,
            state_dir: args.places.state_dir.clone(),
            exec_probes: args.exec_probes,
        })));
    }
    let access = access(args).unwrap_or(Access::InCluster);
    // Headless Services have nothing but names.
    let scope = if args.dns.is_on() { Scope::All } else { Scope::Proxied };
    Ok(Source::Cluster(Cluster::new(&access, node, scope).await?))
}

/// Lets people ask. Without a socket the agent does everything else.
async fn answer(state_dir: &Path, questions: Sender<Asked>) -> Infallible {
    match Socket::new(state_dir) {
        Ok(socket) => socket.serve(questions).await,
        Err(error) => tracing::warn!("`lbctl explain` cannot ask this agent: {error:#}"),
    }
    std::future::pending().await
}

/// What is known of the cluster and of the node comes from here.
struct Inputs {
    objects: JoinHandle<Result<()>>,
    watch: JoinHandle<Result<()>>,
    changes: Receiver<Change>,
    links: Receiver<Vec<Link>>,
}

impl Inputs {
    /// Begins to follow both. A name server stands between the source and the loop: its answers
    /// follow the objects however long a round takes.
    fn start(source: Source, dns: Option<Dns>) -> Self {
        let (mut changes_in, changes) = mpsc::channel(BATCH);
        if let Some(dns) = dns {
            let (through, seen) = mpsc::channel(BATCH);
            tokio::spawn(dns.run(seen, changes_in));
            changes_in = through;
        }
        let (links_in, links) = mpsc::channel(1);
        Self {
            objects: tokio::spawn(source.run(changes_in)),
            watch: tokio::spawn(watch::watch(links_in)),
            changes,
            links,
        }
    }

    /// The next that is new.
    ///
    /// # Errors
    /// One of them ended, which it never should.
    async fn next(&mut self) -> Result<Input> {
        let mut batch = Vec::new();
        tokio::select! {
            count = self.changes.recv_many(&mut batch, BATCH) => match count {
                0 => Err(ended(&mut self.objects, "the objects").await),
                _ => Ok(Input::Changes(batch)),
            },
            links = self.links.recv() => match links {
                Some(links) => Ok(Input::Links(links)),
                None => Err(ended(&mut self.watch, "the node's links").await),
            },
        }
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.objects.abort();
        self.watch.abort();
    }
}

/// What is new.
enum Input {
    /// The model changed.
    Changes(Vec<Change>),
    /// The node's links or addresses changed.
    Links(Vec<Link>),
}

/// Where events come from.
struct Sources {
    inputs: Inputs,
    settings: Settings,
    questions: Receiver<Asked>,
    conditions: Receiver<web::Asked>,
}

async fn follow(state: &mut State, sources: &mut Sources) -> Result<Ending> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    // A clock of its own: events in quick succession must not put a retry off for ever.
    let mut retry = tokio::time::interval(RETRY);
    let mut watch = tokio::time::interval(WATCH);
    let mut look = tokio::time::interval(LOOK);
    state.open_web();
    loop {
        if !state.is_unfinished() {
            retry.reset();
        }
        if !state.is_taking_over() {
            watch.reset();
        }
        let event = tokio::select! {
            input = sources.inputs.next() => Event::Input(input?),
            Some(asked) = sources.questions.recv() => Event::Asked(asked),
            Some(asked) = sources.conditions.recv() => Event::Condition(asked),
            _ = retry.tick(), if state.is_unfinished() => Event::Retry,
            _ = watch.tick(), if state.is_taking_over() => Event::Watch,
            _ = look.tick() => match sources.settings.look().await {
                Look::Same if state.dns().is_some_and(dns::Handle::has_other_upstreams) => {
                    tracing::info!("the system has other name servers: starting anew");
                    return Ok(Ending::NewSettings);
                }
                Look::Same if state.has_other_answers() => Event::Answers,
                Look::Same => continue,
                Look::Wrong(problem) => Event::Settings(problem),
                Look::Changed => {
                    tracing::info!("the settings have changed: starting anew");
                    return Ok(Ending::NewSettings);
                }
            },
            _ = terminate.recv() => Event::Stop("SIGTERM"),
            _ = interrupt.recv() => Event::Stop("SIGINT"),
        };
        state.progress().set_turn(Some(Instant::now()));
        let next = turn(state, event)?;
        state.progress().set_turn(None);
        if let ControlFlow::Break(ending) = next {
            return Ok(ending);
        }
    }
}

/// Deals with one event.
fn turn(state: &mut State, event: Event) -> Result<ControlFlow<Ending>> {
    match event {
        Event::Input(Input::Changes(changes)) => state.change(changes),
        Event::Input(Input::Links(links)) => state.set_links(links),
        Event::Asked((question, reply)) => {
            // Whoever asked may be gone.
            let _ = reply.send(state.answer(&question));
            return Ok(ControlFlow::Continue(()));
        }
        Event::Condition(reply) => {
            let _ = reply.send(state.condition());
            return Ok(ControlFlow::Continue(()));
        }
        Event::Retry => state.retry()?,
        Event::Watch => state.look_for_others(),
        Event::Settings(problem) => state.set_settings_problem(problem),
        Event::Answers => {}
        Event::Stop(signal) => {
            tracing::info!(signal, "ending; the datapath stays as it is");
            return Ok(ControlFlow::Break(Ending::Told));
        }
    }
    state.settle();
    Ok(ControlFlow::Continue(()))
}

/// Why a source ended: it never should.
async fn ended(task: &mut JoinHandle<Result<()>>, what: &str) -> anyhow::Error {
    let why = match task.await {
        Ok(Err(error)) => error,
        Ok(Ok(())) => anyhow!("it ended without a reason"),
        Err(error) => error.into(),
    };
    why.context(format!("following {what}"))
}

/// Makes sure that one agent at most works in these folders.
///
/// # Errors
/// Another agent holds the lock, or the folder cannot be made.
fn lock(state_dir: &Path) -> Result<Flock<File>> {
    /// `lbctl` takes the lock for an instant to see whether an agent holds it.
    const TRIES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(5);
    std::fs::create_dir_all(state_dir)
        .with_context(|| format!("making {}", state_dir.display()))?;
    let path = Status::lock_path(state_dir);
    let mut file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    for _ in 0..TRIES {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, Errno::EWOULDBLOCK)) => file = same,
            Err((_, errno)) => {
                return Err(errno).with_context(|| format!("locking {}", path.display()));
            }
        }
        std::thread::sleep(PAUSE);
    }
    bail!(
        "another lb-agent runs with {}: stop it first, or give this one folders of its own with \
         --state-dir and --bpffs",
        state_dir.display()
    )
}

/// The name of this node.
fn node_name(given: Option<&str>) -> Result<String> {
    if let Some(name) = given {
        return Ok(name.to_owned());
    }
    let host = nix::unistd::gethostname().context("asking for the host name")?;
    // As the kubelet does it.
    host.into_string()
        .map(|name| name.to_lowercase())
        .map_err(|_| anyhow!("the host name is no text: give --node"))
}
