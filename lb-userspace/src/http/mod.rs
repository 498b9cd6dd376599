//! The smallest HTTP server that may stand open to strangers.
//!
//! A connection is one question: it is answered, closed, and over after ten seconds at the latest;
//! what comes behind its head is not read. The newest clients are served: beyond the number that
//! [`Clients`] allows the oldest one is dropped, so whoever opens connections without end keeps
//! nobody else from being answered. What is answered is the business of whoever opens a
//! [`Listener`].

/// One socket that is listened at, and its clients.
mod listener;

pub(crate) use listener::accept;
pub use listener::{Clients, Listener, Port};
