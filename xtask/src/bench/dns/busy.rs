//! How long a process was on a processor.

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};
use std::fs;

/// Where user time stands in `/proc/PID/stat` behind the program's name, system time after it
/// (proc(5)).
const USER_TIME: usize = 11;

/// Seconds since it began, all threads together.
pub(super) fn seconds(pid: i32) -> Result<f64> {
    let file = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let ticks = ticks(&stat).with_context(|| format!("there are no times in {file}"))?;
    let second = sysconf(SysconfVar::CLK_TCK).context("asking for the clock")?;
    let second = second.and_then(|ticks| u32::try_from(ticks).ok());
    Ok(f64::from(ticks) / f64::from(second.context("the clock has no rate")?))
}

/// The name is in brackets and may hold anything, brackets too.
fn ticks(stat: &str) -> Option<u32> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut times = behind.split_whitespace().skip(USER_TIME).map(str::parse::<u32>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_the_name_whatever_it_is() {
        let stat = "42 (a) 1 (b) S 1 42 42 0 -1 4194560 1 2 3 4 1500 25 7 8 20 0 3 0 99 1 2";
        assert_eq!(ticks(stat), Some(1525));
        assert_eq!(ticks("42 (cut) S 1 42"), None);
    }

    #[test]
    fn this_process_has_a_time() {
        assert!(seconds(std::process::id().cast_signed()).unwrap() >= 0.0);
    }
}
