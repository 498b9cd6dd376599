//! Flows of another proxy in `CONNTRACK`. Programs write there too, at the same time.

use super::Raw;
use super::maps::{Maps, gone};
use anyhow::{Context as _, Result};
use aya::maps::MapError;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::FlowKey;
use lb_common::layout::conntrack::FlowValue;
use std::io::ErrorKind;

/// Only if there is no entry (`BPF_NOEXIST`).
const NO_EXIST: u64 = 1;
/// Only in place of an entry (`BPF_EXIST`).
const EXIST: u64 = 2;

impl Maps {
    /// Leaves a half of a flow to another proxy, or leaves it once more: the kernel forgets what was
    /// not used for long. False: the half is ours.
    ///
    /// A half of ours stays. It was opened later: as long as connections of the other proxy are
    /// not all known, programs open a flow for nothing but a SYN, with which a client gives up
    /// whatever it had at the same ports.
    ///
    /// # Errors
    /// The kernel refused a read or the write.
    pub fn leave_alone(&mut self, key: FlowKey, value: FlowValue) -> Result<bool> {
        let known = self.flow(&key)?;
        let (value, flags) = match known {
            None => (value, NO_EXIST),
            // A program may put a flow of ours in its place at any moment.
            Some(known) if known.is_foreign() && known.progress.is_closed() => return Ok(true),
            Some(known) if known.is_foreign() => {
                let progress = Progress(known.progress.0 | value.progress.0);
                (FlowValue { progress, ..known }, EXIST)
            }
            Some(_) => return Ok(false),
        };
        match self.conntrack.insert(Raw(key), Raw(value), flags) {
            Ok(()) => Ok(true),
            // Somebody was faster; the next look sees it.
            Err(error) if is(&error, ErrorKind::AlreadyExists) => Ok(false),
            Err(error) if is(&error, ErrorKind::NotFound) => Ok(false),
            Err(error) => Err(error).context("writing map CONNTRACK"),
        }
    }

    /// Forgets a half of a flow that another proxy had; one of ours stays.
    ///
    /// # Errors
    /// The kernel refused a read or the write.
    pub fn forget_foreign(&mut self, key: &FlowKey) -> Result<()> {
        if self.flow(key)?.is_some_and(|value| value.is_foreign()) {
            gone(self.conntrack.remove(&Raw(*key))).context("writing map CONNTRACK")?;
        }
        Ok(())
    }
}

fn is(error: &MapError, kind: ErrorKind) -> bool {
    matches!(error, MapError::SyscallError(error) if error.io_error.kind() == kind)
}
