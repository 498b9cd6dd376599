//! No text can stop the source, and the same text always means the same.

use super::{derived, derived_with};
use crate::source::controllers::Memory;
use crate::source::document;
use proptest::prelude::*;

const CIDRS: &[&str] = &["10.96.0.0/24", "fd00::/120"];

/// Manifests that use everything, to be mutated.
const SEED: &str = include_str!("../../../tests/manifests/everything.yaml");

/// Words that YAML, JSON and the converters turn at.
const WORDS: &[&str] = &[
    "---\n",
    "...\n",
    "\t",
    ": ",
    "- ",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "|\n",
    "#",
    "%",
    "null",
    "None",
    "~",
    "-1",
    "0",
    "65536",
    "99999999999",
    "1.5",
    ".nan",
    "true",
    "::1",
    "300.1.1.1",
    "10.96.0.0/33",
    "kind: List",
    "items:",
    "\u{0}",
    "\u{feff}",
    "\r",
    "é",
    "\u{1f600}",
];

fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, usize)> {
    (any::<prop::sample::Index>(), 0..12_usize, 0..WORDS.len())
}

fn mutate(text: &mut String, (place, len, word): (prop::sample::Index, usize, usize)) {
    let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    if boundaries.is_empty() {
        return;
    }
    let start = place.index(boundaries.len());
    let end = (start + len).min(boundaries.len() - 1);
    text.replace_range(boundaries[start]..boundaries[end], WORDS[word]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        document::read("f", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn words_of_yaml_never_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        derived(&words.concat(), CIDRS);
    }

    #[test]
    fn mutated_manifests_never_panic_and_mean_the_same_twice(mutations in prop::collection::vec(mutation(), 1..8)) {
        let mut text = SEED.to_owned();
        for mutation in mutations {
            mutate(&mut text, mutation);
        }
        let mut memory = Memory::default();
        let first = derived_with(&text, CIDRS, &mut memory);
        let second = derived_with(&text, CIDRS, &mut memory);
        prop_assert_eq!(first.snapshot, second.snapshot);
        prop_assert_eq!(first.problems, second.problems);
    }
}
