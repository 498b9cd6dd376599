//! The agent of this node as a backend: the cluster's name server is answered here while it is there.

use crate::case::Case;
use crate::rig::{Rig, Verdict, each, each_where};
use crate::tables::{HERE, leading_to};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::heartbeat::PATIENCE_NS;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use lb_userspace::bpf::clock::monotonic_ns;
use lb_userspace::reconcile::Edit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// Where the agent listens.
const PORT: u16 = 10_053;
/// Its backend; the endpoints are 1, 2, ...
const AGENT: u32 = 9;

/// The sockets of an agent.
#[expect(dead_code, reason = "they are there, and do nothing")]
struct Sockets(TcpListener, UdpSocket);

fn listen(case: Case) -> Sockets {
    let any: IpAddr =
        if case.v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    Sockets(TcpListener::bind((any, PORT)).unwrap(), UdpSocket::bind((any, PORT)).unwrap())
}

fn agent(case: Case) -> SocketAddr {
    SocketAddr::new(case.node(), PORT)
}

/// A choice between `endpoints` with the agent before them.
fn choice(rig: &mut Rig, endpoints: u32) -> Choice {
    let behind = rig.behind(&rig.case.backends(endpoints), HERE);
    rig.backend(AGENT, agent(rig.case), BackendValue::LOCAL | BackendValue::AGENT);
    let ids: Vec<u32> = (1..=endpoints).chain([AGENT]).collect();
    Choice { len: endpoints, flags: Choice::AGENT | behind.flags, ..rig.range(0, &ids) }
}

/// One endpoint, and the agent for clients inside.
fn serve(rig: &mut Rig) {
    let inside = choice(rig, 1);
    let outside = Choice { flags: 0, ..inside };
    rig.frontend(rig.case.vip(), FrontendValue { inside, outside, ..leading_to(inside) });
}

/// Says how long ago the agent answered last, in the case's family.
fn beat(rig: &mut Rig, ago_ns: u64) {
    let at = monotonic_ns() - ago_ns;
    rig.set_heartbeats(if rig.case.v6 { [0, at] } else { [at, 0] });
}

/// The backend that a new flow from this port of the pod gets.
#[track_caller]
fn ask(rig: &mut Rig, port: u16) -> SocketAddr {
    let case = rig.case;
    rig.chosen(&case.opening(case.pod(port), case.vip()))
}

#[test]
fn new_flows_go_to_the_agent_while_it_is_there() {
    each(|rig| {
        let case = rig.case;
        serve(rig);
        beat(rig, 0);
        assert_eq!(ask(rig, 20_000), case.backend(1), "nobody listens");
        let sockets = listen(case);
        for port in 20_001..20_010 {
            assert_eq!(ask(rig, port), agent(case));
        }
        drop(sockets);
        assert_eq!(ask(rig, 20_011), case.backend(1), "nobody listens any more");
    });
}

#[test]
fn the_agents_answers_come_from_the_service() {
    each(|rig| {
        let case = rig.case;
        serve(rig);
        beat(rig, 0);
        let _sockets = listen(case);
        assert_eq!(ask(rig, 20_000), agent(case));
        let answer = case.later(agent(case), case.pod(20_000));
        rig.leave(&answer).is(Verdict::Passed, &answer.between(case.vip(), case.pod(20_000)));
    });
}

#[test]
fn an_agent_that_does_not_answer_gets_nothing_though_it_has_sockets() {
    each(|rig| {
        let case = rig.case;
        serve(rig);
        let _sockets = listen(case);
        for (ago_ns, expect) in [
            (monotonic_ns(), case.backend(1)),
            (PATIENCE_NS + 1_000_000, case.backend(1)),
            (PATIENCE_NS - 500_000_000, agent(case)),
        ] {
            beat(rig, ago_ns);
            assert_eq!(ask(rig, 20_000), expect, "{ago_ns} ns ago");
            rig.lose_all();
        }
    });
}

#[test]
fn the_beat_of_one_family_says_nothing_about_the_other() {
    each(|rig| {
        let case = rig.case;
        serve(rig);
        let _sockets = listen(case);
        let now = monotonic_ns();
        rig.set_heartbeats(if case.v6 { [now, 0] } else { [0, now] });
        assert_eq!(ask(rig, 20_000), case.backend(1));
    });
}

#[test]
fn datagrams_of_a_client_that_keeps_its_port_find_an_endpoint_when_the_agent_ends() {
    each_where(
        |case| !case.is_tcp(),
        |rig| {
            let case = rig.case;
            serve(rig);
            beat(rig, 0);
            let sockets = listen(case);
            assert_eq!(ask(rig, 20_000), agent(case));
            drop(sockets);
            assert_eq!(ask(rig, 20_000), case.backend(1));
            let answer = case.later(case.backend(1), case.pod(20_000));
            rig.leave(&answer).is(Verdict::Passed, &answer.between(case.vip(), case.pod(20_000)));
        },
    );
}

#[test]
fn a_connection_to_the_agent_ends_with_it_and_a_new_one_of_its_ports_does_not() {
    each_where(Case::is_tcp, |rig| {
        let case = rig.case;
        serve(rig);
        beat(rig, 0);
        let sockets = listen(case);
        assert_eq!(ask(rig, 20_000), agent(case));
        drop(sockets);
        // The node's own stack refuses what belongs to no socket.
        let later = case.later(case.pod(20_000), case.vip());
        rig.send(&later).is(Verdict::Passed, &later.to(agent(case)));
        assert_eq!(ask(rig, 20_000), case.backend(1));
    });
}

#[test]
fn a_connection_to_an_endpoint_stays_there_when_the_agent_comes() {
    each_where(Case::is_tcp, |rig| {
        let case = rig.case;
        serve(rig);
        beat(rig, 0);
        assert_eq!(ask(rig, 20_000), case.backend(1));
        let _sockets = listen(case);
        let later = case.later(case.pod(20_000), case.vip());
        rig.send(&later).is(Verdict::Passed, &later.to(case.backend(1)));
        assert_eq!(ask(rig, 20_001), agent(case));
    });
}

#[test]
fn datagrams_go_to_the_agent_when_it_comes_and_what_the_endpoint_still_answers_arrives() {
    each_where(
        |case| !case.is_tcp(),
        |rig| {
            let case = rig.case;
            serve(rig);
            beat(rig, 0);
            assert_eq!(ask(rig, 20_000), case.backend(1));
            let sockets = listen(case);
            assert_eq!(ask(rig, 20_000), agent(case));
            for backend in [case.backend(1), agent(case)] {
                let answer = case.later(backend, case.pod(20_000));
                let named = answer.between(case.vip(), case.pod(20_000));
                rig.leave(&answer).is(Verdict::Passed, &named);
            }
            drop(sockets);
            assert_eq!(ask(rig, 20_000), case.backend(1));
        },
    );
}

#[test]
fn datagrams_of_an_outsider_stay_with_their_endpoint_when_the_agent_comes() {
    each_where(
        |case| !case.is_tcp(),
        |rig| {
            let case = rig.case;
            serve(rig);
            beat(rig, 0);
            rig.link(rig.link, LinkValue::UPLINK, None);
            assert_eq!(ask(rig, 20_000), case.backend(1));
            let _sockets = listen(case);
            let before = rig.traffic()[0].connections;
            assert_eq!(ask(rig, 20_000), case.backend(1));
            assert_eq!(rig.traffic()[0].connections, before, "the flow was opened anew");
        },
    );
}

#[test]
fn without_endpoints_clients_are_answered_while_the_agent_is_there_and_refused_else() {
    each(|rig| {
        let case = rig.case;
        let own = choice(rig, 0);
        rig.frontend(case.vip(), leading_to(own));
        beat(rig, 0);
        let sockets = listen(case);
        assert_eq!(ask(rig, 20_000), agent(case));
        drop(sockets);
        rig.count_anew();
        rig.send(&case.opening(case.pod(20_001), case.vip()));
        assert_eq!(rig.reasons(), [(Reason::NoEndpoint, 1)]);
    });
}

#[test]
fn a_client_that_is_remembered_with_an_endpoint_gets_the_agent_all_the_same() {
    each(|rig| {
        let case = rig.case;
        let own = choice(rig, 1);
        let value = FrontendValue { affinity: 7, affinity_timeout_s: 100, ..leading_to(own) };
        rig.frontend(case.vip(), value);
        beat(rig, 0);
        assert_eq!(ask(rig, 20_000), case.backend(1));
        let _sockets = listen(case);
        assert_eq!(ask(rig, 20_001), agent(case));
    });
}

#[test]
fn outsiders_get_endpoints() {
    each(|rig| {
        let case = rig.case;
        serve(rig);
        beat(rig, 0);
        let _sockets = listen(case);
        rig.link(rig.link, LinkValue::UPLINK, None);
        assert_eq!(ask(rig, 20_000), case.backend(1));
    });
}

#[test]
fn a_slot_that_another_service_has_now_is_nobodys() {
    each(|rig| {
        let case = rig.case;
        serve(rig);
        beat(rig, 0);
        let _sockets = listen(case);
        let other = BackendValue {
            service: 5,
            flags: BackendValue::LOCAL | BackendValue::AGENT,
            ..rig.backend_value(agent(case))
        };
        rig.edit(Edit::Backend(AGENT, other));
        assert_eq!(ask(rig, 20_000), case.backend(1));
    });
}
