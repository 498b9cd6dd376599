//! A v1 Node to the model: name, labels and pod networks.

use crate::model::Node;
use crate::source::convert::field;
use crate::source::report::Report;
use ipnet::IpNet;
use k8s_openapi::api::core::v1 as api;

/// What the cluster autoscaler puts on a node that it is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// The Node that `object` describes; `None` if it has no usable name.
pub fn node(object: &api::Node, report: &mut Report) -> Option<Node> {
    let name = field::name(&object.metadata, report)?;
    let labels = object.metadata.labels.clone().unwrap_or_default();
    Some(Node { name, labels, pod_cidrs: pod_cidrs(object, report), eligible: is_eligible(object) })
}

fn is_eligible(object: &api::Node) -> bool {
    let taints = object.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    object.metadata.deletion_timestamp.is_none()
        && taints.into_iter().all(|taint| taint.key != TO_BE_DELETED)
}

/// `spec.podCIDRs`, or the older `spec.podCIDR`.
fn pod_cidrs(object: &api::Node, report: &mut Report) -> Vec<IpNet> {
    let Some(spec) = &object.spec else {
        return Vec::new();
    };
    let many = spec.pod_cidrs.iter().flatten().enumerate();
    let mut list: Vec<_> =
        many.map(|(index, text)| (format!("spec.podCIDRs[{index}]"), text)).collect();
    if list.is_empty() {
        list.extend(spec.pod_cidr.iter().map(|text| ("spec.podCIDR".to_owned(), text)));
    }
    list.into_iter().filter_map(|(path, text)| field::network(text, &path, report)).collect()
}
