//! What people type. One folder per program, one file per verb.

/// The command line that looks at a node's datapath.
pub mod lbctl;
