//! `HEARTBEATS`, by a descriptor of its own: whoever proves that the name server answers does not
//! wait for the agent's loop.

use super::clock;
use super::pin::PinFolder;
use anyhow::{Context as _, Result};
use aya::maps::{Array, Map, MapData};
use lb_common::layout::{heartbeat, name};
use std::net::IpAddr;

/// When the name server answered last.
pub struct Heartbeats(Array<MapData, u64>);

impl Heartbeats {
    /// Those of the datapath that is pinned in `pins`.
    ///
    /// # Errors
    /// Nothing is pinned there, or it may not be read.
    pub fn open(pins: &PinFolder) -> Result<Self> {
        let open = || -> Result<_> {
            let data = MapData::from_pin(pins.maps().join(name::HEARTBEATS))?;
            Ok(Array::try_from(Map::from_map_data(data)?)?)
        };
        open().map(Self).with_context(|| format!("opening map {}", name::HEARTBEATS))
    }

    /// The name server at this address has just answered.
    ///
    /// # Errors
    /// The kernel refused the write.
    pub fn beat(&mut self, addr: IpAddr) -> Result<()> {
        let index = if addr.is_ipv4() { heartbeat::V4 } else { heartbeat::V6 };
        self.set(index, clock::monotonic_ns())
    }

    /// No name server answers any more.
    ///
    /// # Errors
    /// The kernel refused a write.
    pub fn stop(&mut self) -> Result<()> {
        (0..heartbeat::COUNT).try_for_each(|index| self.set(index, 0))
    }

    fn set(&mut self, index: u32, beat_ns: u64) -> Result<()> {
        self.0.set(index, beat_ns, 0).context("writing map HEARTBEATS")
    }
}
