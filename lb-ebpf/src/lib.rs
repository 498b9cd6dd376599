//! Empty: lets the user half name this crate as a build dependency, so that cargo rebuilds the
//! programs (`src/main.rs`) when they change.
#![no_std]
