//! `cargo xtask`: arguments to one task.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use xtask::{bench, build, demo, deploy, e2e, fuzz, lab, run, setup, test, tidy};

/// Everything a person types to work on lb
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the pinned compiler and linker of the BPF programs, if they are missing
    Setup(setup::Options),
    /// Set up, and build everything
    Build(build::Options),
    /// Build, and start the agent as root: cargo xtask run -- run --node NAME ...
    Run(run::Options),
    /// Build, and watch Services at work on a network of namespaces
    Demo(demo::Options),
    /// Measure: cargo xtask bench datapath --json
    Bench(bench::Options),
    /// Look for inputs that break a parser, the planner or a BPF program
    Fuzz(fuzz::Options),
    /// Write the plain manifests of deploy/ from the Helm chart
    Deploy(deploy::Options),
    /// Run a real Kubernetes on this machine, with lb in kube-proxy's place
    E2e(e2e::Options),
    /// Check that the source keeps its shape
    Tidy(tidy::Options),
    /// Run all that CI runs
    Test(test::Options),
    /// What the networks of demo and tests are made of
    #[command(hide = true)]
    Lab(lab::cli::Options),
}

fn main() -> ExitCode {
    match start(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(task: Task) -> Result<()> {
    match task {
        Task::Setup(options) => setup::run(&options),
        Task::Build(options) => build::run(&options),
        Task::Run(options) => run::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Deploy(options) => deploy::run(&options),
        Task::E2e(options) => e2e::run(&options),
        Task::Tidy(options) => tidy::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Lab(options) => lab::cli::run(&options),
    }
}
