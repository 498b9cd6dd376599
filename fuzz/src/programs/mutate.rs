//! Captures to other captures: packets come, go, are answered, cut, wrapped and complained about;
//! single fields change. Most stay valid, for what is not is refused by the first stage.

use super::capture::{self, Hook, Link, Step};
use super::packet::{
    FLAGS, Family, PROTOCOLS, echo, error, extend, fragments, packet, repair, tag, turn,
};
use crate::mutate::{Bytes, Chance, replace};

/// Values of lengths, offsets, protocols and types that somebody turns at.
const NUMBERS: [u8; 16] = [0, 1, 2, 5, 6, 8, 17, 20, 40, 44, 58, 64, 127, 128, 132, 255];
/// IPv6 extension headers: hop-by-hop, routing, fragment, authentication, destination options.
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];
/// Types of ICMP errors, of both families.
const ERRORS: [u8; 7] = [1, 2, 3, 4, 5, 11, 12];
/// As many as `run` plays.
const MAX_STEPS: usize = super::MAX_STEPS;

/// Mutates a capture in libFuzzer's buffer.
pub fn mutate(data: &mut [u8], size: usize, max: usize, seed: u32, bytes: Bytes) -> usize {
    let mut chance = Chance::new(seed, bytes);
    let mut steps = capture::read(&data[..size]).unwrap_or_else(|| {
        Hook::ALL.map(|hook| Step { hook, link: Link::Uplink, frame: data[..size].to_vec() }).into()
    });
    for _ in 0..chance.rng.u32(1..4) {
        change(&mut steps, &mut chance);
    }
    steps.truncate(MAX_STEPS);
    // A single packet for all programs.
    let single = chance.once_in(8).then(|| chance.one_of(&steps).frame.clone());
    replace(data, size, max, &single.unwrap_or_else(|| capture::write(&steps)))
}

/// Makes one change to a capture; there is at least one packet in it then.
fn change(steps: &mut Vec<Step>, chance: &mut Chance) {
    if steps.is_empty() || chance.once_in(5) {
        let at = chance.rng.usize(..=steps.len());
        steps.insert(at, fresh(chance));
        return;
    }
    let at = chance.rng.usize(..steps.len());
    let other = chance.rng.usize(..steps.len());
    match chance.rng.u32(..8) {
        0 => steps.swap(at, other),
        1 => steps.insert(at, steps[other].clone()),
        2 if steps.len() > 1 => drop(steps.remove(at)),
        3 => steps[at].hook = *chance.one_of(&Hook::ALL),
        4 => follow(steps, at, chance),
        _ => change_frame(&mut steps[at].frame, chance),
    }
}

/// A valid packet.
fn fresh(chance: &mut Chance) -> Step {
    let family = Family(chance.rng.bool());
    let (hosts, services) = (family.hosts(), family.services());
    let (host, other) = (*chance.one_of(&hosts), *chance.one_of(&hosts));
    let (proto, flags) = (*chance.one_of(&PROTOCOLS), *chance.one_of(&FLAGS));
    let frame = match chance.rng.u32(..8) {
        0 => echo(host.ip(), chance.one_of(&services).ip()),
        1 | 2 => packet(proto, host, other, flags),
        _ => packet(proto, host, *chance.one_of(&services), flags),
    };
    Step { hook: *chance.one_of(&Hook::ALL), link: *chance.one_of(&Link::ALL), frame }
}

/// Lets something follow a packet that belongs to it.
fn follow(steps: &mut Vec<Step>, at: usize, chance: &mut Chance) {
    let step = steps[at].clone();
    let with = |frame| Step { hook: step.hook, link: step.link, frame };
    match chance.rng.u32(..3) {
        0 => {
            let mut answer = step.frame.clone();
            turn(&mut answer);
            steps.insert(at + 1, with(answer));
        }
        1 => {
            let (words, id) = (chance.rng.u16(1..6), chance.rng.u8(..4));
            let Some(pieces) = fragments(&step.frame, words, id) else { return };
            steps.splice(at..=at, pieces.map(with));
            if chance.once_in(3) {
                steps.swap(at, at + 1);
            }
        }
        _ => {
            let Some(family) = Family::of(&step.frame) else { return };
            let from = chance.one_of(&family.hosts()).ip();
            let (kind, len) = (*chance.one_of(&ERRORS), chance.rng.usize(20..120));
            let complained = error(from, &step.frame, kind, len);
            if let Some(frame) = complained {
                steps.insert(at + 1, with(frame));
            }
        }
    }
}

fn change_frame(frame: &mut Vec<u8>, chance: &mut Chance) {
    match chance.rng.u32(..10) {
        0 => tag(frame, chance.rng.bool()),
        1 => extend(frame, *chance.one_of(&EXTENSIONS)),
        2 => turn(frame),
        3 => frame.truncate(chance.rng.usize(..=frame.len())),
        4 => frame.resize(frame.len() + chance.rng.usize(..40), 0),
        5 => *frame = chance.changed(frame, 32),
        _ => change_byte(frame, chance),
    }
    if !chance.once_in(4) {
        repair(frame);
    }
}

/// Changes a byte, of the headers most likely.
fn change_byte(frame: &mut [u8], chance: &mut Chance) {
    let end = if chance.once_in(4) { frame.len() } else { frame.len().min(80) };
    if end > 12 {
        let byte = &mut frame[chance.rng.usize(12..end)];
        *byte = match chance.rng.u32(..4) {
            0 => *chance.one_of(&NUMBERS),
            1 => byte.wrapping_add(1),
            2 => byte.wrapping_sub(1),
            _ => *byte ^ (1 << chance.rng.u32(..8)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::seed::seeds;
    use crate::programs::strict::Reading;

    /// The mutation of bytes that changes nothing.
    fn none(_: &mut [u8], size: usize, _: usize) -> usize {
        size
    }

    #[test]
    fn most_packets_of_a_mutated_capture_are_valid() {
        let (mut valid, mut all) = (0, 0);
        for (number, seed) in (0..2_000).zip(seeds().values().cycle()) {
            let mut buffer = [0; 8192];
            buffer[..seed.len()].copy_from_slice(seed);
            let size = mutate(&mut buffer, seed.len(), 8192, number, none);
            for step in capture::read(&buffer[..size]).unwrap_or_default() {
                all += 1;
                valid += u32::from(matches!(Reading::of(&step.frame), Reading::Read(_)));
            }
        }
        assert!(all > 8_000, "{all} packets");
        assert!((all * 8 / 10..all).contains(&valid), "{valid} of {all} packets are valid");
    }

    #[test]
    fn bytes_that_are_no_capture_become_one() {
        let mut captures = 0;
        for seed in 0..200 {
            let mut buffer = [7; 4096];
            let size = mutate(&mut buffer, 60, 4096, seed, none);
            captures +=
                usize::from(capture::read(&buffer[..size]).is_some_and(|it| !it.is_empty()));
        }
        // The others are a single packet.
        assert!((150..200).contains(&captures), "{captures} of 200");
    }
}
