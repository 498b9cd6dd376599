//! The node agent: arguments, one verb, an exit code.

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use lb_userspace::agent::{self, Ending, check, cleanup, shadow};
use lb_userspace::config::{HealthArgs, Places, RunArgs, file};
use lb_userspace::health;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use tracing_subscriber::EnvFilter;

/// Balances what is aimed at Kubernetes Services, in the kernel.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Examples:
  lb-agent check
  lb-agent run --manifests /etc/lb --cluster-cidr 10.244.0.0/16
  lb-agent run --kubeconfig /etc/lb/kubeconfig --node node-a --cluster-cidr 10.244.0.0/16
  lb-agent cleanup"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Follow the objects and keep the kernel's tables in step
    ///
    /// Ending the agent leaves programs, tables and flows in place; the next one takes them over.
    #[command(after_help = "Examples:
  lb-agent run --manifests /etc/lb --cluster-cidr 10.244.0.0/16,fd00:10:244::/64 \\
      --service-cidr 10.96.0.0/16,fd00:10:96::/112
  lb-agent run --kubeconfig /etc/lb/kubeconfig --node node-a --cluster-cidr 10.244.0.0/16
  lb-agent run --manifests ./examples/kubia --devices 'eth*' --nodeport-addresses 192.0.2.0/24
  lb-agent run --kubeconfig /etc/lb/kubeconfig --node node-a --shadow --once")]
    Run(Box<RunArgs>),
    /// Answer load balancers for the agent, and go on while it restarts
    ///
    /// Health check node ports and /healthz are answered by the agent itself, unless this runs
    /// beside it: packets find their way without an agent, and a load balancer that finds nobody
    /// listening would turn away from a node that works. Needs no privileges beyond the folder.
    #[command(after_help = "Examples:
  lb-agent health
  lb-agent health --healthz-bind-address 192.0.2.1:10256 --state-dir /run/lb")]
    Health(HealthArgs),
    /// Say what the kernel has and what that enables
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
    /// Remove programs, tables, flows and state: every trace
    Cleanup(Places),
}

/// How a shell is told that the arguments are wrong.
const WRONG_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli() {
        Ok(Some(cli)) => cli,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(error) => error.exit(),
            Err(error) => {
                eprintln!("error: {error:#}");
                return ExitCode::from(WRONG_ARGUMENTS);
            }
        },
    };
    log();
    match verb(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The arguments, with the settings of a file; `None`: they were to be shown, and have been.
fn cli() -> Result<Option<Cli>> {
    let command = Cli::command();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let matches = file::matches(&command, RUN, &arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let Verb::Run(args) = &cli.verb else { return Ok(Some(cli)) };
    args.check()?;
    if args.dump_config
        && let Some((flags, run)) =
            command.find_subcommand(RUN).zip(matches.subcommand_matches(RUN))
    {
        write!(stdout(), "{}", file::dump(flags, run)).context("printing the settings")?;
        return Ok(None);
    }
    Ok(Some(cli))
}

/// The settings of an agent, as they are now.
fn settings() -> Result<RunArgs> {
    match cli()? {
        Some(Cli { verb: Verb::Run(args) }) => Ok(*args),
        _ => anyhow::bail!("these are no arguments of an agent any more"),
    }
}

/// The verb that has settings.
const RUN: &str = "run";

fn verb(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Run(args) => {
            need_root()?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            if args.shadow.shadow {
                let alike = runtime.block_on(shadow::run(&args, &mut stdout()))?;
                let failed = !alike && args.shadow.once;
                return Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
            }
            let ending = runtime.block_on(agent::run(&args, settings))?;
            drop(runtime);
            if ending == Ending::NewSettings {
                start_anew()?;
            }
        }
        Verb::Health(args) => {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(health::process::run(&args.places.state_dir, args.healthz.addrs()))?;
        }
        Verb::Check { json, places } => {
            if !check::run(&places.bpffs, json, &mut stdout().lock())? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Cleanup(places) => {
            need_root()?;
            cleanup::run(&places, &mut stdout().lock())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Becomes a new agent, with the arguments of this one.
fn start_anew() -> Result<()> {
    // Not by its path: that may be another program by now.
    let mut agent = Command::new("/proc/self/exe");
    let mut arguments = std::env::args_os();
    agent.arg0(arguments.next().unwrap_or_default()).args(arguments);
    Err(agent.exec()).context("starting anew")
}

fn need_root() -> Result<()> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "loading BPF programs, and reading rules of others, needs root: run `sudo lb-agent ...`"
    );
    Ok(())
}

/// Logs go to stderr; `RUST_LOG` says how much.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(colours)
        .with_target(false)
        .init();
}
