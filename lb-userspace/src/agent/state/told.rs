//! What the agent says unasked: to whoever waits for it, to load balancers, in its status.

use super::State;
use crate::agent::tell::Health;
use crate::compile::health::listen_addrs;
use crate::model::Problem;
use std::io::Write as _;

impl State {
    pub(super) fn announce(&self) {
        let tables = self.planner.actual();
        let backends = tables.backends.values().filter(|backend| backend.service != 0).count();
        let counts = (tables.services.len(), tables.frontends.len(), backends);
        tracing::info!(
            service_ports = counts.0,
            frontends = counts.1,
            backends = counts.2,
            "ready"
        );
        // For whoever waits for it: a supervisor, a test. Nobody may be reading.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(
            out,
            "ready: {} service ports, {} frontends, {} backends",
            counts.0, counts.1, counts.2
        );
        let _ = out.flush();
    }

    /// Tells load balancers what holds now: the tables have been written.
    pub(super) fn settle_health(&mut self) {
        let addrs = self.links.addrs().into_iter();
        self.teller.health(Health {
            healthy: !self.has_failed(),
            node_eligible: self.objects.node().eligible,
            addrs: listen_addrs(addrs, &self.links.node_port_ranges()),
            checks: &self.checks,
        });
    }

    /// Tells people what holds now.
    pub(super) fn tell(&mut self) {
        let failure = |message: &String| Problem {
            subject: "kernel".to_owned(),
            field: String::new(),
            message: format!("{message}; it is tried again"),
        };
        let unheard = self.dns_problems();
        let mut planned = self.planner.problems();
        planned.extend_from_slice(self.teller.problems());
        let status = &mut self.teller.status;
        for problem in planned.iter().filter(|problem| !status.problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        // These were told when they happened.
        let failures = self.failures.iter().chain(self.takeover.failure()).map(failure);
        let told = self.web.problems().iter().cloned().chain(unheard).chain(failures);
        let written = self.settings_problem.iter().chain(self.objects.problems()).cloned();
        status.problems = written.chain(planned).chain(told).collect();
        status.synced = self.started && self.failures.is_empty();
        let objects = &self.objects;
        self.teller.status(|name| Some(objects.service(name).0?.uid.clone()));
    }
}
