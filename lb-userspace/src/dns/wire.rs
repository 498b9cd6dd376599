//! Packets to questions, replies to packets.
//!
//! Whatever arrives is a question, or is refused with the twelve bytes of a header, or is not
//! answered at all: an answer to an answer would let two servers talk to each other for ever.

use hickory_proto::ProtoError;
use hickory_proto::op::{
    Edns, EmitAndCount, Message, Metadata, OpCode, Query, ResponseCode, emit_message_parts,
};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

/// What every client takes without saying so (RFC 1035).
const PLAIN_UDP: u16 = 512;
/// What passes every path without fragments (DNS flag day 2020), whatever the client says.
pub(super) const MOST_UDP: u16 = 1232;
/// The most that TCP's length field can say.
pub(super) const MOST_TCP: u16 = u16::MAX;
/// An OPT record without options.
const OPT_BYTES: u16 = 11;
const HEADER_BYTES: usize = 12;
/// A pointer to the name of the question, which follows the header (RFC 1035, 4.1.4).
const ASKED_NAME: u16 = 0xc000 | 0x0c;

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    query: Query,
    asked: Metadata,
    /// What the client says of itself, if it knows EDNS.
    edns: Option<Client>,
}

/// What a client says of itself.
#[derive(Clone, Copy, Debug)]
struct Client {
    /// The longest datagram that it takes.
    most: u16,
    dnssec_ok: bool,
    version: u8,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) code: ResponseCode,
    /// We are the source of it.
    pub(super) authoritative: bool,
    /// The upstream has validated it.
    pub(super) authentic: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl Reply {
    /// Nothing but a code.
    pub(super) fn bare(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            authentic: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

/// Why a packet is no question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not answered.
    Silent,
    /// This is the answer, and its code.
    Refused(Vec<u8>, ResponseCode),
}

impl Question {
    /// Reads a packet.
    pub(super) fn read(packet: &[u8]) -> Result<Self, Unusable> {
        let refused = |code| Err(refusal(packet, code));
        let Some([_, _, flags, _, high, low]) = packet.first_chunk::<6>() else {
            return Err(Unusable::Silent);
        };
        if packet.len() < HEADER_BYTES || flags & 0x80 != 0 {
            return Err(Unusable::Silent);
        }
        if flags & 0x78 != 0 {
            return refused(ResponseCode::NotImp);
        }
        // Looked at before anything is read: the count decides how much memory is asked for.
        if [*high, *low] != [0, 1] {
            return refused(ResponseCode::FormErr);
        }
        let Ok(message) = Message::from_vec(packet) else {
            return refused(ResponseCode::FormErr);
        };
        Self::of(message).ok_or_else(|| refusal(packet, ResponseCode::FormErr))
    }

    fn of(mut message: Message) -> Option<Self> {
        let query = message.queries.pop()?;
        let edns = message.edns.map(|edns| Client {
            most: edns.max_payload(),
            dnssec_ok: edns.flags().dnssec_ok,
            version: edns.version(),
        });
        Some(Self { query, asked: message.metadata, edns })
    }

    pub(super) fn name(&self) -> &Name {
        self.query.name()
    }

    pub(super) fn kind(&self) -> RecordType {
        self.query.query_type()
    }

    pub(super) fn class(&self) -> DNSClass {
        self.query.query_class()
    }

    pub(super) fn recursion_desired(&self) -> bool {
        self.asked.recursion_desired
    }

    pub(super) fn checking_disabled(&self) -> bool {
        self.asked.checking_disabled
    }

    pub(super) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|client| client.dnssec_ok)
    }

    /// How long an answer by UDP may be.
    pub(super) fn most_udp(&self) -> u16 {
        self.edns.map_or(PLAIN_UDP, |client| client.most.clamp(PLAIN_UDP, MOST_UDP))
    }

    /// The packet that answers with `reply` in `most` bytes: what does not fit is left out, and
    /// if answers are missing the packet says so. `recursive`: we ask others for whoever wants it.
    pub(super) fn answer(&self, reply: &Reply, most: u16, recursive: bool) -> Vec<u8> {
        let mut metadata = Metadata::response_from_request(&self.asked);
        metadata.recursion_available = recursive;
        metadata.authoritative = reply.authoritative;
        // Only whoever knows the bit may see it (RFC 6840, 5.8).
        metadata.authentic_data =
            reply.authentic && (self.asked.authentic_data || self.dnssec_ok());
        // A larger code needs EDNS, and concerns us and the upstream only.
        let is_plain = u16::from(reply.code) < 16;
        metadata.response_code = if is_plain { reply.code } else { ResponseCode::ServFail };
        let encoded = self.encode(metadata, reply, most);
        encoded.unwrap_or_else(|_| header(self.asked.id, [0x80, 2]).to_vec())
    }

    fn encode(&self, metadata: Metadata, reply: &Reply, most: u16) -> Result<Vec<u8>, ProtoError> {
        let mut packet = Vec::with_capacity(usize::from(PLAIN_UDP));
        let mut encoder = BinEncoder::new(&mut packet);
        let reserved = if self.edns.is_some() { OPT_BYTES } else { 0 };
        encoder.set_max_size(most.saturating_sub(reserved));
        let section = |records| Section { records, asked: self.query.name() };
        let records = section(&reply.additionals);
        let mut extras = Extras { records, edns: self.own_edns(), most };
        emit_message_parts(
            &metadata,
            &mut std::iter::once(&self.query),
            &mut section(&reply.answers),
            &mut section(&reply.authorities),
            &mut extras,
            None,
            None,
            &mut encoder,
        )?;
        // What was begun and did not fit still stands behind the end.
        encoder.trim();
        Ok(packet)
    }

    fn own_edns(&self) -> Option<Edns> {
        self.edns.map(|client| edns(client.dnssec_ok))
    }

    /// The answer to EDNS of a version that we do not know: it says which one we do.
    pub(super) fn bad_version(&self) -> Option<Vec<u8>> {
        (self.edns?.version > 0).then(|| self.name_version()).flatten()
    }

    fn name_version(&self) -> Option<Vec<u8>> {
        let mut answer = Message::response(self.asked.id, OpCode::Query);
        answer.metadata = Metadata::response_from_request(&self.asked);
        answer.metadata.response_code = ResponseCode::BADVERS;
        answer.add_query(self.query.clone());
        answer.set_edns(edns(false));
        answer.to_vec().ok()
    }
}

/// What we say of ourselves, to clients and upstreams.
pub(super) fn edns(dnssec_ok: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(MOST_UDP).set_dnssec_ok(dnssec_ok);
    edns
}

/// The records of a section.
#[derive(Clone, Copy)]
struct Section<'a> {
    records: &'a [Record],
    asked: &'a Name,
}

impl EmitAndCount for Section<'_> {
    fn emit(&mut self, encoder: &mut BinEncoder<'_>) -> Result<usize, ProtoError> {
        let asked = self.asked;
        let is_asked = |record: &Record| !asked.is_root() && record.name == *asked;
        let entries =
            self.records.iter().map(|record| Entry { record, is_asked: is_asked(record) });
        let entries: Vec<Entry<'_>> = entries.collect();
        encoder.emit_all(entries.iter())
    }
}

/// A record. If its name is the question's, it points there, whatever its spelling: the encoder
/// itself looks for names to point to a limited number of times, and a Service may have more
/// endpoints.
struct Entry<'a> {
    record: &'a Record,
    is_asked: bool,
}

impl BinEncodable for Entry<'_> {
    fn emit(&self, encoder: &mut BinEncoder<'_>) -> Result<(), ProtoError> {
        let record = self.record;
        if !self.is_asked {
            return record.emit(encoder);
        }
        encoder.emit_u16(ASKED_NAME)?;
        record.record_type().emit(encoder)?;
        record.dns_class.emit(encoder)?;
        encoder.emit_u32(record.ttl)?;
        let length = encoder.place::<u16>()?;
        record.data.emit(encoder)?;
        let bytes = u16::try_from(encoder.len_since_place(&length));
        length.replace(encoder, bytes.unwrap_or(u16::MAX))
    }
}

/// The additional section: records as far as there is room (nobody misses the others), and our
/// OPT record, for which room was left.
struct Extras<'a> {
    records: Section<'a>,
    edns: Option<Edns>,
    most: u16,
}

impl EmitAndCount for Extras<'_> {
    fn emit(&mut self, encoder: &mut BinEncoder<'_>) -> Result<usize, ProtoError> {
        let count = match self.records.emit(encoder) {
            Ok(count) | Err(ProtoError::NotAllRecordsWritten { count, .. }) => count,
            Err(error) => return Err(error),
        };
        encoder.trim();
        let Some(edns) = &self.edns else { return Ok(count) };
        encoder.set_max_size(self.most);
        encoder.emit_all(std::iter::once(&Record::from(edns))).map(|own| count + own)
    }
}

fn refusal(packet: &[u8], code: ResponseCode) -> Unusable {
    let [a, b, flags, ..] = *packet else { return Unusable::Silent };
    // Operation and "recursion desired" are the client's.
    let flags = [0x80 | (flags & 0x79), code.low()];
    Unusable::Refused(header(u16::from_be_bytes([a, b]), flags).to_vec(), code)
}

fn header(id: u16, [first, second]: [u8; 2]) -> [u8; HEADER_BYTES] {
    let [a, b] = id.to_be_bytes();
    [a, b, first, second, 0, 0, 0, 0, 0, 0, 0, 0]
}
