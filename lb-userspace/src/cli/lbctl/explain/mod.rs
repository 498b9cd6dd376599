//! `lbctl explain`: why something is as it is.
//!
//! The reasons come from the running agent, which has the objects; what is in the maps is read from
//! the maps. Both are put beside each other, and a difference is marked. Without an agent there is
//! only what the maps hold.

/// What is wanted beside what is there. Pure.
mod compare;
/// Comparisons to text.
mod text;

use super::agent;
use super::describe::is_about;
use super::output::{self, Console, Format, Style};
use super::place::Place;
use super::select::Name;
use super::source::Source;
use crate::agent::socket::{Answer, Question};
use crate::compile::explain::{Explanation, UnusableExplanation};
use crate::compile::reason::Skipped;
use crate::model::{ObjectName, Problem};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use compare::PortView;
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  lbctl explain service default/kubia     which endpoints are used, and why not the others
  lbctl explain svc kubia -n default
  lbctl explain svc default/kubia -o json | jq '.ports[].endpoints[] | select(.differs)'";

/// Say why something is as it is: what is wanted, and what is in the maps
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    resource: Resource,
}

#[derive(Debug, Subcommand)]
enum Resource {
    /// A Service: each of its addresses and endpoints
    #[command(visible_aliases = ["svc", "services"], after_help = EXAMPLES)]
    Service(ServiceOptions),
}

#[derive(Debug, Args)]
struct ServiceOptions {
    /// NAMESPACE/NAME, or NAME
    name: Name,
    /// Its namespace [default: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A Service, as it is wanted and as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct View {
    #[serde(flatten)]
    service: ObjectName,
    agent: Agent,
    /// Why nothing of it is programmed; null: it is, or no agent says.
    skipped: Option<Skipped>,
    ports: Vec<PortView>,
    /// What it and its slices name and what cannot be used.
    unusable: Vec<UnusableExplanation>,
    /// What cannot be done as it wants.
    problems: Vec<Problem>,
    /// How many frontends and endpoints are not as they are wanted.
    differences: usize,
}

/// What the agent said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Agent {
    /// What is wanted.
    Answered,
    /// That there is no such Service.
    Unknown,
    /// That it has not read all objects yet.
    Starting,
    /// Nothing: none runs.
    Down,
}

/// Explains what `options` name.
pub(super) fn run(options: &Options, place: &Place, console: &mut Console<'_>) -> Result<()> {
    let Resource::Service(options) = &options.resource;
    let name = options.name.object(options.namespace.as_deref());
    let source = Source::open(place)?;
    let (agent, wanted) = wanted(place, &name)?;
    let view = view(&source, name, agent, wanted)?;
    if view.ports.is_empty() && matches!(agent, Agent::Unknown | Agent::Down) {
        bail!("service {:?} not found", view.service.to_string());
    }
    let style = Style { format: options.output, color: console.color };
    let text = if style.format.is_table() {
        text::text(&view, style)
    } else {
        output::document(&view, style.format)?
    };
    Ok(write!(console.out, "{text}")?)
}

fn wanted(place: &Place, name: &ObjectName) -> Result<(Agent, Option<Explanation>)> {
    let answer = agent::ask(place, &Question::Explain(name.clone()))?;
    Ok(match answer {
        Some(Answer::Explanation(explanation)) => (Agent::Answered, Some(*explanation)),
        Some(Answer::Starting) => (Agent::Starting, None),
        Some(Answer::Unknown | Answer::Environment(_) | Answer::NotUnderstood(_)) => {
            (Agent::Unknown, None)
        }
        None => (Agent::Down, None),
    })
}

fn view(
    source: &Source<'_>,
    service: ObjectName,
    agent: Agent,
    wanted: Option<Explanation>,
) -> Result<View> {
    let problems = source.status()?.map(|status| status.problems).unwrap_or_default();
    let knows = matches!(agent, Agent::Answered | Agent::Unknown);
    let ports = compare::ports(&service, wanted.as_ref(), knows, &source.tables);
    Ok(View {
        differences: ports.iter().map(PortView::differences).sum(),
        ports,
        skipped: wanted.as_ref().and_then(|wanted| wanted.skipped.clone()),
        unusable: wanted.map(|wanted| wanted.unusable).unwrap_or_default(),
        problems: problems.into_iter().filter(|one| is_about(&one.subject, &service)).collect(),
        service,
        agent,
    })
}

#[cfg(test)]
mod tests;
