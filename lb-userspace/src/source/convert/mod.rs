//! One Kubernetes object to one model value: every field checked, every default applied.
//!
//! A field that cannot be used is dropped alone and named in the `Report`, the rest of the object
//! goes on; this is where the API server would have refused the whole. What an absent field means
//! is the API's defaulting (`pkg/apis/core/v1/defaults.go`);
//! docs/services.md has the rest.
//! Nothing here knows where the object came from: a file or the API.

mod address;
mod endpoint_slice;
pub(crate) mod field;
mod node;
mod port;
mod service;

pub use endpoint_slice::endpoint_slice;
pub use node::node;
pub use service::service;
