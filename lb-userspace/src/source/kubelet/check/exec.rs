//! `exec`: a command of this host, in a network namespace.
//!
//! Exit code 0 is success. No shell is between, nothing of the agent's environment but `PATH` is
//! handed on. The command and what it started (its process group) are killed when it has ended or
//! its time is up.

use super::{MOST_BYTES, Outcome};
use crate::source::kubelet::probe::Command;
use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Where programs are found if the agent does not know.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs it.
pub(super) async fn check(command: &Command, patience: Duration) -> Outcome {
    let child = match started(command).await {
        Ok(child) => child,
        Err(error) => return Outcome::Void(format!("{error:#}")),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let ended = timeout(patience, watched(child)).await;
    if let Some(group) = group {
        // Nothing may be left of it.
        let _ = killpg(group, Signal::SIGKILL);
    }
    match ended {
        Ok(Ok(status)) if status.success() => Outcome::Success,
        Ok(Ok(status)) => Outcome::Failure(status.to_string()),
        Ok(Err(error)) => Outcome::Void(format!("waiting for it: {error}")),
        Err(_) => Outcome::Failure(format!("has not ended within {} s", patience.as_secs())),
    }
}

/// A thread of its own moves into the namespace, so that no other work of the agent does.
async fn started(command: &Command) -> Result<Child> {
    let (tell, told) = oneshot::channel();
    let (runtime, command) = (Handle::current(), command.clone());
    let thread = std::thread::Builder::new().name("probe".to_owned());
    thread.spawn(move || {
        let _guard = runtime.enter();
        // Whoever waits may be gone; the child is killed then.
        let _ = tell.send(start(&command));
    })?;
    told.await.context("starting the command")?
}

fn start(command: &Command) -> Result<Child> {
    if let Some(netns) = &command.netns {
        enter(netns)?;
    }
    let (program, arguments) = command.line.split_first().context("there is no command")?;
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH));
    tokio::process::Command::new(program)
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
        .with_context(|| format!("starting {program:?}"))
}

fn enter(netns: &Path) -> Result<()> {
    let naming = || format!("entering network namespace {}", netns.display());
    let file = File::open(netns).with_context(naming)?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(naming)
}

/// Waits for it, and reads what it says meanwhile, or it might wait for us.
async fn watched(mut child: Child) -> std::io::Result<ExitStatus> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    tokio::select! {
        status = child.wait() => status,
        // Both ends are closed, so all that is left is to wait.
        ((), ()) = async { tokio::join!(drained(out), drained(err)) } => child.wait().await,
    }
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
