//! `exec`: a command of this host, in a network namespace.
//!
//! Exit code 0 is success. No shell is between, nothing of the agent's environment but `PATH` is
//! handed on. The command and what it started (its process group) are killed when it has ended, its
//! time is up or nobody wants to know any more.

use super::{MOST_BYTES, Outcome};
use crate::source::kubelet::probe::Command;
use anyhow::{Context as _, Result, ensure};
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, killpg};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Where programs are found if the agent does not know.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts at the same time. One that hangs (a file on a network that is gone) keeps its place for
/// longer than its check lasts, so that the threads do not become more and more.
static STARTS: Semaphore = Semaphore::const_new(64);

/// Runs it.
pub(super) async fn check(command: &Command, patience: Duration) -> Outcome {
    match timeout(patience, run(command)).await {
        Ok(Ok(status)) if status.success() => Outcome::Success,
        Ok(Ok(status)) => Outcome::Failure(status.to_string()),
        Ok(Err(error)) => Outcome::Void(format!("{error:#}")),
        Err(_) => Outcome::Failure(format!("has not ended within {} s", patience.as_secs())),
    }
}

async fn run(command: &Command) -> Result<ExitStatus> {
    let mut running = started(command).await?;
    running.ended().await.context("waiting for it")
}

/// A command and what it started: nothing of it outlives this.
struct Running {
    child: Child,
    /// Its process group.
    group: Option<Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Running {
    /// Waits for it, and reads what it says meanwhile, or it might wait for us.
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let child = &mut self.child;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        tokio::select! {
            status = child.wait() => return status,
            ((), ()) = async { tokio::join!(drained(out), drained(err)) } => {}
        }
        // Both ends are closed, so all that is left is to wait.
        child.wait().await
    }
}

/// A thread of its own moves into the namespace, so that no other work of the agent does, and waits
/// for whatever opening files may wait for.
async fn started(command: &Command) -> Result<Running> {
    let place = STARTS.acquire().await?;
    let (tell, told) = oneshot::channel();
    let (runtime, command) = (Handle::current(), command.clone());
    std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        let _runtime = runtime.enter();
        // If nobody waits any more, what was started ends right here.
        let _ = tell.send(start(&command));
        drop(place);
    })?;
    told.await.context("starting the command")?
}

fn start(command: &Command) -> Result<Running> {
    if let Some(netns) = &command.netns {
        enter(netns).with_context(|| format!("entering network namespace {}", netns.display()))?;
    }
    let (program, arguments) = command.line.split_first().context("there is no command")?;
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH));
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {program:?}"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    Ok(Running { child, group })
}

/// Whatever else is at this path is not waited for (a pipe), and not asked to be a namespace.
fn enter(netns: &Path) -> Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(netns)?;
    let kind = fstatfs(&file)?.filesystem_type();
    ensure!(kind == NSFS_MAGIC, "it is no namespace");
    Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
}

/// Reads to the end, shows the beginning to whoever looks for it, keeps nothing.
async fn drained(pipe: Option<impl AsyncRead + Unpin>) {
    let Some(mut pipe) = pipe else { return };
    let mut start = Vec::new();
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let read = (&mut pipe).take(most).read_to_end(&mut start).await;
    tracing::debug!(output = %String::from_utf8_lossy(&start).escape_debug(), "probe");
    if read.is_ok() {
        // What is too much is not worth an error.
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
}
