//! Packets to questions and replies to packets.

use super::super::wire::{MOST_TCP, Question, Reply, Unusable};
use super::name;
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// A question with or without EDNS.
fn question(edns: Option<(u16, bool)>) -> Message {
    let mut message = Message::query();
    message.metadata.id = 0xabcd;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name("wEb.Shop.svc.cluster.local."), RecordType::A));
    if let Some((most, dnssec_ok)) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(most).set_dnssec_ok(dnssec_ok);
        message.set_edns(edns);
    }
    message
}

fn read(message: &Message) -> Question {
    Question::read(&message.to_vec().unwrap()).unwrap()
}

/// So many addresses.
fn addresses(count: u8) -> Reply {
    let address = |last| RData::from(Ipv4Addr::new(10, 0, 0, last));
    let own = name("web.shop.svc.cluster.local.");
    let answers = (0..count).map(|last| Record::from_rdata(own.clone(), 5, address(last)));
    Reply { answers: answers.collect(), ..Reply::bare(ResponseCode::NoError) }
}

#[test]
fn an_answer_has_the_number_and_the_spelling_of_its_question() {
    let asked = question(None);
    let answer = read(&asked).answer(&addresses(1), 512, true);
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, 0xabcd);
    assert!(answer.metadata.recursion_desired && answer.metadata.recursion_available);
    assert!(answer.queries[0].name().eq_case(asked.queries[0].name()));
    assert!(answer.edns.is_none(), "EDNS is for whoever knows it");
}

#[test]
fn edns_is_answered_by_edns_with_our_own_limit() {
    let answer = read(&question(Some((4096, true)))).answer(&addresses(1), 1232, true);
    let edns = Message::from_vec(&answer).unwrap().edns.unwrap();
    assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
    assert!(edns.flags().dnssec_ok, "RFC 3225: copied");
}

#[test]
fn datagrams_are_as_long_as_both_sides_take() {
    for (edns, most) in [
        (None, 512),
        (Some((0, false)), 512),
        (Some((700, false)), 700),
        (Some((1232, false)), 1232),
        (Some((65535, false)), 1232),
    ] {
        assert_eq!(read(&question(edns)).most_udp(), most, "{edns:?}");
    }
}

#[test]
fn what_does_not_fit_is_left_out_and_said() {
    for edns in [None, Some((900, false)), Some((4096, false))] {
        let question = read(&question(edns));
        let most = question.most_udp();
        let packet = question.answer(&addresses(200), most, true);
        assert!(packet.len() <= usize::from(most), "{} > {most}", packet.len());
        assert!(packet.len() + 32 > usize::from(most), "{} bytes are used", packet.len());
        let answer = Message::from_vec(&packet).unwrap();
        assert!(answer.metadata.truncation && !answer.answers.is_empty());
        assert_eq!(answer.edns.is_some(), edns.is_some(), "there is always room for OPT");
        let whole = Message::from_vec(&question.answer(&addresses(200), MOST_TCP, true)).unwrap();
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 200);
    }
}

/// An answer as it is on the wire: to the last byte, with the question as it was written.
fn whole(asked: &Message, packet: &[u8]) -> Message {
    let mut decoder = BinDecoder::new(packet);
    let answer = Message::read(&mut decoder).unwrap();
    assert!(decoder.is_empty(), "{} bytes behind the end", decoder.len());
    assert!(answer.queries[0].name().eq_case(asked.queries[0].name()));
    assert_eq!(answer.edns.is_some(), asked.edns.is_some());
    answer
}

#[test]
fn nothing_stands_behind_the_end_of_a_packet_wherever_it_is_cut() {
    for edns in [None, Some((512, false)), Some((1232, true))] {
        let asked = question(edns);
        let others = |owner: &str| {
            let records = addresses(90).answers.into_iter();
            records.map(|one| Record::from_rdata(name(owner), 5, one.data)).collect::<Vec<_>>()
        };
        for most in 512..600 {
            let (long, longer) = (others("other.shop.svc.cluster.local."), others("x.example."));
            let replies = [
                Reply { answers: long.clone(), ..addresses(0) },
                Reply { additionals: longer, ..addresses(2) },
                Reply { additionals: long, ..addresses(90) },
            ];
            for reply in replies {
                let packet = read(&asked).answer(&reply, most, true);
                assert!(packet.len() <= usize::from(most));
                whole(&asked, &packet);
            }
        }
    }
}

#[test]
fn however_many_addresses_a_name_has_each_takes_sixteen_bytes() {
    let asked = question(None);
    let data = |at: u32| RData::from(Ipv4Addr::from(0x0a01_0000 + at));
    // In a spelling of its own.
    let own = name("WEB.shop.svc.cluster.local.");
    let answers = (0..4000).map(|at| Record::from_rdata(own.clone(), 5, data(at))).collect();
    let reply = Reply { answers, ..Reply::bare(ResponseCode::NoError) };
    let packet = read(&asked).answer(&reply, MOST_TCP, true);
    assert_eq!(packet.len(), asked.to_vec().unwrap().len() + 4000 * 16);
    let answer = whole(&asked, &packet);
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers, reply.answers);
}

#[test]
fn nobody_misses_additional_records() {
    let reply = Reply { additionals: addresses(200).answers, ..addresses(1) };
    let answer = read(&question(None)).answer(&reply, 512, true);
    let answer = Message::from_vec(&answer).unwrap();
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 1);
}

#[test]
fn whether_it_is_authentic_is_told_to_whoever_understands() {
    let reply = Reply { authentic: true, ..addresses(1) };
    let told = |asked: &Message| {
        let answer = read(asked).answer(&reply, 512, true);
        Message::from_vec(&answer).unwrap().metadata.authentic_data
    };
    assert!(!told(&question(None)));
    assert!(told(&question(Some((1232, true)))));
    let mut asking = question(None);
    asking.metadata.authentic_data = true;
    assert!(told(&asking));
}

#[test]
fn what_is_no_question_is_refused_with_a_header_or_not_answered() {
    let good = question(None).to_vec().unwrap();
    let with = |changes: &[(usize, u8)]| {
        let mut packet = good.clone();
        for (at, byte) in changes {
            packet[*at] = *byte;
        }
        packet
    };
    let cases = [
        ("nothing", Vec::new(), None),
        ("half a header", good[..11].to_vec(), None),
        ("an answer", with(&[(2, 0x81)]), None),
        ("an answer to an update", with(&[(2, 0xa8)]), None),
        ("a status request", with(&[(2, 0x11)]), Some(ResponseCode::NotImp)),
        ("an update", with(&[(2, 0x28)]), Some(ResponseCode::NotImp)),
        ("no question", with(&[(5, 0)]), Some(ResponseCode::FormErr)),
        ("two questions", with(&[(5, 2)]), Some(ResponseCode::FormErr)),
        ("many questions", with(&[(4, 0xff), (5, 0xff)]), Some(ResponseCode::FormErr)),
        ("an answer that is not there", with(&[(7, 1)]), Some(ResponseCode::FormErr)),
        ("many records", with(&[(10, 0xff), (11, 0xff)]), Some(ResponseCode::FormErr)),
        (
            "a name that points to itself",
            with(&[(12, 0xc0), (13, 12)]),
            Some(ResponseCode::FormErr),
        ),
        ("a label of 64 bytes", with(&[(12, 0x40)]), Some(ResponseCode::FormErr)),
        ("half a question", good[..20].to_vec(), Some(ResponseCode::FormErr)),
    ];
    for (what, packet, expected) in cases {
        match (Question::read(&packet), expected) {
            (Err(Unusable::Silent), None) => {}
            (Err(Unusable::Refused(answer, code)), Some(expected)) => {
                assert_eq!(code, expected, "{what}");
                let told = Message::from_vec(&answer).unwrap();
                assert_eq!((answer.len(), told.metadata.response_code), (12, expected), "{what}");
                assert_eq!(answer[..2], packet[..2], "{what}: the number is the question's");
            }
            (other, _) => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_later_edns_is_told_which_one_we_know() {
    let mut asked = question(Some((1232, false)));
    asked.edns.as_mut().unwrap().set_version(1);
    let answer = Message::from_vec(&read(&asked).bad_version().unwrap()).unwrap();
    // BADSIG has the same number.
    let numbers = [answer.metadata.response_code, ResponseCode::BADVERS].map(u16::from);
    assert_eq!(numbers, [16, 16]);
    assert_eq!(answer.edns.unwrap().version(), 0);
    assert_eq!(read(&question(Some((1232, false)))).bad_version(), None);
}

proptest! {
    /// Whatever comes, nothing panics; and what is answered is no longer than it may be.
    #[test]
    fn any_packet_is_read_or_refused(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&packet);
    }

    #[test]
    fn any_packet_that_is_almost_a_question_is_read_or_refused(
        changes in prop::collection::vec((0..60_usize, any::<u8>()), 0..6)
    ) {
        let mut packet = question(Some((700, true))).to_vec().unwrap();
        for (at, byte) in changes {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        check(&packet);
    }
}

fn check(packet: &[u8]) {
    if let Ok(question) = Question::read(packet) {
        let most = question.most_udp();
        let answer = question.answer(&addresses(100), most, true);
        assert!(answer.len() <= usize::from(most));
    }
}
