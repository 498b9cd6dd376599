//! Maglev look-up tables: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
//! Balancer", NSDI 2016, section 3.4.
//!
//! Every backend has its own permutation of the table's cells, made from two hashes of its name;
//! backends take turns in claiming their next free cell. Nodes that know the same backends build
//! the same table without talking, and a change of one backend moves few of the other cells.

/// A prime number of cells that keeps the shares of up to about 100 backends within a few percent.
pub const TABLE_LEN: usize = 1021;

/// A backend's permutation: where it begins, and its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    next: u32,
    skip: u32,
}

impl Permutation {
    /// The permutation of the backend called `name` over `len` cells; `len` is a prime above 1.
    pub fn new(name: &[u8], len: u32) -> Self {
        let hash = fnv(name);
        let second = hash.rotate_left(32).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 11;
        Self {
            next: (hash % u64::from(len)) as u32,
            skip: (second % u64::from(len - 1)) as u32 + 1,
        }
    }

    /// The cell this backend prefers next.
    fn step(&mut self, len: u32) -> usize {
        let cell = self.next;
        self.next = (u64::from(self.next) + u64::from(self.skip)).rem_euclid(u64::from(len)) as u32;
        cell as usize
    }
}

/// Fills `table` with indexes into `backends`; a prime length. No backend leaves it untouched.
pub fn fill(table: &mut [u32], backends: &mut [Permutation]) {
    const FREE: u32 = u32::MAX;
    if backends.is_empty() {
        return;
    }
    let len = table.len() as u32;
    table.fill(FREE);
    let mut free = table.len();
    loop {
        for (index, backend) in (0..).zip(backends.iter_mut()) {
            if free == 0 {
                return;
            }
            // A permutation visits every cell within `len` steps, and one of them is free.
            for _ in 0..len {
                if let Some(cell) = table.get_mut(backend.step(len)).filter(|cell| **cell == FREE) {
                    *cell = index;
                    free -= 1;
                    break;
                }
            }
        }
    }
}

/// FNV-1a, 64 bits, with a final mix: names differ in their last bytes mostly.
fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;
    use std::{format, vec};

    fn table(names: &[u32]) -> Vec<u32> {
        let mut backends: Vec<_> = names
            .iter()
            .map(|n| Permutation::new(format!("10.0.0.{n}:8080").as_bytes(), TABLE_LEN as u32))
            .collect();
        let mut table = vec![0; TABLE_LEN];
        fill(&mut table, &mut backends);
        table.iter().map(|i| names[*i as usize]).collect()
    }

    #[test]
    fn shares_are_even() {
        let names: Vec<u32> = (1..=10).collect();
        let table = table(&names);
        for n in names {
            let share = table.iter().filter(|x| **x == n).count();
            assert!((95..=110).contains(&share), "backend {n} has {share} of {TABLE_LEN} cells");
        }
    }

    #[test]
    fn order_of_backends_changes_few_cells() {
        let (a, b) = (table(&[1, 2, 3]), table(&[3, 1, 2]));
        let moved = a.iter().zip(&b).filter(|(x, y)| x != y).count();
        assert!(moved < TABLE_LEN / 10, "{moved} cells moved");
    }

    #[test]
    fn a_lost_backend_moves_few_cells_of_the_others() {
        let (a, b) = (table(&[1, 2, 3, 4, 5]), table(&[1, 2, 4, 5]));
        let moved = a.iter().zip(&b).filter(|(x, y)| **x != 3 && x != y).count();
        assert!(moved < TABLE_LEN / 10, "{moved} cells moved");
    }

    #[test]
    fn no_backend_leaves_the_table_alone() {
        let mut table = [7; 5];
        fill(&mut table, &mut []);
        assert_eq!(table, [7; 5]);
    }
}
