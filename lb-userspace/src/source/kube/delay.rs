//! How long to wait until the next try.
//!
//! Nobody at the address: looked for about once a second, which costs an API server nothing while
//! it is away, and finds it at once when it is back. A server that answers with an error is given
//! time, longer from try to try. Both are spread at random, lest all nodes come at the same moment.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
/// While nobody answers.
const AWAY: Duration = Duration::from_secs(1);
/// While the server refuses.
const LONGEST: Duration = Duration::from_secs(30);

/// The tries since something last went well.
#[derive(Debug, Default)]
pub(super) struct Delay {
    tries: u32,
}

impl Delay {
    /// Something went well.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// How long to wait after a failure, `away` if nobody answered.
    pub(super) fn next(&mut self, away: bool) -> Duration {
        let random = RandomState::new().hash_one(self.tries);
        self.spread(away, random)
    }

    /// Between half of the delay and the whole, by a random number.
    fn spread(&mut self, away: bool, random: u64) -> Duration {
        let longest = if away { AWAY } else { LONGEST };
        let whole = longest.min(FIRST.saturating_mul(1 << self.tries.min(16)));
        self.tries = self.tries.saturating_add(1);
        let parts = u32::try_from(random % u64::from(PARTS)).unwrap_or_default();
        whole / 2 + whole / 2 / PARTS * parts
    }
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
