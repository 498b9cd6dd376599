//! `lbctl`: pinned maps to lists that a person can read.
//!
//! It reads the maps that the packets meet, never what somebody believes to be in them, so it
//! tells the truth while the agent is down. It changes nothing. The agent's status file adds what
//! no map holds: problems with the objects, and why a link is not served. The agent itself is asked
//! for reasons only.
//!
//! Every resource is a pure function from map content to views, and a view is what `-o json`
//! prints. Output fits kubectl's habits: column heads, short names, `-n`, `-o`, `-w`.

/// Where maps and status lie; opens them.
mod place;
/// Everything that one look needs.
mod source;
/// Ids to names, codes to Kubernetes' words.
mod words;
/// Which items a person asked for.
mod select;
/// What the running agent is asked.
mod agent;
/// Views to text.
mod output;
/// One file per thing that can be listed.
mod resource;

/// `lbctl get`.
mod get;
/// `lbctl describe`.
mod describe;
/// `lbctl explain`.
mod explain;
/// `lbctl env`.
mod env;
/// `lbctl trace`.
mod trace;
/// `lbctl simulate`.
mod simulate;
/// `lbctl completions`.
mod completions;

use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand};
use place::Place;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

pub use output::Console;

const EXAMPLES: &str = "\
Examples:
  lbctl get services                      every Service on this node, as kubectl lists them
  lbctl get endpoints default/kubia       where its packets may go
  lbctl get conntrack --client 10.0.0.7   the flows of one client: client -> frontend -> backend
  lbctl describe service default/kubia    all about one Service
  lbctl explain service default/kubia     which endpoints are used, and why not the others
  lbctl env --all default                 what a kubelet would tell a container of Services
  lbctl trace --from 10.244.0.20 --to 10.96.0.10:80   what becomes of a packet, and why
  lbctl get status                        is the agent running, are maps full, what was dropped
  lbctl simulate scenarios/               what would become of packets, before a rollout

Exit codes: 0 done, 1 not found or nothing pinned, 2 wrong usage; `simulate` has its own";

/// Look at the eBPF service load balancer of this node
///
/// Reads the pinned maps themselves: it works while the agent is down, and changes nothing.
#[derive(Debug, Parser)]
#[command(name = "lbctl", version, after_help = EXAMPLES, propagate_version = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
struct Options {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Get(get::Options),
    Describe(describe::Options),
    Explain(explain::Options),
    Env(env::Options),
    Trace(trace::Options),
    Simulate(simulate::Options),
    Completions(completions::Options),
}

/// Does what `args` (with the program's name) ask for.
pub fn run(args: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> ExitCode {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(refusal) => return refused(&refusal, console),
    };
    let result = perform(&options, console).and_then(|code| {
        console.out.flush()?;
        Ok(code)
    });
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if nobody reads standard error either.
            let _ = writeln!(console.err, "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(options: &Options, console: &mut Console<'_>) -> Result<ExitCode> {
    match &options.verb {
        Verb::Get(verb) => get::run(verb, &options.place, console)?,
        Verb::Describe(verb) => describe::run(verb, &options.place, console)?,
        Verb::Explain(verb) => explain::run(verb, &options.place, console)?,
        Verb::Env(verb) => env::run(verb, &options.place, console)?,
        Verb::Trace(verb) => trace::run(verb, &options.place, console)?,
        Verb::Simulate(verb) => return simulate::run(verb, console),
        Verb::Completions(verb) => completions::run(verb, Options::command(), console)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Help and version go to standard output, a refusal to standard error with exit code 2.
fn refused(refusal: &clap::Error, console: &mut Console<'_>) -> ExitCode {
    let text = refusal.render();
    let text = if console.color { text.ansi().to_string() } else { text.to_string() };
    let stream = if refusal.use_stderr() { &mut console.err } else { &mut console.out };
    // A reader that went away does not change what the arguments were worth.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(2))
}

/// Whoever read our output has seen enough (`lbctl get ct | head`).
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_errors = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    io_errors.into_iter().any(|io_error| io_error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether output to this process' standard output may be coloured (<https://no-color.org>).
fn may_color() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

#[cfg(test)]
mod tests;
