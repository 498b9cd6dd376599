//! `status.json`: whatever it says, it is read or refused; and what was read is what would be
//! written.

use crate::source;
use lb_userspace::model::status::Status;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

thread_local! {
    static STATE: TempDir = source::state_dir();
}

/// Reads a state folder whose status is these bytes.
pub fn run(bytes: &[u8]) {
    STATE.with(|state| read(state.path(), bytes));
}

fn read(state: &Path, bytes: &[u8]) {
    fs::write(Status::path(state), bytes).unwrap();
    let Ok(status) = Status::read(state) else { return };
    let status = status.unwrap();
    status.write(state).unwrap();
    assert_eq!(Status::read(state).unwrap(), Some(status), "written and read again");
}
