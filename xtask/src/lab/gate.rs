//! Ctrl-C and its kin: every lab of this process is removed before it ends.
//!
//! A thread waits for the signals, so nothing here runs inside a signal handler. Whatever makes a
//! thing that outlives a process passes [`pass`] first; the thread shuts the gate for good, removes
//! the labs and ends the process, so nothing is made behind its back.

use super::remove;
use anyhow::{Context, Result};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::collections::BTreeSet;
use std::process;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread;
use tokio::signal::unix::{Signal, SignalKind, signal};

static GATE: RwLock<()> = RwLock::new(());

/// The labs of this process.
static ALIVE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether the thread could be started.
static WATCHED: OnceLock<bool> = OnceLock::new();

/// Held while something is made; waits forever once the process is ending.
pub(super) fn pass() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// From now on `id` is removed when the process is told to end.
pub(super) fn enter(id: &str) {
    WATCHED.get_or_init(|| watch().is_ok());
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
}

/// `id` is gone.
pub(super) fn leave(id: &str) {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
}

/// Starts the thread, and comes back once the signals are caught.
fn watch() -> Result<()> {
    let (ready, started) = mpsc::channel();
    thread::spawn(move || wait(&ready));
    started.recv().context("starting the thread that waits for signals")
}

fn wait(ready: &mpsc::Sender<()>) -> Result<()> {
    let runtime = super::runtime()?;
    let number = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        // Nobody listens only if the process is already ending.
        let _ended = ready.send(());
        anyhow::Ok(tokio::select! {
            () = next(&mut interrupt) => 2,
            () = next(&mut terminate) => 15,
            () = next(&mut hang_up) => 1,
        })
    })?;
    end(128 + number)
}

async fn next(signal: &mut Signal) {
    signal.recv().await;
}

fn end(code: i32) -> ! {
    let _shut = GATE.write().unwrap_or_else(PoisonError::into_inner);
    let alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    for id in alive.iter() {
        remove::report(id);
    }
    reap();
    process::exit(code)
}

/// Takes the dead programs out of the process table, in case nobody does it after this process.
fn reap() {
    while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
        waitpid(None, Some(WaitPidFlag::WNOHANG))
    {}
}
