//! `lbctl completions`: what a shell needs to complete verbs, resources and options.

use super::Console;
use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  source <(lbctl completions bash)                                   for this shell
  lbctl completions bash > /etc/bash_completion.d/lbctl              for all
  lbctl completions zsh > /usr/local/share/zsh/site-functions/_lbctl
  lbctl completions fish > ~/.config/fish/completions/lbctl.fish";

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The shell
    shell: Shell,
}

/// Prints them.
pub(super) fn run(
    options: &Options,
    mut command: Command,
    console: &mut Console<'_>,
) -> Result<()> {
    // Written at once: the generator itself would not survive a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "lbctl", &mut script);
    Ok(console.out.write_all(&script)?)
}
