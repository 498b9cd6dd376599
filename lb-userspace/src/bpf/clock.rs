//! The kernel's jiffies: programs note times in them, because no other clock costs a nanosecond.

use super::loader::{self, Capacities, Constants};
use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use lb_common::layout::node::Clock;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// `CLOCK_MONOTONIC` in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Measures how fast jiffies pass, by a small program that tells them. Takes 60 ms.
///
/// # Errors
/// The kernel refused the program.
pub fn measure() -> Result<Clock> {
    let tiny = Capacities { conntrack: 16, frontends: 1, slots: 1, backends: 1, services: 1 };
    let constants = Constants { hz: 1, hash_seed: 0, netns_cookie: 0, watched: false };
    let mut ebpf = loader::load(&constants, &tiny, None)?;
    loader::into_kernel(&mut ebpf, loader::JIFFIES)?;
    let start = read(&mut ebpf)?;
    std::thread::sleep(Duration::from_millis(60));
    let end = read(&mut ebpf)?;
    let ticks = u64::from(low_half(end.jiffies).wrapping_sub(low_half(start.jiffies)));
    let elapsed_ns = end.monotonic_ns - start.monotonic_ns;
    Ok(Clock { hz: nearest_hz(ticks * 1_000_000_000 / elapsed_ns.max(1)), ..end })
}

fn read(ebpf: &mut Ebpf) -> Result<Clock> {
    let program = ebpf.program_mut(loader::JIFFIES).context("no clock program in the object")?;
    let program: &mut Xdp = program.try_into()?;
    let options = TestRunOptions { data_in: Some(&[0; 64]), ..TestRunOptions::new() };
    let result = program.test_run(options).context("reading the kernel's jiffies")?;
    Ok(Clock { jiffies: u64::from(result.return_value), monotonic_ns: monotonic_ns(), hz: 0 })
}

/// What programs note of a time.
#[expect(clippy::cast_possible_truncation, reason = "jiffies wrap, differences count")]
fn low_half(jiffies: u64) -> u32 {
    jiffies as u32
}

/// The value of `CONFIG_HZ` (kernel/Kconfig.hz) that is nearest to a measured rate.
fn nearest_hz(measured: u64) -> u64 {
    [100, 250, 300, 1000].into_iter().min_by_key(|hz| measured.abs_diff(*hz)).unwrap_or(250)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_rates_are_rounded_to_what_kernels_can_have() {
        for (measured, hz) in [(90, 100), (116, 100), (233, 250), (283, 300), (966, 1000), (0, 100)]
        {
            assert_eq!(nearest_hz(measured), hz, "{measured}");
        }
    }

    #[test]
    fn jiffies_pass_at_the_measured_rate() {
        let clock = measure().unwrap();
        let seen = low_half(clock.jiffies);
        assert_eq!(clock.seconds_since(seen, clock.monotonic_ns), 0);
        assert_eq!(clock.seconds_since(seen, clock.monotonic_ns + 5_000_000_000), 5);
    }
}
