//! A connection as netfilter follows it.

use lb_common::algo::tcp_state::Progress;
use lb_common::wire::IpProto;
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Status, Tuple,
};
use std::net::{IpAddr, SocketAddr};

/// Protocols that a Service may have.
const HAVE_PORTS: [IpProto; 3] = [IpProto::TCP, IpProto::UDP, IpProto::SCTP];

/// A connection as netfilter follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// TCP, UDP or SCTP.
    pub proto: IpProto,
    /// Who asked.
    pub client: SocketAddr,
    /// Whom it asked.
    pub asked: SocketAddr,
    /// Who answers.
    pub server: SocketAddr,
    /// Whom it answers: the client, or what stands for it.
    pub answered: SocketAddr,
    /// How far it came.
    pub progress: Progress,
}

impl Connection {
    /// Reads what the kernel says about a connection; `None`: it has no ports, or no protocol of
    /// a Service.
    pub(super) fn read(attributes: &[ConntrackAttribute]) -> Option<Self> {
        let (mut asked, mut answered) = (Ends::default(), Ends::default());
        let (mut status, mut tcp) = (0, TcpInfo::default());
        for attribute in attributes {
            if let ConntrackAttribute::CtaTupleOrig(tuples) = attribute {
                asked = Ends::read(tuples);
            } else if let ConntrackAttribute::CtaTupleReply(tuples) = attribute {
                answered = Ends::read(tuples);
            } else if let ConntrackAttribute::CtaStatus(bits) = attribute {
                status = bits.bits();
            } else if let ConntrackAttribute::CtaProtoInfo(infos) = attribute {
                tcp = TcpInfo::read(infos);
            }
        }
        let proto = asked.proto.filter(|proto| HAVE_PORTS.contains(proto))?;
        let progress = match proto {
            IpProto::TCP => tcp.progress(),
            _ if status & Status::SeenReply.bits() != 0 => Progress(Progress::REPLIED),
            _ => Progress::default(),
        };
        let (client, asked) = asked.sockets()?;
        let (server, answered) = answered.sockets()?;
        Some(Self { proto, client, asked, server, answered, progress })
    }

    /// Whether somebody stands between the client and the server it asked.
    pub fn is_translated(&self) -> bool {
        self.asked != self.server
    }

    /// Whether the server sees another client.
    pub fn is_masqueraded(&self) -> bool {
        self.client != self.answered
    }
}

/// Who talks to whom in one direction.
#[derive(Default)]
struct Ends {
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    proto: Option<IpProto>,
    sport: Option<u16>,
    dport: Option<u16>,
}

impl Ends {
    fn read(tuples: &[Tuple]) -> Self {
        let mut ends = Self::default();
        for tuple in tuples {
            if let Tuple::Ip(addrs) = tuple {
                for addr in addrs {
                    ends.add_addr(addr);
                }
            } else if let Tuple::Proto(ports) = tuple {
                for port in ports {
                    ends.add_port(port);
                }
            }
        }
        ends
    }

    fn add_addr(&mut self, addr: &IPTuple) {
        if let IPTuple::SourceAddress(ip) = addr {
            self.src = Some(*ip);
        } else if let IPTuple::DestinationAddress(ip) = addr {
            self.dst = Some(*ip);
        }
    }

    fn add_port(&mut self, port: &ProtoTuple) {
        if let ProtoTuple::Protocol(proto) = port {
            self.proto = Some(IpProto(u8::from(*proto)));
        } else if let ProtoTuple::SourcePort(port) = port {
            self.sport = Some(*port);
        } else if let ProtoTuple::DestinationPort(port) = port {
            self.dport = Some(*port);
        }
    }

    fn sockets(&self) -> Option<(SocketAddr, SocketAddr)> {
        let src = SocketAddr::new(self.src?, self.sport?);
        let dst = SocketAddr::new(self.dst?, self.dport?);
        Some((src, dst))
    }
}

/// What netfilter saw of a TCP connection.
#[derive(Default)]
struct TcpInfo {
    state: u8,
    client_flags: u8,
}

impl TcpInfo {
    fn read(infos: &[ProtoInfo]) -> Self {
        let mut tcp = Self::default();
        let parts = infos
            .iter()
            .filter_map(|info| if let ProtoInfo::TCP(parts) = info { Some(parts) } else { None });
        for part in parts.flatten() {
            if let ProtoInfoTCP::State(state) = part {
                tcp.state = *state;
            } else if let ProtoInfoTCP::OriginalFlags(flags) = part {
                tcp.client_flags = flags.flags;
            }
        }
        tcp
    }

    /// The same in our terms (`enum tcp_conntrack` and `IP_CT_TCP_FLAG_CLOSE_INIT` in
    /// `include/uapi/linux/netfilter/nf_conntrack_tcp.h`).
    fn progress(&self) -> Progress {
        const SYN_RECV: u8 = 2;
        const ESTABLISHED: u8 = 3;
        const FIN_WAIT: u8 = 4;
        const CLOSE_WAIT: u8 = 5;
        const LAST_ACK: u8 = 6;
        const TIME_WAIT: u8 = 7;
        const CLOSE: u8 = 8;
        const CLOSED_FIRST: u8 = 4;
        const BOTH: u8 = Progress::CLIENT_FIN | Progress::BACKEND_FIN;
        let by_client = self.client_flags & CLOSED_FIRST != 0;
        Progress(match self.state {
            SYN_RECV | ESTABLISHED => Progress::REPLIED,
            FIN_WAIT | CLOSE_WAIT if by_client => Progress::REPLIED | Progress::CLIENT_FIN,
            FIN_WAIT | CLOSE_WAIT => Progress::REPLIED | Progress::BACKEND_FIN,
            LAST_ACK | TIME_WAIT => Progress::REPLIED | BOTH,
            CLOSE => Progress::REPLIED | Progress::RESET,
            _ => 0,
        })
    }
}
