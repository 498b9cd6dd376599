//! Objects as a watch delivers them: JSON to changes of the model, one by one.
//!
//! No control plane is imitated: what is absent stays absent. Only Services, `EndpointSlices` and
//! its own Node are delivered to a proxy; anything else is refused by name.

use crate::model::{Change, Problem};
use crate::source::convert;
use crate::source::document::{self, Document, Key, Object, Read};
use crate::source::report::{Report, quoted};
use serde_json::Value;

/// What an object says.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The object as the model has it; `None` in it: it is nothing for this proxy.
    pub change: Change,
    /// What is odd about it.
    pub problems: Vec<Problem>,
}

/// The objects in `value`: itself, or the items of a list.
///
/// # Errors
/// One of them is of another kind or version, or is no object at all. The problem's `field` is the
/// path within the object.
pub fn delivered(value: &Value) -> Result<Vec<Delivered>, Problem> {
    let documents = document::objects("", value.clone());
    if documents.is_empty() && value.get("items").is_none() {
        return Err(refused(value));
    }
    documents.into_iter().map(one).collect()
}

/// `value` is not what a proxy watches.
fn refused(value: &Value) -> Problem {
    let text = |name| quoted(value.get(name).and_then(Value::as_str).unwrap_or_default());
    let (kind, version) = (text("kind"), text("apiVersion"));
    problem(format!(
        "is kind {kind} of {version}, expected a v1 Service, a v1 Node or a discovery.k8s.io/v1 \
         EndpointSlice"
    ))
}

fn problem(message: String) -> Problem {
    Problem { subject: String::new(), field: String::new(), message }
}

fn one(document: Document) -> Result<Delivered, Problem> {
    let Read { key, object, mut problems, .. } = match document {
        Document::Read(read) => read,
        Document::Broken { problem, .. } => return Err(problem),
    };
    let subject = key.to_string();
    for problem in &mut problems {
        problem.subject.clone_from(&subject);
    }
    let mut report = Report::new(&subject);
    let change = change(key, &object, &mut report)?;
    problems.extend(report.into_problems());
    Ok(Delivered { change, problems })
}

fn change(key: Key, object: &Object, report: &mut Report) -> Result<Change, Problem> {
    match object {
        Object::Service(service) => {
            Ok(Change::Service(key.name, convert::service(service, report).map(Box::new)))
        }
        Object::EndpointSlice(slice) => {
            Ok(Change::Slice(key.name, convert::endpoint_slice(slice, report)))
        }
        Object::Node(node) => convert::node(node, report)
            .map(Change::Node)
            .ok_or_else(|| problem(format!("{key} has no name that can be used"))),
        Object::Endpoints(_) | Object::Pod(_) | Object::Ingress(_) => Err(problem(format!(
            "{key} is nothing that a proxy watches, expected a Service, an EndpointSlice or a Node"
        ))),
    }
}
