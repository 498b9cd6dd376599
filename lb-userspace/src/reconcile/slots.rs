//! What stands in the slots of a set of backends: how new connections are spread.

use crate::compile::BackendKey;
use crate::model::Algorithm;
use lb_common::algo::maglev::{self, Permutation};

/// [`maglev::TABLE_LEN`] as slots are counted.
const TABLE_LEN: u32 = 1021;
const _: () = assert!(TABLE_LEN as usize == maglev::TABLE_LEN);

/// The slots of `backends`, given in order of their addresses, with their ids.
pub(super) fn of(backends: &[(BackendKey, u32)], algorithm: Algorithm) -> Vec<u32> {
    match algorithm {
        // A table with fewer cells than backends would leave some of them without a connection.
        Algorithm::Maglev if !backends.is_empty() && backends.len() <= maglev::TABLE_LEN => {
            table(backends)
        }
        Algorithm::Maglev | Algorithm::Random => backends.iter().map(|(_, id)| *id).collect(),
    }
}

/// Backends are named by address and port, so that every node builds the same table.
fn table(backends: &[(BackendKey, u32)]) -> Vec<u32> {
    let permutation = |(key, _): &(BackendKey, u32)| {
        Permutation::new(format!("{}:{}", key.addr, key.port).as_bytes(), TABLE_LEN)
    };
    let mut permutations: Vec<Permutation> = backends.iter().map(permutation).collect();
    let mut cells = vec![0; maglev::TABLE_LEN];
    maglev::fill(&mut cells, &mut permutations);
    let id = |index: u32| backends.get(index as usize).map(|(_, id)| *id);
    cells.into_iter().filter_map(id).collect()
}
