//! `lb-agent run --shadow`: what would be done here, beside what kube-proxy has done.
//!
//! Follows objects and links like the agent, and plans like it; but there is no kernel behind the
//! plans: nothing is loaded, attached or pinned. What is planned is compared with kube-proxy's
//! rules once a second.

use super::links::Links;
use super::objects::Objects;
use super::{Input, Inputs, node_name, source};
use crate::compile::{self, NodeView};
use crate::config::{Form, RunArgs};
use crate::reconcile::{Planner, Tables, ids};
use crate::shadow::settling::Settling;
use crate::shadow::{Difference, Leads, Proxy, differences, ours};
use anyhow::{Context as _, Result, bail};
use comfy_table::{Table, presets};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How often it is compared.
const PAUSE: Duration = Duration::from_secs(1);

/// Compares until it is told to end, or once. True: no difference lasted.
///
/// # Errors
/// A source failed for good, kube-proxy's rules cannot be read, nobody reads what is printed.
pub async fn run(args: &RunArgs, out: &mut dyn Write) -> Result<bool> {
    let node = node_name(args.node.as_deref())?;
    let mut shadow = Shadow::new(args, &node)?;
    let mut inputs = Inputs::start(source(args, node).await?, None);
    shadow.follow(&mut inputs, out).await
}

/// What is known, and what was said about it.
struct Shadow<'a> {
    args: &'a RunArgs,
    objects: Objects,
    links: Links,
    view: NodeView,
    planner: Planner,
    settling: Settling,
    /// The differences that were printed last; `None`: none were ever.
    told: Option<BTreeSet<Difference>>,
}

/// What is printed for programs.
#[derive(Serialize)]
struct Report<'a> {
    /// The mode of kube-proxy; null: it has programmed nothing.
    proxy: Option<&'static str>,
    /// How many frontends we would have.
    frontends: usize,
    differences: &'a BTreeSet<Difference>,
}

impl<'a> Shadow<'a> {
    fn new(args: &'a RunArgs, node: &str) -> Result<Self> {
        Ok(Self {
            args,
            objects: Objects::new(node),
            links: Links::new(args)?,
            view: NodeView::default(),
            planner: Planner::adopt(Tables::default(), ids::Limits::default()),
            settling: Settling::default(),
            told: None,
        })
    }

    async fn follow(&mut self, inputs: &mut Inputs, out: &mut dyn Write) -> Result<bool> {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let mut tick = tokio::time::interval(PAUSE);
        loop {
            tokio::select! {
                input = inputs.next() => match input? {
                    Input::Changes(changes) => for change in changes {
                        self.objects.take_in(change);
                    },
                    Input::Links(links) => self.links.set(links),
                },
                _ = tick.tick() => if let Some(alike) = self.look(out).await? {
                    return Ok(alike);
                },
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        let lasting = self.settling.settled(Instant::now());
        if self.objects.are_known() && self.links.are_known() {
            let theirs = theirs().await?;
            self.print(theirs.as_ref().map(|(proxy, _)| *proxy), &lasting, out)?;
        }
        Ok(lasting.is_empty())
    }

    /// Compares, and prints what changed. With `--once`, the verdict when it is certain.
    async fn look(&mut self, out: &mut dyn Write) -> Result<Option<bool>> {
        if !self.objects.are_known() || !self.links.are_known() {
            return Ok(None);
        }
        let theirs = theirs().await?;
        if theirs.is_none() && self.args.shadow.once {
            bail!(
                "kube-proxy has programmed nothing here: there is no table kube-proxy in nft, and \
                 no chain KUBE-SERVICES in iptables-save"
            );
        }
        let (proxy, leads) =
            theirs.map_or((None, Leads::new()), |(proxy, leads)| (Some(proxy), leads));
        let now = Instant::now();
        let wanted = self.wanted();
        self.settling.note(differences(&wanted, &leads), now);
        let lasting = self.settling.settled(now);
        let certain = lasting.len() == self.settling.count();
        if certain && self.told.as_ref() != Some(&lasting) {
            self.print(proxy, &lasting, out)?;
        }
        Ok((self.args.shadow.once && certain).then_some(lasting.is_empty()))
    }

    /// Where frontends would lead.
    fn wanted(&mut self) -> Leads {
        let view = self.links.view(self.args, self.objects.node());
        if view != self.view {
            self.view = view;
            self.objects.look_at_all();
        }
        self.planner.update_node(&self.links.tables());
        for name in self.objects.take_changed() {
            let (service, slices) = self.objects.service(&name);
            let plan = service.map(|service| compile::plan(service, slices, &self.view));
            self.planner.update(&name, plan.as_ref());
        }
        ours(self.planner.actual())
    }

    fn print(
        &mut self,
        proxy: Option<Proxy>,
        differences: &BTreeSet<Difference>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let frontends = self.planner.actual().frontends.len();
        let proxy = proxy.map(Proxy::name);
        let text = match self.args.shadow.output {
            Form::Json => serde_json::to_string(&Report { proxy, frontends, differences })?,
            Form::Table => text(proxy, frontends, differences),
        };
        writeln!(out, "{text}").and_then(|()| out.flush()).context("printing the differences")?;
        self.told = Some(differences.clone());
        Ok(())
    }
}

/// What kube-proxy has programmed.
async fn theirs() -> Result<Option<(Proxy, Leads)>> {
    tokio::task::spawn_blocking(Proxy::leads).await?.context("reading kube-proxy's rules")
}

fn text(proxy: Option<&str>, frontends: usize, differences: &BTreeSet<Difference>) -> String {
    let proxy = proxy.map_or("kube-proxy has programmed nothing".to_owned(), |mode| {
        format!("kube-proxy runs in {mode} mode")
    });
    if differences.is_empty() {
        return format!("{frontends} frontends, no difference; {proxy}");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty().set_header([
        "FRONTEND",
        "OURS",
        "KUBE-PROXY",
    ]);
    for one in differences {
        let side = |lead: &Option<_>| {
            lead.as_ref().map_or("<none>".to_owned(), crate::shadow::Lead::to_string)
        };
        table.add_row([one.frontend.to_string(), side(&one.ours), side(&one.theirs)]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let differ = if differences.len() == 1 { "differs" } else { "differ" };
    let head = format!("{frontends} frontends, {} {differ}; {proxy}", differences.len());
    format!("{head}\n{}", table.trim_fmt())
}
