//! Packets through the real programs.
use lb_userspace::bpf::loader::{self, Capacities, Constants};

#[test]
fn every_program_loads() {
    let constants = Constants { hz: 250, hash_seed: 1, netns_cookie: 0 };
    let mut ebpf = loader::load(&constants, &Capacities::default(), None).unwrap();
    for program in
        [loader::XDP, loader::TC_INGRESS, loader::TC_EGRESS].into_iter().chain(loader::CGROUP)
    {
        if let Err(e) = loader::into_kernel(&mut ebpf, program) {
            eprintln!("{program}: {e:#}");
            panic!()
        }
    }
}
