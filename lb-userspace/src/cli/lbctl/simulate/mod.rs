//! `lbctl simulate`: scenario files through the real programs, in maps of their own.
//!
//! Here are files, order and exit codes; what a scenario means is [`crate::simulate`]'s to know.

/// A scenario as people read it.
mod print;
/// How far it is.
mod progress;

use super::output::{self, Console, Format, Style, Tone, paint};
use crate::config::Snat;
use crate::simulate::{Report, Scenario, Simulator};
use anyhow::{Result, anyhow, ensure};
use clap::Args;
use progress::Progress;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

const EXAMPLES: &str = "\
Examples:
  lbctl simulate kubia.json                one scenario, a line for each packet
  lbctl simulate scenarios                 every *.json of a folder
  lbctl simulate --snat always scenarios   clients' addresses are replaced where kube-proxy does it
  lbctl simulate -o wide kubia.json        with both ends of each packet, and every backend
  lbctl simulate -o json scenarios | jq -r '.[] | select(.failed > 0) | .id'

A scenario holds objects, packets, and what must become of them: docs/simulate.md has the format.
Programs, maps and network are private to the run; nothing of this machine is changed.

Exit codes: 0 all as expected, 1 something differs, 2 a file could not be read or played";

/// Try Services before a rollout: scenarios through the real programs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Scenario files; of a folder every *.json in it
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// When a client's address is replaced, as with `lb-agent run`
    #[arg(long, value_enum, default_value_t)]
    snat: Snat,
    /// Form of the output; json and yaml hold a list with one entry per scenario
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs what `options` name.
pub(super) fn run(options: &Options, console: &mut Console<'_>) -> Result<ExitCode> {
    let style = Style { format: options.output, color: console.color };
    let mut tally = Tally::default();
    let scenarios = scenarios(&options.paths, &mut tally, console)?;
    let mut reports = Vec::new();
    if !scenarios.is_empty() {
        match start(options.snat) {
            Ok(mut simulator) => {
                reports = play(scenarios, &mut simulator, style, &mut tally, console)?;
            }
            Err(error) => {
                writeln!(console.err, "error: {error:#}")?;
                return Ok(ExitCode::from(2));
            }
        }
    }
    if style.format.is_table() {
        writeln!(console.out, "{}", tally.line(style))?;
    } else {
        write!(console.out, "{}", output::document(&reports, style.format)?)?;
    }
    Ok(tally.code())
}

fn start(snat: Snat) -> Result<Simulator> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "loading BPF programs needs root: run `sudo lbctl simulate ...`"
    );
    Simulator::start(snat.into())
}

/// Plays the scenarios in order. Tables are printed as soon as a scenario is over.
fn play(
    scenarios: Vec<(PathBuf, Scenario)>,
    simulator: &mut Simulator,
    style: Style,
    tally: &mut Tally,
    console: &mut Console<'_>,
) -> Result<Vec<Report>> {
    let mut progress = Progress::new(scenarios.len(), console.watched);
    let mut reports = Vec::new();
    for (file, scenario) in scenarios {
        progress.show(&file, console)?;
        let report = simulator.run(scenario);
        progress.hide(console)?;
        match report {
            Ok(report) => {
                tally.add(&report);
                if style.format.is_table() {
                    write!(console.out, "{}", print::text(&report, style))?;
                    console.out.flush()?;
                }
                reports.push(report);
            }
            Err(error) => tally.refuse(&file, &error, console)?,
        }
    }
    Ok(reports)
}

/// The scenarios that can be read. Those that cannot are told at once.
fn scenarios(
    paths: &[PathBuf],
    tally: &mut Tally,
    console: &mut Console<'_>,
) -> Result<Vec<(PathBuf, Scenario)>> {
    let mut scenarios = Vec::new();
    for file in files(paths, tally, console)? {
        match read(&file) {
            Ok(scenario) => scenarios.push((file, scenario)),
            Err(error) => tally.refuse(&file, &error, console)?,
        }
    }
    Ok(scenarios)
}

/// The files that are meant, those of folders by name.
fn files(paths: &[PathBuf], tally: &mut Tally, console: &mut Console<'_>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match scenarios_in(path) {
            Ok(found) if found.is_empty() => {
                tally.refuse(path, &anyhow!("no *.json is in this folder"), console)?;
            }
            Ok(found) => files.extend(found),
            Err(error) => tally.refuse(path, &error.into(), console)?,
        }
    }
    Ok(files)
}

fn scenarios_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(file)?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Scenario::read(&name, &text)?)
}

/// What all files came to.
#[derive(Debug, Default)]
struct Tally {
    scenarios: usize,
    failed_scenarios: usize,
    checks: usize,
    failed_checks: usize,
    bad_files: usize,
}

impl Tally {
    fn add(&mut self, report: &Report) {
        self.scenarios += 1;
        self.failed_scenarios += usize::from(report.failed != 0);
        self.checks += report.checks.len();
        self.failed_checks += report.failed;
    }

    /// A file that cannot be judged does not keep others from being judged.
    fn refuse(
        &mut self,
        file: &Path,
        error: &anyhow::Error,
        console: &mut Console<'_>,
    ) -> Result<()> {
        self.bad_files += 1;
        // What was printed comes first where both streams end in one place.
        console.out.flush()?;
        Ok(writeln!(console.err, "error: {}: {error:#}", file.display())?)
    }

    fn line(&self, style: Style) -> String {
        let Self { scenarios, failed_scenarios, checks, failed_checks, bad_files } = self;
        let tone = |count: usize| if count == 0 { Tone::Good } else { Tone::Bad };
        let failed = |count: usize| paint(&format!("{count} failed"), tone(count), style);
        let mut line = format!(
            "{}, {}; {}, {}",
            counted(*scenarios, "scenario"),
            failed(*failed_scenarios),
            counted(*checks, "check"),
            failed(*failed_checks)
        );
        if *bad_files != 0 {
            let bad = counted(*bad_files, "file") + " not read or played";
            line.push_str("; ");
            line.push_str(&paint(&bad, Tone::Bad, style));
        }
        line
    }

    fn code(&self) -> ExitCode {
        match self {
            Self { bad_files: 1.., .. } => ExitCode::from(2),
            Self { failed_checks: 1.., .. } => ExitCode::FAILURE,
            Self { .. } => ExitCode::SUCCESS,
        }
    }
}

/// `1 file`, `2 files`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
