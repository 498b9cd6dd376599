//! Everything a person types: `cargo xtask setup`, `build`, `run`, `demo`, `bench`, `tidy`, `test`
//! and their like.
//!
//! One file per task, each an `Options` and a `run`. The crate is also a library, so that tests of
//! other things build their networks with [`lab`]. It never depends on the crates that it builds:
//! it must start on a machine that cannot build them yet.

/// Where the source, the tools and the built programs are.
pub mod workspace;
/// What is going on, one line a step.
pub mod step;
/// How a task becomes root.
pub mod root;
/// The compilers and tools, pinned.
pub mod toolchain;
/// `cargo xtask setup`.
pub mod setup;
/// `cargo xtask build`.
pub mod build;
/// `cargo xtask run`.
pub mod run;
/// Networks of namespaces.
pub mod lab;
/// `cargo xtask demo`.
pub mod demo;
/// `cargo xtask bench`.
pub mod bench;
/// `cargo xtask fuzz`.
pub mod fuzz;
/// `cargo xtask deploy`.
pub mod deploy;
/// `cargo xtask e2e`.
pub mod e2e;
/// `cargo xtask tidy`.
pub mod tidy;
/// `cargo xtask test`.
pub mod test;
