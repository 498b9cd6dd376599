//! What a kubelet would do where there is none, as far as it concerns Services: readiness probes.
//!
//! The way of a probe: `plan` finds it in the objects, `read` checks its fields, a `worker` makes
//! it (`check`) again and again, `threshold` counts, `board` keeps what is known, and the
//! controllers ask there. Nothing is restarted and no object is edited: an endpoint that is not
//! ready gets no new connections, that is all. Liveness and startup probes are not made.
//!
//! The rules are those of Kubernetes 1.36, `pkg/kubelet/prober` and `pkg/probe`.

mod threshold;
mod probe;
mod expand;
mod read;
mod plan;
mod check;
mod board;
mod memory;
mod worker;

use crate::model::Problem;
use crate::source::controllers::Objects;
use crate::source::readiness::{Finding, Probed, Readiness};
use crate::source::settings::Settings;
use board::Board;
use check::Outcome;
use memory::{Loaded, Memory};
use nix::sys::resource::{Resource, getrlimit};
use plan::{Plan, Site};
use probe::{Check, Probe};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use worker::Desk;

/// Commands that run at the same time.
const COMMANDS: usize = 64;
/// Other checks at the same time: they are cheap, and many that hang must not starve the others.
const SOCKETS: usize = 2_048;

/// All probes of this node.
#[derive(Debug)]
pub(super) struct Kubelet {
    site: Site,
    state_dir: PathBuf,
    born: Instant,
    board: Arc<Board>,
    places: Arc<Places>,
    workers: BTreeMap<Probed, Worker>,
    /// What an agent before this one found ready, until somebody takes it up.
    inherited: Memory,
    /// As it is on the disk.
    saved: Option<Memory>,
    /// Why nothing was inherited, if that is worth a sentence.
    forgot: Option<Problem>,
}

/// For checks.
#[derive(Debug)]
struct Places {
    commands: Semaphore,
    sockets: Semaphore,
}

/// A probe that is being made until this is dropped.
#[derive(Debug)]
struct Worker {
    probe: Probe,
    _task: JoinSet<()>,
}

/// Reasons that change are told so often. They are the words of servers: one that always has new
/// ones must not keep the agent busy.
const REASONS: Duration = Duration::from_secs(5);

/// Tells when something else is known than before.
#[derive(Debug)]
pub(super) struct News {
    board: Arc<Board>,
    told: Instant,
}

impl News {
    fn new(board: Arc<Board>) -> Self {
        Self { board, told: Instant::now() }
    }

    /// Waits for it. Nothing is lost if this is dropped before.
    pub(super) async fn next(&mut self) {
        let reasons = async {
            sleep_until(self.told + REASONS).await;
            self.board.reworded().await;
        };
        tokio::select! {
            () = self.board.turned() => {}
            () = reasons => {}
        }
        self.told = Instant::now();
    }
}

impl Kubelet {
    /// Of the node that `settings` name; no probe is made yet.
    pub(super) fn new(settings: &Settings) -> Self {
        let state_dir = &settings.state_dir;
        let Loaded { memory, is_on_disk, trouble } = Memory::load(state_dir);
        let saved = is_on_disk.then(|| memory.clone());
        let forgot = trouble.map(|message| about_memory(state_dir, message));
        Self {
            site: Site { node: settings.node.clone(), commands: settings.exec_probes },
            state_dir: state_dir.clone(),
            born: Instant::now(),
            board: Arc::default(),
            places: Arc::new(Places::new()),
            workers: BTreeMap::new(),
            inherited: memory,
            saved,
            forgot,
        }
    }

    /// Where news come from.
    pub(super) fn news(&self) -> News {
        News::new(Arc::clone(&self.board))
    }

    /// Makes the probes that `objects` ask for from now on, and no others; what is known, and what
    /// is wrong. A probe that stays the same goes on. `whole`: what is not in `objects` does not
    /// exist, so nobody is left to inherit.
    ///
    /// Must be called within the runtime if there are probes.
    pub(super) fn look(&mut self, objects: &Objects, whole: bool) -> (Readiness, Vec<Problem>) {
        let (plan, mut problems) = plan::plan(objects, &self.site);
        let (probes, refused) = split(plan);
        self.follow(probes);
        let mut readiness = self.board.readiness();
        readiness.0.extend(refused);
        if whole {
            self.inherited.forget();
        }
        problems.extend(self.forgot.clone());
        problems.extend(self.remember(&readiness));
        (readiness, problems)
    }

    fn follow(&mut self, probes: BTreeMap<Probed, Probe>) {
        self.workers.retain(|probed, worker| probes.get(probed) == Some(&worker.probe));
        self.board.retain(|probed| probes.contains_key(probed));
        for (probed, probe) in probes {
            if !self.workers.contains_key(&probed) {
                let worker = self.start(probed.clone(), probe);
                self.workers.insert(probed, worker);
            }
        }
    }

    fn start(&mut self, probed: Probed, probe: Probe) -> Worker {
        let goes_on = self.inherited.take(&probed.to_string());
        self.board.begin(&probed, goes_on);
        let head_start = worker::head_start(probe.period, self.born.elapsed());
        let desk = Desk { probed, board: Arc::clone(&self.board), goes_on };
        let places = Arc::clone(&self.places);
        let check = move |probe| check_in_turn(Arc::clone(&places), probe);
        let mut task = JoinSet::new();
        task.spawn(worker::run(probe.clone(), desk, head_start, check));
        Worker { probe, _task: task }
    }

    fn remember(&mut self, readiness: &Readiness) -> Option<Problem> {
        let memory = self.inherited.and(readiness);
        if self.saved.as_ref() == Some(&memory) {
            return None;
        }
        let saved = memory.save(&self.state_dir);
        self.saved = saved.is_ok().then_some(memory);
        let message =
            |error| format!("cannot be written ({error:#}); a restart asks all probes anew");
        saved.err().map(|error| about_memory(&self.state_dir, message(error)))
    }
}

fn about_memory(state_dir: &Path, message: String) -> Problem {
    let subject = memory::path(state_dir).display().to_string();
    Problem { subject, field: String::new(), message }
}

impl Places {
    fn new() -> Self {
        // The rest of the agent needs descriptors, too.
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft / 4);
        let sockets = usize::try_from(limit).unwrap_or(SOCKETS).clamp(1, SOCKETS);
        Self { commands: Semaphore::new(COMMANDS), sockets: Semaphore::new(sockets) }
    }

    fn of(&self, check: &Check) -> &Semaphore {
        match check {
            Check::Exec(_) => &self.commands,
            Check::Http(_) | Check::Tcp(_) | Check::Grpc(..) => &self.sockets,
        }
    }
}

/// Probes to make, and what is known of those that cannot be made.
fn split(plan: Plan) -> (BTreeMap<Probed, Probe>, BTreeMap<Probed, Finding>) {
    let (mut probes, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (probed, asked) in plan {
        match asked {
            Ok(probe) => drop(probes.insert(probed, probe)),
            Err(why) => drop(refused.insert(probed, board::unready(&why))),
        }
    }
    (probes, refused)
}

/// One that has to wait for its turn is not late: its time begins with it.
async fn check_in_turn(places: Arc<Places>, probe: Probe) -> Outcome {
    match places.of(&probe.check).acquire().await {
        Ok(_place) => check::check(&probe).await,
        Err(_) => Outcome::Void("the agent is ending".to_owned()),
    }
}

#[cfg(test)]
mod tests;
