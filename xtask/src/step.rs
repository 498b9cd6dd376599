//! What is going on, one line a step: a spinner on a terminal, plain lines elsewhere.
//!
//! Everything is written to standard error; colours follow `NO_COLOR` and the terminal.

use anyhow::{Context, Result, bail};
use console::style;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How many of the last lines of a failed program are shown.
const TAIL_LINES: usize = 40;
/// Between two lines of a long step off a terminal.
const PATIENCE: Duration = Duration::from_secs(10);

/// A piece of work under way.
pub struct Step {
    name: String,
    spinner: ProgressBar,
    started: Instant,
    /// When something was last said off a terminal.
    told: Cell<Instant>,
}

/// Does `work` as the step `name`: says that it began, and how it ended.
pub fn step<T>(name: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
    let step = Step::begin(name);
    let result = work(&step);
    step.end(result.is_ok());
    result
}

impl Step {
    fn begin(name: &str) -> Self {
        let spinner = ProgressBar::new_spinner().with_message(name.to_owned());
        if let Ok(template) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            spinner.set_style(template);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        if spinner.is_hidden() {
            eprintln!("  {name} ...");
        }
        let started = Instant::now();
        Self { name: name.to_owned(), spinner, started, told: Cell::new(started) }
    }

    /// Shows `text` beside the name while the step lasts; nothing off a terminal.
    pub fn note(&self, text: &str) {
        self.spinner.set_message(format!("{}: {}", self.name, style(text.trim()).dim()));
    }

    /// Shows `text` beside the name while the step lasts; off a terminal as a line now and then.
    pub fn progress(&self, text: &str) {
        self.note(text);
        if self.spinner.is_hidden() && self.told.get().elapsed() >= PATIENCE {
            self.told.set(Instant::now());
            eprintln!("  {}: {text}", self.name);
        }
    }

    fn end(&self, good: bool) {
        self.spinner.finish_and_clear();
        eprintln!("{} {} {}", mark(good), self.name, seconds(self.started.elapsed()));
    }

    /// Runs a program; its output is shown only if it fails.
    pub fn run(&self, mut command: Command) -> Result<()> {
        let shown = shown(&command);
        let (reader, writer) = io::pipe().context("opening a pipe")?;
        command.stdout(writer.try_clone().context("opening a pipe")?).stderr(writer);
        let child = command.spawn().with_context(|| format!("starting {shown}"))?;
        // It holds the writing end: as long as it lives, the reader never sees the end.
        drop(command);
        self.follow(child, reader, &shown)
    }

    fn follow(&self, mut child: Child, output: PipeReader, shown: &str) -> Result<()> {
        let mut tail = VecDeque::new();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            self.note(&line);
            tail.push_back(line);
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
        let status = child.wait().with_context(|| format!("waiting for {shown}"))?;
        if !status.success() {
            bail!("{shown}: {status}\n{}", Vec::from(tail).join("\n"));
        }
        Ok(())
    }
}

/// Runs a program whose output is meant for the person at the terminal.
pub fn show(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// A tick or a cross.
pub fn mark(good: bool) -> impl std::fmt::Display {
    if good { style("✓").green().for_stderr() } else { style("✗").red().for_stderr() }
}

/// A duration as it stands in a line, dimmed.
pub fn seconds(elapsed: Duration) -> impl std::fmt::Display {
    style(format!("({:.1} s)", elapsed.as_secs_f32())).dim().for_stderr()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failed_program_shows_its_last_lines() {
        let failed = step("fails", |step| step.run(shell("echo told; echo why >&2; exit 3")));
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("exit status: 3\ntold\nwhy"), "{message}");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let failed = step("fails", |step| step.run(shell("seq 1 100; exit 1")));
        let message = failed.unwrap_err().to_string();
        assert_eq!(message.lines().nth(1), Some("61"));
        assert_eq!(message.lines().last(), Some("100"));
    }
}
