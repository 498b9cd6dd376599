//! What stays when a file breaks.

use super::service;
use crate::source::manifests::library::Library;
use std::path::Path;

fn update(library: &mut Library, file: &str, text: &str) {
    library.update(Path::new(file), Ok(text.to_owned()));
}

fn names(library: &Library) -> Vec<String> {
    library.objects().0.services.keys().map(|name| name.name.clone()).collect()
}

fn problems(library: &Library) -> Vec<String> {
    library.objects().1.iter().map(ToString::to_string).collect()
}

fn two() -> Library {
    let mut library = Library::default();
    update(&mut library, "a.yaml", &(service("a", "") + &service("b", "")));
    library
}

#[test]
fn an_object_that_breaks_stays_as_it_was_and_its_neighbours_follow() {
    let mut library = two();
    update(&mut library, "a.yaml", &(service("a", "selector: x") + &service("c", "")));
    assert_eq!(names(&library), ["a", "c"]);
    assert!(problems(&library)[0].contains("spec.selector: invalid type"));
    assert!(!library.is_whole());
    update(&mut library, "a.yaml", &service("a", "type: NodePort"));
    let (objects, problems) = library.objects();
    assert_eq!((objects.services.len(), problems.len(), library.is_whole()), (1, 0, true));
}

#[test]
fn it_stays_through_several_broken_versions() {
    let mut library = two();
    for _ in 0..3 {
        update(&mut library, "a.yaml", "kind: [\n");
        assert_eq!(names(&library), ["a", "b"]);
    }
}

#[test]
fn a_document_without_a_readable_name_keeps_all_that_came_from_the_file() {
    let mut library = two();
    update(&mut library, "a.yaml", &(service("a", "") + "---\nkind: [\n"));
    assert_eq!(names(&library), ["a", "b"]);
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_objects_and_one_that_is_gone_does_not() {
    let mut library = two();
    library.update(Path::new("a.yaml"), Err("cannot be read (why)".to_owned()));
    assert_eq!(names(&library), ["a", "b"]);
    assert_eq!(problems(&library), ["a.yaml: cannot be read (why)"]);
    library.retain(|_| false);
    assert!(names(&library).is_empty());
}

#[test]
fn of_two_definitions_the_first_by_path_and_place_wins() {
    let mut library = Library::default();
    update(&mut library, "b.yaml", &service("a", "type: LoadBalancer"));
    update(
        &mut library,
        "a.yaml",
        &(service("a", "type: NodePort") + &service("a", "type: ClusterIP")),
    );
    let (objects, problems) = library.objects();
    let found = objects.services.values().next().unwrap();
    assert_eq!(found.object.spec.as_ref().unwrap().type_.as_deref(), Some("NodePort"));
    let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "a.yaml document 2 (Service default/a): is defined by a.yaml document 1 (Service default/a) already; this one is ignored",
            "b.yaml document 1 (Service default/a): is defined by a.yaml document 1 (Service default/a) already; this one is ignored",
        ]
    );
}

#[test]
fn an_object_that_moved_out_of_a_broken_file_is_the_new_one() {
    let mut library = two();
    update(&mut library, "a.yaml", "\t");
    update(&mut library, "a.yaml", "kind: [\n");
    update(&mut library, "b.yaml", &service("a", "type: NodePort"));
    let (objects, problems) = library.objects();
    let found = &objects.services.values().next().unwrap();
    assert!(found.subject.starts_with("b.yaml"), "{}", found.subject);
    assert_eq!(problems.len(), 1);
}

#[test]
fn files_with_odd_names_do_not_reach_the_terminal() {
    let mut library = Library::default();
    update(&mut library, "\u{1b}[2J.yaml", "a: 1\n");
    assert!(problems(&library)[0].starts_with("\\u{1b}[2J.yaml document 1"));
}
