//! Endpoints that were written by hand, and what probes found of their addresses.

use crate::model::{Endpoint, ObjectName};
use crate::source::document::Kind;
use crate::source::readiness::Readiness;

/// Takes out what its probe takes out. What is written as not ready stays so: a person says it.
pub(super) fn apply(
    endpoints: &mut [Endpoint],
    kind: Kind,
    object: &ObjectName,
    readiness: &Readiness,
) {
    for endpoint in endpoints {
        if let Some(reason) = readiness.listed(kind, object, endpoint.address).reason() {
            endpoint.ready = false;
            endpoint.serving = false;
            endpoint.unready = Some(reason);
        }
    }
}
