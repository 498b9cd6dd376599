//! The tables in front of the programs: a Service, its backends, its frontends, the node's links.

use crate::rig::Rig;
use bytemuck::Zeroable;
use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::wire::{Addr, Port};
use lb_userspace::reconcile::Edit;
use std::net::{IpAddr, SocketAddr};

/// What a backend is unless a scene says otherwise: here, and used by every policy.
pub(crate) const HERE: u8 =
    BackendValue::LOCAL | BackendValue::IN_CLUSTER_SET | BackendValue::IN_LOCAL_SET;
/// The Service port; its backends are 1, 2, ...
pub(crate) const SERVICE: u32 = 1;
/// A backend on another node.
pub(crate) const ELSEWHERE: u8 = BackendValue::IN_CLUSTER_SET;

impl Rig {
    /// Makes an edit.
    #[track_caller]
    pub(crate) fn edit(&mut self, edit: Edit) {
        self.maps.apply(&edit).unwrap();
    }

    /// Says what a link is, and what stands for clients on it.
    pub(crate) fn link(&mut self, index: u32, kind: u8, masquerade: Option<IpAddr>) {
        let addr = masquerade.map_or(Addr::ANY, Addr::from);
        let (v4, v6) = if addr.is_v4() { (addr, Addr::ANY) } else { (Addr::ANY, addr) };
        let link = LinkValue { masquerade_v4: v4, masquerade_v6: v6, kind, ..Zeroable::zeroed() };
        self.edit(Edit::Link(index, Some(link)));
    }

    /// Puts `count` backends of this node behind the VIP.
    pub(crate) fn serve(&mut self, count: u32) {
        let choice = self.behind(&self.case.backends(count), HERE);
        self.frontend(self.case.vip(), leading_to(choice));
    }

    /// Makes backends 1, 2, ... of these, and the range of slots 0 that holds them.
    pub(crate) fn behind(&mut self, backends: &[SocketAddr], flags: u8) -> Choice {
        for (n, addr) in (1..).zip(backends) {
            self.backend(n, *addr, flags);
        }
        let ids: Vec<u32> = (1..).take(backends.len()).collect();
        self.range(0, &ids)
    }

    /// Writes the `n`-th backend.
    pub(crate) fn backend(&mut self, n: u32, addr: SocketAddr, flags: u8) {
        let value = BackendValue { flags, ..self.backend_value(addr) };
        self.edit(Edit::Backend(n, value));
    }

    /// A backend of the case's service.
    pub(crate) fn backend_value(&self, addr: SocketAddr) -> BackendValue {
        BackendValue {
            addr: addr.ip().into(),
            port: Port::new(addr.port()),
            proto: self.case.proto,
            flags: HERE,
            service: SERVICE,
            generation: 1,
            zero: [0; 4],
        }
    }

    /// Writes backends into a range of slots; there are ranges 0 to 3.
    pub(crate) fn range(&mut self, range: u32, backends: &[u32]) -> Choice {
        let base = range * 2048;
        self.edit(Edit::Slots(base, backends.to_vec()));
        Choice { base, len: u32::try_from(backends.len()).unwrap(), flags: 0 }
    }

    /// Says that the first backend's address is one of a backend, as the agent does.
    pub(crate) fn backend_address(&mut self) {
        self.backend_address_of(self.case.backend(1));
    }

    /// Says it of this one's address.
    pub(crate) fn backend_address_of(&mut self, backend: SocketAddr) {
        self.edit(Edit::Address(backend.ip().into(), AddressValue::BACKEND));
    }

    /// Writes a frontend.
    pub(crate) fn frontend(&mut self, at: SocketAddr, value: FrontendValue) {
        let key = FrontendKey::of(at.ip().into(), Port::new(at.port()), self.case.proto);
        self.edit(Edit::Address(key.addr, AddressValue::FRONTEND));
        self.edit(Edit::Frontend(key, Some(value)));
    }
}

/// A frontend of the Service that leads everybody to `choice`.
pub(crate) fn leading_to(choice: Choice) -> FrontendValue {
    FrontendValue {
        service: SERVICE,
        affinity: 0,
        affinity_timeout_s: 0,
        inside: choice,
        outside: choice,
        kind: FrontendValue::CLUSTER_IP,
        flags: 0,
        zero: [0; 2],
    }
}

/// A range without backends.
pub(crate) fn nobody(flags: u32) -> Choice {
    Choice { base: 0, len: 0, flags }
}
