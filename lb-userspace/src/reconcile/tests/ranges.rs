//! The allocator of slots.

use crate::reconcile::ranges::Ranges;
use proptest::prelude::*;

#[test]
fn a_block_is_aligned_to_its_size() {
    let mut ranges = Ranges::new(64);
    let bases: Vec<u32> = [3, 1, 5, 2].iter().map(|len| ranges.take(*len).unwrap()).collect();
    assert_eq!(bases, [0, 4, 8, 6]);
}

#[test]
fn space_that_came_back_in_pieces_is_whole_again() {
    let mut ranges = Ranges::new(64);
    let bases: Vec<u32> = (0..64).map(|_| ranges.take(1).unwrap()).collect();
    assert!(ranges.take(1).is_err());
    for base in bases {
        ranges.give_back(base, 1);
    }
    assert_eq!(ranges.take(64).unwrap(), 0);
}

#[test]
fn a_limit_that_is_no_power_of_two_is_used_to_the_last_slot() {
    let mut ranges = Ranges::new(7);
    assert_eq!([4, 2, 1].map(|len| ranges.take(len).unwrap()), [0, 4, 6]);
    assert!(ranges.take(1).is_err());
    assert!(Ranges::new(7).take(8).is_err());
}

#[test]
fn a_range_is_reserved_once_and_only_where_blocks_can_be() {
    let mut ranges = Ranges::new(16);
    assert!(ranges.reserve(4, 3));
    assert!(!ranges.reserve(4, 3), "it is taken");
    assert!(!ranges.reserve(0, 8), "a part of it is taken");
    assert!(!ranges.reserve(9, 2), "it is not aligned");
    assert!(!ranges.reserve(16, 1), "it is outside");
    assert_eq!([4, 8].map(|len| ranges.take(len).unwrap()), [0, 8]);
    assert!(ranges.take(1).is_err());
}

proptest! {
    #[test]
    fn ranges_in_use_never_overlap_and_nothing_is_lost(
        limit in 1..200_u32,
        steps in proptest::collection::vec((any::<bool>(), 1..20_u32), 1..100),
    ) {
        let mut ranges = Ranges::new(limit);
        let mut used: Vec<(u32, u32)> = Vec::new();
        for (take, number) in steps {
            if take || used.is_empty() {
                let Ok(base) = ranges.take(number) else { continue };
                prop_assert!(base + number <= limit);
                prop_assert!(used.iter().all(|(b, l)| base + number <= *b || base >= b + l));
                used.push((base, number));
            } else {
                let (base, len) = used.swap_remove(number as usize % used.len());
                ranges.give_back(base, len);
            }
        }
        let mut adopted = Ranges::new(limit);
        prop_assert!(used.iter().all(|(base, len)| adopted.reserve(*base, *len)));
        for (base, len) in used {
            ranges.give_back(base, len);
            adopted.give_back(base, len);
        }
        let fresh = Ranges::new(limit);
        prop_assert_eq!(ranges.blocks(), fresh.blocks());
        prop_assert_eq!(adopted.blocks(), fresh.blocks());
    }
}
