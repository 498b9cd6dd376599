//! How far it is, for somebody who waits at a terminal.

use crate::cli::lbctl::output::Console;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// When somebody wants to know.
const PATIENCE: Duration = Duration::from_secs(2);
/// ECMA-48: to the line's beginning, erase it.
const ERASE: &str = "\r\x1b[K";

/// One line on standard error, drawn over again.
pub(super) struct Progress {
    files: usize,
    done: usize,
    started: Instant,
    watched: bool,
    shown: bool,
}

impl Progress {
    /// Nothing is done of so many files; `watched`: standard error is a terminal.
    pub(super) fn new(files: usize, watched: bool) -> Self {
        Self { files, done: 0, started: Instant::now(), watched, shown: false }
    }

    /// The next file begins.
    pub(super) fn show(&mut self, file: &Path, console: &mut Console<'_>) -> io::Result<()> {
        self.done += 1;
        if !self.watched || self.started.elapsed() < PATIENCE {
            return Ok(());
        }
        self.shown = true;
        write!(console.err, "{ERASE}{}/{} {}", self.done, self.files, file.display())?;
        console.err.flush()
    }

    /// Other lines come.
    pub(super) fn hide(&mut self, console: &mut Console<'_>) -> io::Result<()> {
        if std::mem::take(&mut self.shown) {
            write!(console.err, "{ERASE}")?;
            console.err.flush()?;
        }
        Ok(())
    }
}
