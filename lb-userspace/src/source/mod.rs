//! Objects to model: a folder of manifests becomes the values that every later stage reads.
//!
//! The way of an object: `manifests` finds its file, `document` reads it, `controllers` add what a
//! control plane would have added (addresses, node ports, endpoints), `convert` checks every field
//! and applies Kubernetes' defaults. The neighbour downstream is `model`; nothing here knows
//! routes, maps or packets. An object that is wrong becomes a `Problem` and harms no other.

/// What a source finds wrong while it reads one object.
pub mod report;
/// What the operator decided.
pub mod settings;

/// Text to Kubernetes objects.
mod document;

/// One Kubernetes object to one model value.
pub mod convert;

/// Objects as a watch delivers them.
mod delivered;

/// What the control plane would do where there is none.
pub mod controllers;

/// A folder, followed live.
pub mod manifests;

pub use delivered::{Delivered, delivered};
pub use manifests::Manifests;
pub use report::Report;
pub use settings::Settings;

#[cfg(test)]
mod tests;
