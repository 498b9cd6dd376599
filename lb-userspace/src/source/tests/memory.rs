//! `allocations.json`.

use super::{derived_with, service};
use crate::source::controllers::Memory;
use std::fs;

fn filled() -> Memory {
    let mut memory = Memory::default();
    derived_with(&service("a", "type: NodePort"), &["10.96.0.0/16"], &mut memory);
    memory
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("not/there/yet");
    let memory = filled();
    memory.save(&state).unwrap();
    assert_eq!(Memory::load(&state), (memory, None));
    assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn no_file_is_an_empty_memory_and_no_problem() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Memory::load(dir.path()), (Memory::default(), None));
}

#[test]
fn a_file_that_says_nothing_is_set_aside() {
    for text in
        ["", "{", "[]", r#"{"version": 2, "clusterIPs": {}, "nodePorts": {}}"#, r#"{"version": 1}"#]
    {
        let dir = tempfile::tempdir().unwrap();
        fs::write(Memory::path(dir.path()), text).unwrap();
        let (memory, problem) = Memory::load(dir.path());
        assert_eq!(memory, Memory::default());
        assert!(problem.unwrap().contains("started over"), "{text}");
        let aside = dir.path().join("allocations.json.unreadable");
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
    }
}

#[test]
fn the_file_is_for_people_too() {
    let text = serde_json::to_string(&filled()).unwrap();
    assert!(text.starts_with(r#"{"version":1,"clusterIPs":{"default/a":["10.96."#), "{text}");
    assert!(text.contains(r#""nodePorts":{"default/a":{"80/TCP":3"#), "{text}");
}
