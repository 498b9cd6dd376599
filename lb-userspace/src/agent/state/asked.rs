//! What the state says when it is asked; nothing changes.

use super::State;
use crate::agent::socket::{Answer, Question};
use crate::compile;
use crate::environment;
use crate::metrics::Condition;
use crate::model::ObjectName;

impl State {
    /// Answers a question about what is wanted.
    pub(in crate::agent) fn answer(&self, question: &Question) -> Answer {
        if !self.started {
            return Answer::Starting;
        }
        match question {
            Question::Explain(name) => self.explain(name),
            Question::Environment(name) => {
                let service = self.objects.service(name).0;
                service.map_or(Answer::Unknown, |service| {
                    Answer::Environment(environment::of_service(service))
                })
            }
            Question::EnvironmentIn(namespace) => {
                let services = self.objects.services();
                Answer::Environment(environment::of_namespace(namespace, services))
            }
        }
    }

    fn explain(&self, name: &ObjectName) -> Answer {
        let (Some(service), slices) = self.objects.service(name) else { return Answer::Unknown };
        let mut explanation = compile::explanation(service, slices, &self.view);
        self.planner.complete(&mut explanation);
        Answer::Explanation(Box::new(explanation))
    }

    /// How the agent stands now.
    pub(in crate::agent) fn condition(&self) -> Condition {
        let tables = self.planner.actual();
        let problems = if self.started {
            self.teller.status.problems.as_slice()
        } else {
            self.objects.problems()
        };
        Condition {
            obstacle: self.obstacle(),
            synced: self.objects.are_known(),
            watched: self.measures.watched().clone(),
            problems: problems.len(),
            foreign_connections: self.takeover.left(),
            entries: tables.entries().into(),
            without_local_endpoints: tables.without_local_endpoints(),
        }
    }

    /// Why the agent is not ready, as a sentence.
    fn obstacle(&self) -> Option<String> {
        if !self.objects.are_known() {
            let why = self.objects.problems().first();
            let why = why.map(|problem| format!(": {problem}")).unwrap_or_default();
            let source = &self.teller.status.source;
            return Some(format!("not every object of {source} has been read yet{why}"));
        }
        if let Some(failure) = self.failures.first() {
            return Some(format!("{failure}; it is tried again"));
        }
        if !self.links.are_known() {
            return Some("the node's links are not known yet".to_owned());
        }
        (!self.started).then(|| "the maps are not written yet".to_owned())
    }
}
