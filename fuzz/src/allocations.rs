//! `allocations.json`: whatever it says, Services get addresses and node ports that are theirs
//! alone, out of the ranges, and get them again after a restart.

use crate::source;
use lb_userspace::model::Snapshot;
use lb_userspace::source::Settings;
use lb_userspace::source::controllers::{Memory, Objects};
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

thread_local! {
    static STATE: TempDir = source::state_dir();
    static OBJECTS: Objects = objects();
}

/// More Services than there are addresses; they ask for addresses and node ports and name none.
fn objects() -> Objects {
    let service = |n: u8| {
        let kind = if n.is_multiple_of(2) { "NodePort" } else { "LoadBalancer" };
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{n}}}\nspec: {{type: {kind}, \
             ipFamilyPolicy: PreferDualStack, externalTrafficPolicy: Local, \
             ports: [{{name: a, port: 53}}, {{name: b, port: 53, protocol: UDP}}]}}\n"
        )
    };
    let (objects, problems) = source::objects(&(0..40).map(service).collect::<String>());
    assert_eq!(problems, []);
    objects
}

/// Starts a source whose state folder holds these bytes.
pub fn run(bytes: &[u8]) {
    STATE.with(|state| OBJECTS.with(|objects| start(state, objects, bytes)));
}

fn start(state: &TempDir, objects: &Objects, bytes: &[u8]) {
    fs::write(Memory::path(state.path()), bytes).unwrap();
    let (mut memory, trouble) = Memory::load(state.path());
    let control = trouble.iter().flat_map(|text| text.chars()).find(|char| char.is_control());
    assert_eq!(control, None, "in {trouble:?}");
    let (snapshot, problems) = source::derive(objects, &mut memory);
    source::assert_shown_in_a_line(&problems);
    assert_fair(&snapshot);
    memory.save(state.path()).unwrap();
    let (mut memory, trouble) = Memory::load(state.path());
    assert_eq!(trouble, None, "what was saved can be loaded");
    assert_eq!(source::derive(objects, &mut memory).0, snapshot, "after a restart");
}

/// What was given is in the ranges, and nobody else's.
fn assert_fair(snapshot: &Snapshot) {
    let cidrs = source::settings().service_cidrs;
    let (mut addresses, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for service in snapshot.services.values() {
        for ip in &service.cluster_ips {
            assert!(cidrs.iter().any(|cidr| cidr.contains(ip)), "{ip} of {}", service.name);
            assert!(addresses.insert(*ip), "{ip} was given twice");
        }
        for port in &service.ports {
            let Some(number) = port.node_port else { continue };
            assert!(Settings::NODE_PORTS.contains(&number), "{number} of {}", service.name);
            assert!(ports.insert((port.protocol, number)), "{number} was given twice");
        }
    }
}
