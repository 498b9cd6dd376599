//! What is sent: packets, flows, connections in order, questions.

use super::Remark;
use crate::model::Protocol;
use crate::simulate::expect::{Expect, Keep, Pick, Reply};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::simulate) enum Class {
    /// In a pod of the cluster.
    Pod,
    /// A process of the node.
    Node,
    /// A process of the node that asks a loopback address.
    Localhost,
    /// Outside.
    External,
    /// Outside, and it has the Service's own address.
    LbIp,
}

/// The first packet of a new connection, sent again and again from other ports.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct Packet {
    pub(in crate::simulate) name: Option<String>,
    #[serde(rename = "srcIP")]
    pub(in crate::simulate) src: IpAddr,
    pub(in crate::simulate) proto: Protocol,
    #[serde(rename = "dstIP")]
    pub(in crate::simulate) dst_ip: IpAddr,
    pub(in crate::simulate) dst_port: u16,
    /// Absent: told by the address.
    pub(in crate::simulate) from: Option<Class>,
    pub(in crate::simulate) expect: Expect,
    #[serde(default)]
    pub(in crate::simulate) also_accept: Vec<Expect>,
    #[serde(rename = "origin")]
    _origin: Remark,
    #[serde(rename = "assertedBy")]
    _asserted_by: Remark,
}

impl Packet {
    pub(in crate::simulate) fn dst(&self) -> SocketAddr {
        SocketAddr::new(self.dst_ip, self.dst_port)
    }
}

/// A flow that exists before the step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Flow {
    pub(in crate::simulate) name: Option<String>,
    pub(in crate::simulate) proto: Protocol,
    #[serde(rename = "origDstIP")]
    pub(in crate::simulate) dst_ip: IpAddr,
    #[serde(rename = "origDstPort")]
    dst_port: u16,
    #[serde(rename = "replySrcIP")]
    pub(in crate::simulate) reply_src_ip: IpAddr,
    #[serde(rename = "replySrcPort")]
    reply_src_port: u16,
    pub(in crate::simulate) expect: Keep,
    #[serde(rename = "via")]
    _via: Remark,
}

impl Flow {
    /// What its client asked.
    pub(in crate::simulate) fn dst(&self) -> SocketAddr {
        SocketAddr::new(self.dst_ip, self.dst_port)
    }

    /// Who answers.
    pub(in crate::simulate) fn reply_src(&self) -> SocketAddr {
        SocketAddr::new(self.reply_src_ip, self.reply_src_port)
    }

    /// Who was asked does not answer itself.
    pub(in crate::simulate) fn is_translated(&self) -> bool {
        self.dst() != self.reply_src()
    }
}

/// A new connection at a moment of a sequence.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct Connection {
    pub(in crate::simulate) id: String,
    pub(in crate::simulate) at_seconds: u32,
    #[serde(rename = "srcIP")]
    pub(in crate::simulate) src: IpAddr,
    /// Absent: any.
    pub(in crate::simulate) src_port: Option<u16>,
    pub(in crate::simulate) proto: Protocol,
    #[serde(rename = "dstIP")]
    pub(in crate::simulate) dst_ip: IpAddr,
    pub(in crate::simulate) dst_port: u16,
    /// Absent: told by the address.
    pub(in crate::simulate) from: Option<Class>,
    pub(in crate::simulate) expect: Pick,
}

impl Connection {
    pub(in crate::simulate) fn dst(&self) -> SocketAddr {
        SocketAddr::new(self.dst_ip, self.dst_port)
    }
}

/// A question to the health check server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Request {
    pub(in crate::simulate) name: Option<String>,
    pub(in crate::simulate) port: u16,
    pub(in crate::simulate) path: String,
    pub(in crate::simulate) expect: Reply,
}
