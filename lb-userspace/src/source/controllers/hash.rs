//! FNV-1a: where the search for a free address or port begins. It must be the same in every version
//! of the agent, which the standard library's hashers do not promise. It guards nothing.

/// 64-bit FNV-1a (draft-eastlake-fnv) of `text`.
pub(super) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `hash` as five characters that make no word: the API server's alphabet for generated names.
pub(super) fn suffix(mut hash: u64) -> String {
    const LETTERS: [char; 27] = [
        'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w',
        'x', 'z', '2', '4', '5', '6', '7', '8', '9',
    ];
    let digits = std::iter::from_fn(|| {
        let digit = hash % 27;
        hash /= 27;
        LETTERS.into_iter().nth(usize::try_from(digit).ok()?)
    });
    digits.take(5).collect()
}
