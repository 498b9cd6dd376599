//! What programs remember of clients: `CONNTRACK`, `AFFINITY`, `SOCKETS`. They write there at any
//! moment, and the kernel evicts what was not used for long.

use super::Raw;
use super::maps::{Maps, gone};
use anyhow::{Context as _, Result};
use aya::maps::MapError;
use lb_common::flow::FlowKey;
use lb_common::layout::affinity::{AffinityKey, AffinityValue};
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::socket::{SocketKey, SocketValue};

impl Maps {
    /// `CONNTRACK`. Entries come and go meanwhile.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn flows(&self) -> Result<Vec<(FlowKey, FlowValue)>> {
        entries_that_stay(self.conntrack.iter())
    }

    /// `AFFINITY`. Entries come and go meanwhile.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn affinities(&self) -> Result<Vec<(AffinityKey, AffinityValue)>> {
        entries_that_stay(self.affinity.iter())
    }

    /// `SOCKETS`. Entries come and go meanwhile.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn sockets(&self) -> Result<Vec<(SocketKey, SocketValue)>> {
        entries_that_stay(self.sockets.iter())
    }

    /// An entry of `SOCKETS`.
    ///
    /// # Errors
    /// The kernel refused the read.
    pub fn socket(&self, key: &SocketKey) -> Result<Option<SocketValue>> {
        found(self.sockets.get(&Raw(*key), 0)).context("reading map SOCKETS")
    }

    /// The half of a flow that is stored under `key`.
    ///
    /// # Errors
    /// The kernel refused the read.
    pub fn flow(&self, key: &FlowKey) -> Result<Option<FlowValue>> {
        found(self.conntrack.get(&Raw(*key), 0)).context("reading map CONNTRACK")
    }

    /// The backend that a client had last.
    ///
    /// # Errors
    /// The kernel refused the read.
    pub fn remembered(&self, key: &AffinityKey) -> Result<Option<AffinityValue>> {
        found(self.affinity.get(&Raw(*key), 0)).context("reading map AFFINITY")
    }

    /// Stores a flow half, as the programs do. For tests and moves between layouts.
    ///
    /// # Errors
    /// The kernel refused the write.
    pub fn put_flow(&mut self, key: FlowKey, value: FlowValue) -> Result<()> {
        self.conntrack.insert(Raw(key), Raw(value), 0).context("writing map CONNTRACK")
    }

    /// Takes a flow half away, as an eviction does. For tests.
    ///
    /// # Errors
    /// The kernel refused the write.
    pub fn remove_flow(&mut self, key: &FlowKey) -> Result<()> {
        gone(self.conntrack.remove(&Raw(*key))).context("writing map CONNTRACK")
    }

    /// Remembers the backend of a client, as the programs do. For tests and moves between layouts.
    ///
    /// # Errors
    /// The kernel refused the write.
    pub fn put_affinity(&mut self, key: AffinityKey, value: AffinityValue) -> Result<()> {
        self.affinity.insert(Raw(key), Raw(value), 0).context("writing map AFFINITY")
    }

    /// Forgets the backend of a client, as an eviction does. For tests.
    ///
    /// # Errors
    /// The kernel refused the write.
    pub fn remove_affinity(&mut self, key: &AffinityKey) -> Result<()> {
        gone(self.affinity.remove(&Raw(*key))).context("writing map AFFINITY")
    }

    /// Forgets every flow, affinity and socket.
    ///
    /// # Errors
    /// The kernel refused a read or a write.
    pub fn forget_clients(&mut self) -> Result<()> {
        self.flows()?.iter().try_for_each(|(key, _)| self.remove_flow(key))?;
        self.affinities()?.iter().try_for_each(|(key, _)| self.remove_affinity(key))?;
        self.take_sockets().map(drop)
    }

    /// Takes all entries out of `SOCKETS`.
    ///
    /// # Errors
    /// The kernel refused a read or a write.
    pub fn take_sockets(&mut self) -> Result<Vec<(SocketKey, SocketValue)>> {
        let taken = self.sockets()?;
        for (key, _) in &taken {
            gone(self.sockets.remove(&Raw(*key))).context("writing map SOCKETS")?;
        }
        Ok(taken)
    }
}

/// The value of an entry that may not be there.
fn found<V>(result: Result<Raw<V>, MapError>) -> Result<Option<V>> {
    match result {
        Ok(Raw(value)) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Entries of a map that the kernel evicts from: one that is gone when its value is read, is not
/// listed.
fn entries_that_stay<K: Copy, V: Copy>(
    iter: impl Iterator<Item = Result<(Raw<K>, Raw<V>), MapError>>,
) -> Result<Vec<(K, V)>> {
    let mut all = Vec::new();
    for item in iter {
        match item {
            Ok((Raw(key), Raw(value))) => all.push((key, value)),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}
