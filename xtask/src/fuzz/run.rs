//! A target's program at work: its lines become progress, and what it says when it breaks is kept.

use super::status::Status;
use super::target::Target;
use super::{Options, crash};
use crate::root;
use crate::step::Step;
use anyhow::{Context as _, Result};
use nix::unistd::{Uid, getgid, getuid};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// An input that takes longer, in seconds, is as bad as one that breaks its target.
const TIMEOUT_S: u32 = 10;
/// Memory that a target may take, in MiB.
const MEMORY_MIB: u32 = 2048;

/// How a target fared.
pub(super) struct Outcome {
    pub(super) target: Target,
    pub(super) status: Status,
    pub(super) elapsed: Duration,
    /// Inputs that break it.
    pub(super) crashes: Vec<PathBuf>,
    /// What it said when it broke.
    pub(super) said: Vec<String>,
}

/// Fuzzes a target for a while.
pub(super) fn fuzz(target: Target, options: &Options, step: &Step) -> Result<Outcome> {
    for folder in [target.found(), target.artifacts()] {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let mut command = command(target)?;
    command.arg(target.found()).args(target.seeds()).args(arguments(target, options.seconds));
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", target.program().display()))?;
    let lines = lines(child.stderr.take().context("it has no standard error")?);
    let mut outcome = Outcome {
        target,
        status: Status::default(),
        elapsed: Duration::ZERO,
        crashes: Vec::new(),
        said: Vec::new(),
    };
    outcome.follow(&lines, started, &|text| step.progress(text));
    let status = child.wait().context("waiting for the fuzzer")?;
    outcome.elapsed = started.elapsed();
    own(&[target.found(), target.artifacts()])?;
    outcome.crashes = crash::keep(target)?;
    anyhow::ensure!(
        status.success() || !outcome.crashes.is_empty(),
        "the fuzzer: {status}\n{}",
        outcome.said.join("\n")
    );
    Ok(outcome)
}

/// The program of a target, as root if it has to be.
pub(super) fn command(target: Target) -> Result<Command> {
    let program = target.program();
    let mut command =
        if target.needs_root() { root::command(program)? } else { Command::new(program) };
    // Where something broke is said by the panic; the rest of the stack is the fuzzer's.
    command.env("RUST_BACKTRACE", "0");
    Ok(command)
}

fn arguments(target: Target, seconds: u32) -> Vec<String> {
    vec![
        format!("-max_total_time={seconds}"),
        format!("-max_len={}", target.max_len()),
        format!("-timeout={TIMEOUT_S}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        format!("-artifact_prefix={}/", target.artifacts().display()),
        "-print_final_stats=1".into(),
    ]
}

/// The lines of a stream, as they come.
fn lines(stream: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        // Input that is shown may be anything.
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Outcome {
    /// Takes in what the program says until it ends, and shows how far it is once a second.
    fn follow(&mut self, lines: &Receiver<String>, started: Instant, show: &dyn Fn(&str)) {
        loop {
            match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => self.hear(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            show(&self.progress(started.elapsed()));
        }
    }

    fn progress(&self, elapsed: Duration) -> String {
        let Status { runs, coverage, corpus, .. } = self.status;
        let (seconds, rate) = (elapsed.as_secs(), self.status.rate(elapsed));
        format!("{seconds} s, {runs} inputs, {rate} a second, coverage {coverage}, {corpus} kept")
    }

    fn hear(&mut self, line: String) {
        /// Lines of a panic that are worth showing.
        const MAX_LINES: usize = 30;
        self.status.update(&line);
        let begins = line.contains("panicked at") || line.starts_with("==");
        let is_frame = line.starts_with("    #");
        if (begins || !self.said.is_empty()) && !is_frame && self.said.len() < MAX_LINES {
            self.said.push(line);
        }
    }
}

/// Gives what root wrote to whoever started this.
fn own(folders: &[PathBuf]) -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let owner = format!("{}:{}", getuid(), getgid());
    let status = root::command("chown")?
        .args(["-R", &owner])
        .args(folders)
        .status()
        .context("starting chown")?;
    anyhow::ensure!(status.success(), "chown: {status}");
    Ok(())
}

/// Gives one input to its target; what it says is shown.
pub(super) fn replay(target: Target, input: &Path) -> Result<()> {
    let status = command(target)?
        .arg(input)
        .status()
        .with_context(|| format!("starting {}", target.program().display()))?;
    anyhow::ensure!(status.success(), "{} breaks {}", crash::shown(input), target.name());
    Ok(())
}
