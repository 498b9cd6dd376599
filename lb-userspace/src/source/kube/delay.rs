//! How long to wait until the next try.
//!
//! Nobody at the address: looked for about once a second, which costs an API server nothing while
//! it is away, and finds it at once when it is back. A server that answers with an error is given
//! time, longer from try to try; not at first if it was away, because one that starts knows nobody's
//! rights for some seconds. All are spread at random, lest all nodes come at the same moment.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
/// While nobody answers.
const AWAY: Duration = Duration::from_secs(1);
/// While the server refuses.
const LONGEST: Duration = Duration::from_secs(30);
/// As often a server that was away is asked while it refuses as if it were still away: for about half
/// a minute.
const STARTING: u32 = 40;

/// The tries since something last went well.
#[derive(Debug, Default)]
pub(super) struct Delay {
    /// Nobody answered.
    away: u32,
    /// Somebody refused, since it was away last.
    refused: u32,
}

impl Delay {
    /// Something went well.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// How long to wait after a failure, `away` if nobody answered.
    pub(super) fn next(&mut self, away: bool) -> Duration {
        let random = RandomState::new().hash_one(self.refused);
        self.spread(away, random)
    }

    /// Between half of the delay and the whole, by a random number.
    fn spread(&mut self, away: bool, random: u64) -> Duration {
        let whole = self.whole(away);
        let parts = u32::try_from(random % u64::from(PARTS)).unwrap_or_default();
        whole / 2 + whole / 2 / PARTS * parts
    }

    fn whole(&mut self, away: bool) -> Duration {
        if away {
            let whole = AWAY.min(doubled(self.away));
            (self.away, self.refused) = (self.away.saturating_add(1), 0);
            return whole;
        }
        let starting = if self.away == 0 { 0 } else { STARTING };
        let tries = self.refused.checked_sub(starting);
        self.refused = self.refused.saturating_add(1);
        tries.map_or(AWAY, |tries| LONGEST.min(doubled(tries)))
    }
}

fn doubled(times: u32) -> Duration {
    FIRST.saturating_mul(1 << times.min(16))
}

const PARTS: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(away: bool) -> Vec<Duration> {
        let mut delay = Delay::default();
        (0..12).map(|_| delay.spread(away, 1023)).collect()
    }

    #[test]
    fn a_server_that_is_away_is_looked_for_every_second() {
        assert!(delays(true).into_iter().all(|delay| delay <= AWAY));
    }

    #[test]
    fn a_server_that_refuses_is_given_more_time_from_try_to_try() {
        let delays = delays(false);
        assert!(delays.is_sorted());
        assert!(delays[0] <= FIRST, "{delays:?}");
        assert!(delays[11] + AWAY > LONGEST && delays[11] <= LONGEST, "{delays:?}");
    }

    #[test]
    fn a_server_that_was_away_and_refuses_is_starting_and_asked_every_second_for_a_while() {
        let mut delay = Delay::default();
        for _ in 0..200 {
            delay.spread(true, 1023);
        }
        let starting = (0..STARTING).map(|_| delay.spread(false, 1023));
        assert!(starting.sum::<Duration>() > Duration::from_secs(30));
        let refusing: Vec<Duration> = (0..12).map(|_| delay.spread(false, 1023)).collect();
        assert!(refusing[0] <= AWAY && refusing[11] > LONGEST / 2, "{refusing:?}");
        delay.spread(true, 1023);
        assert!(delay.spread(false, 1023) <= AWAY, "it has been away again");
    }

    #[test]
    fn after_a_success_it_is_quick_again() {
        let mut delay = Delay::default();
        for _ in 0..10 {
            delay.next(false);
        }
        delay.reset();
        assert!(delay.next(false) <= FIRST);
    }

    #[test]
    fn nodes_come_at_different_moments() {
        let (early, late) = (Delay::default().spread(true, 0), Delay::default().spread(true, 1023));
        assert!(late > early + early / 2, "{early:?} {late:?}");
    }
}
