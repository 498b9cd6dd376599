//! `xtask lab`: verbs that labs use themselves, and two for people.

use super::kubia::Kubia;
use super::traffic::{ask, bulk, connect, hold, serve};
use super::{exec, sweep};
use anyhow::Result;
use std::thread;

/// One verb.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Go into a namespace and a cgroup, and become a program
    Exec(exec::Options),
    /// Be the servers of a host
    Serve(serve::Options),
    /// Make short connections and count who answers
    Connect(connect::Options),
    /// Keep long connections talking
    Hold(hold::Options),
    /// Ask a name server and count who answers
    Ask(ask::Options),
    /// Transfer bytes and check them
    Bulk(bulk::Options),
    /// Build the kubia network with its servers, and keep it until Ctrl-C
    Kubia,
    /// Remove what labs of dead processes have left
    Sweep,
}

/// Does the verb.
pub fn run(options: &Options) -> Result<()> {
    match &options.verb {
        Verb::Exec(options) => exec::run(options),
        Verb::Serve(options) => serve::run(options),
        Verb::Connect(options) => connect::run(options),
        Verb::Hold(options) => hold::run(options),
        Verb::Ask(options) => ask::run(options),
        Verb::Bulk(options) => bulk::run(options),
        Verb::Kubia => keep(),
        Verb::Sweep => sweep(),
    }
}

fn keep() -> Result<()> {
    let network = Kubia::new()?;
    let _servers = network.serve()?;
    println!("{} is ready: ip netns exec {0}-client ...", network.lab.id());
    loop {
        thread::park();
    }
}
