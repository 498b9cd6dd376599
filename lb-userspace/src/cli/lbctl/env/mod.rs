//! `lbctl env`: the variables by which a kubelet tells containers of Services, for containers that
//! no kubelet starts.
//!
//! The running agent is asked, because only the objects say which port is the first, and what has
//! an address and no map entry.

use super::agent;
use super::output::{self, Console, Format};
use super::place::Place;
use super::select::Name;
use crate::agent::socket::{Answer, Question};
use crate::environment::Variable;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
A Service kubia with port 80 has KUBIA_SERVICE_HOST, KUBIA_SERVICE_PORT, KUBIA_PORT, and
KUBIA_PORT_80_TCP with _PROTO, _PORT and _ADDR; one without a ClusterIP has none.

Examples:
  lbctl env default/kubia                 the variables of one Service
  lbctl env --all default                 what a container in this namespace is told: all its
                                          Services, and default/kubernetes
  lbctl env --all shop > shop.env         a file of variables ...
  docker run --env-file shop.env IMAGE    ... for Docker and Podman
  EnvironmentFile=/etc/lb/shop.env        ... for a unit of systemd
  lbctl env default/kubia -o json | jq -r '.[] | select(.name == \"KUBIA_SERVICE_HOST\") | .value'

A container keeps what it was started with: who has to learn of Services that come later asks DNS.";

/// Print the environment variables of Services, as a kubelet sets them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The Service: NAMESPACE/NAME, or NAME
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<Name>,
    /// The Service's namespace [default: default]
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all")]
    namespace: Option<String>,
    /// Everything that a container in this namespace is told
    #[arg(long, value_name = "NAMESPACE")]
    all: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// NAME=VALUE lines
    #[default]
    Env,
    /// A list of names and values, as a container's `env` has it
    Json,
    /// The same as JSON
    Yaml,
}

/// Prints the variables that `options` ask for.
pub(super) fn run(options: &Options, place: &Place, console: &mut Console<'_>) -> Result<()> {
    let variables = asked(&question(options), place)?;
    if variables.is_empty() {
        writeln!(console.err, "no Service with a ClusterIP, so there are no variables")?;
    }
    let text = match options.output {
        Form::Env => lines(&variables),
        Form::Json => output::document(&variables, Format::Json)?,
        Form::Yaml => output::document(&variables, Format::Yaml)?,
    };
    Ok(write!(console.out, "{text}")?)
}

fn question(options: &Options) -> Question {
    match (&options.all, &options.name) {
        (None, Some(name)) => Question::Environment(name.object(options.namespace.as_deref())),
        (all, _) => Question::EnvironmentIn(all.clone().unwrap_or_default()),
    }
}

fn asked(question: &Question, place: &Place) -> Result<Vec<Variable>> {
    match agent::ask(place, question)? {
        Some(Answer::Environment(variables)) => Ok(variables),
        Some(Answer::Starting) => bail!("the agent has not read all objects yet: try again"),
        Some(Answer::Unknown | Answer::Explanation(_) | Answer::NotUnderstood(_)) => {
            bail!("{}", unknown(question))
        }
        None => bail!(
            "no agent runs with state folder {}: only it knows the objects",
            place.state_dir.display()
        ),
    }
}

fn unknown(question: &Question) -> String {
    match question {
        Question::Environment(name) | Question::Explain(name) => {
            format!("service {:?} not found", name.to_string())
        }
        Question::EnvironmentIn(namespace) => format!("nothing is known of {namespace:?}"),
    }
}

fn lines(variables: &[Variable]) -> String {
    variables
        .iter()
        .flat_map(|Variable { name, value }| [name.as_str(), "=", value.as_str(), "\n"])
        .collect()
}

#[cfg(test)]
mod tests;
