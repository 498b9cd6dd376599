//! Clients that wait for upstreams: so many in all, and so many of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many may wait at a time.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    most: usize,
    most_each: usize,
    present: Arc<Mutex<Present>>,
}

#[derive(Debug, Default)]
struct Present {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// A place among those who wait, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    waiting: Waiting,
    client: IpAddr,
}

impl Waiting {
    /// Room for `most`, and for `most_each` of one address.
    pub(super) fn at_most(most: usize, most_each: usize) -> Self {
        Self { most, most_each, present: Arc::default() }
    }

    /// A place for a client; `None`: too many wait.
    pub(super) fn enter(&self, client: IpAddr) -> Option<Place> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let own = present.each.get(&client).copied().unwrap_or_default();
        if present.all >= self.most || own >= self.most_each {
            return None;
        }
        present.all += 1;
        present.each.insert(client, own + 1);
        Some(Place { waiting: self.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.waiting.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.all = present.all.saturating_sub(1);
        match present.each.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            // Addresses come and go: nothing is kept of those that do not wait.
            _ => drop(present.each.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others() {
        let waiting = Waiting::at_most(3, 2);
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|client| client.parse().unwrap());
        let mut places = vec![waiting.enter(a).unwrap(), waiting.enter(a).unwrap()];
        assert!(waiting.enter(a).is_none());
        places.push(waiting.enter(b).unwrap());
        assert!(waiting.enter(b).is_none(), "it is full");
        places.clear();
        assert_eq!(waiting.present.lock().unwrap().each.len(), 0);
        assert!(waiting.enter(a).is_some());
    }
}
