//! `lb-agent health`: answers load balancers for the agent, and goes on while the agent restarts.
//!
//! Packets find their way without an agent; so a load balancer must not turn away from a node
//! whose agent is being replaced. After [`GRACE`] without one the numbers are too old to be told.

use super::Server;
use super::board::Board;
use crate::model::status::{self, Status};
use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// How often it is asked whether another process still answers: nobody does in between.
const ASK: Duration = Duration::from_millis(20);
/// How often the file is looked at: load balancers ask every few seconds.
const LOOK: Duration = Duration::from_millis(500);
/// How long a node counts as healthy without an agent.
const GRACE: Duration = Duration::from_mins(5);

/// The file that this process holds a lock on, in the state folder.
pub(crate) const LOCK: &str = "health.lock";

fn lock_path(dir: &Path) -> PathBuf {
    dir.join(LOCK)
}

/// Whether a process answers for the agent in `dir`.
pub fn is_served(dir: &Path) -> bool {
    status::is_locked(&lock_path(dir))
}

/// Answers at `proxy_addrs` for the node, and at the health check node ports for the Services,
/// what the agent in `dir` says, until it is told to end.
///
/// Where another process does that already, it waits for its end: the next one can be started
/// before the last one is stopped.
///
/// # Errors
/// The folder cannot be made or used.
pub async fn run(dir: &Path, proxy_addrs: Vec<SocketAddr>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    // Given up last of all, when nobody listens here any more.
    let _lock = tokio::select! {
        lock = turn(dir) => lock?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let mut look = tokio::time::interval(LOOK);
    let mut desk = Desk::new(dir, proxy_addrs);
    desk.look(Instant::now());
    tracing::info!(state_dir = %dir.display(), "answering for the agent");
    // For whoever waits for it: a supervisor, a test. Nobody may be reading.
    let _ = writeln!(std::io::stdout(), "ready");
    loop {
        tokio::select! {
            _ = look.tick() => desk.look(Instant::now()),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// Waits until no other process answers.
async fn turn(dir: &Path) -> Result<Flock<File>> {
    let mut ask = tokio::time::interval(ASK);
    if let Some(lock) = lock(dir)? {
        return Ok(lock);
    }
    tracing::info!(state_dir = %dir.display(), "another one answers: waiting for its end");
    loop {
        ask.tick().await;
        if let Some(lock) = lock(dir)? {
            return Ok(lock);
        }
    }
}

/// `None`: another process holds it.
fn lock(dir: &Path) -> Result<Option<Flock<File>>> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let path = lock_path(dir);
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).with_context(|| format!("locking {}", path.display())),
    }
}

/// What is told, and since when nobody has said so.
struct Desk {
    dir: PathBuf,
    server: Server,
    board: Board,
    /// Tells that the file is another than before: device, inode, time of change.
    stamp: Option<(u64, u64, i64, i64)>,
    agent_seen: Instant,
    /// Whether that is not too long ago; false before the first look.
    is_recent: bool,
    trouble: Option<String>,
}

impl Desk {
    fn new(dir: &Path, proxy_addrs: Vec<SocketAddr>) -> Self {
        Self {
            dir: dir.to_owned(),
            server: Server::new(Handle::current()).with_proxy(proxy_addrs),
            board: Board::default(),
            stamp: None,
            agent_seen: Instant::now(),
            is_recent: false,
            trouble: None,
        }
    }

    /// Tells what the file says now, if that is new or could not be told before.
    fn look(&mut self, now: Instant) {
        if Status::agent_alive(&self.dir) {
            self.agent_seen = now;
        }
        let is_recent = now.duration_since(self.agent_seen) < GRACE;
        let is_news = self.read() || is_recent != self.is_recent;
        self.is_recent = is_recent;
        if is_news || !self.server.problems().is_empty() {
            let healthy = self.board.healthy && is_recent;
            self.server.show(&Board { healthy, ..self.board.clone() });
        }
        if let Some(problem) = self.server.problems().first() {
            self.complain(problem.to_string());
        }
    }

    /// Reads the file if it is another one than before. True: it says something else.
    fn read(&mut self) -> bool {
        let path = Board::path(&self.dir);
        let stamp = fs::metadata(&path)
            .ok()
            .map(|file| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec()));
        if stamp == self.stamp || stamp.is_none() {
            return false;
        }
        match Board::read(&self.dir) {
            Ok(board) => {
                (self.board, self.stamp, self.trouble) = (board, stamp, None);
                true
            }
            // It is read again at the next look.
            Err(error) => {
                self.complain(format!("{}: {error}", path.display()));
                false
            }
        }
    }

    /// Says it once.
    fn complain(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!("{trouble}");
            self.trouble = Some(trouble);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_an_agent_it_is_healthy_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(dir.path(), Vec::new());
        let start = desk.agent_seen;
        let healthy = |desk: &Desk| desk.server.proxy().healthy;
        desk.look(start);
        assert!(!healthy(&desk), "no agent has ever said so");
        Board { healthy: true, ..Board::default() }.write(dir.path()).unwrap();
        desk.look(start + GRACE / 2);
        assert!(healthy(&desk));
        desk.look(start + GRACE);
        assert!(!healthy(&desk));
        let file = File::create(Status::lock_path(dir.path())).unwrap();
        let agent = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        desk.look(start + GRACE * 2);
        assert!(healthy(&desk), "an agent is back");
        drop(agent);
        desk.look(start + GRACE * 2 + GRACE / 2);
        assert!(healthy(&desk));
    }

    #[tokio::test]
    async fn a_file_that_is_not_an_agents_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(dir.path(), Vec::new());
        Board { healthy: true, ..Board::default() }.write(dir.path()).unwrap();
        desk.look(Instant::now());
        fs::write(Board::path(dir.path()), "{").unwrap();
        desk.look(Instant::now());
        assert!(desk.server.proxy().healthy);
        assert!(desk.trouble.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_waits_for_the_end_of_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_served(dir.path()));
        let held = turn(dir.path()).await.unwrap();
        assert!(is_served(dir.path()));
        let mut next = Box::pin(turn(dir.path()));
        let waited = tokio::time::timeout(Duration::from_secs(1), &mut next).await;
        assert!(waited.is_err(), "the last one answers");
        drop(held);
        next.await.unwrap();
        assert!(!is_served(dir.path()), "it was dropped at once");
    }
}
