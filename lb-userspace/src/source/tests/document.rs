//! Text to objects.

use crate::source::document::{Document, read};

/// `Kind namespace/name` of each object that can be read, `!` and the sentence of each that cannot.
fn check(text: &str, expect: &[&str]) {
    assert_eq!(summary(text), expect, "{text}");
}

fn summary(text: &str) -> Vec<String> {
    let documents = read("f.yaml", text).into_iter();
    let lines = documents.flat_map(|document| match document {
        Document::Read(read) => {
            let problems = read.problems.iter().chain(&read.lost);
            let problems = problems.map(|problem| format!("? {problem}"));
            std::iter::once(read.key.to_string()).chain(problems).collect()
        }
        Document::Broken { key, problem } => {
            vec![format!("! {problem}{}", if key.is_some() { " [named]" } else { "" })]
        }
    });
    lines.collect()
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n";

#[test]
fn several_documents_are_several_objects() {
    let text =
        format!("# comment\n---\n{POD}---\n\n--- # nothing\n# here\n---\n{POD}...\n---\n{POD}");
    check(&text, &["Pod default/a"; 3]);
}

#[test]
fn directives_and_a_byte_order_mark_are_accepted() {
    check(&format!("\u{feff}%YAML 1.2\n---\n{POD}"), &["Pod default/a"]);
}

#[test]
fn windows_line_ends_are_accepted() {
    check(&format!("{POD}---\n{POD}").replace('\n', "\r\n"), &["Pod default/a"; 2]);
}

#[test]
fn a_marker_inside_a_longer_word_is_none() {
    check(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    x: |\n      ---\n",
        &["Pod default/a"],
    );
}

#[test]
fn lists_are_their_items_whatever_they_are_called() {
    check(
        r"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}}
- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Node, metadata: {name: node}}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSliceList
items:
- {metadata: {name: s}, addressType: IPv4, endpoints: []}
",
        &["Pod x/a", "Node node", "EndpointSlice default/s"],
    );
}

#[test]
fn json_is_accepted_one_object_or_several() {
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}"#;
    check(&format!("\n\t{pod}\n\t{pod}"), &["Pod default/a"; 2]);
    check(&format!("{pod}\n---\n{pod}"), &["Pod default/a"; 2]);
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    check(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: &l {x: z}}\nspec: {selector: {<<: *l, z: w}}\n",
        &["Service default/a"],
    );
}

#[test]
fn kinds_that_do_not_matter_are_passed_over_in_silence() {
    check("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: 17}\n", &[]);
    check("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n", &[]);
    check("apiVersion: example.com/v1\nkind: Ingress\nmetadata: {name: a}\n", &[]);
}

#[test]
fn a_wrong_type_is_named_by_its_field_and_harms_no_other_document() {
    let text = format!(
        "{POD}---\napiVersion: v1\nkind: Service\nmetadata: {{name: kubia}}\nspec: {{ports: [{{port: eighty}}]}}\n---\n{POD}"
    );
    check(
        &text,
        &[
            "Pod default/a",
            "Service default/kubia",
            "? f.yaml document 2 (Service default/kubia): spec.ports[0].port: invalid type: string \"eighty\", expected i32; it is ignored",
            "Pod default/a",
        ],
    );
}

#[test]
fn broken_yaml_is_named_by_its_line_and_harms_no_other_document() {
    let text = format!("{POD}---\nkind: [Pod\nmetadata: }}\n---\n{POD}");
    let found = summary(&text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].starts_with("! f.yaml document 2: line 7, column "), "{found:?}");
}

#[test]
fn tabs_as_in_the_notes_are_called_tabs() {
    check(
        "apiVersion: v1\nkind: Service\nmetadata:\n\tname: kubia\n",
        &["! f.yaml document 1: line 4 is indented with a tab; YAML allows only spaces there"],
    );
}

#[test]
fn fields_that_do_not_exist_are_named_and_ignored() {
    check(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, old: 1}\nspec: {prots: [{port: 80}], ports: [{port: 80, nodeport: 1}]}\n",
        &[
            "Service default/a",
            "? f.yaml document 1 (Service default/a): spec.ports[0].nodeport: is not a field of Service and is ignored; nodePort is probably meant",
            "? f.yaml document 1 (Service default/a): spec.prots: is not a field of Service and is ignored; ports is probably meant",
        ],
    );
}

#[test]
fn what_is_no_object_is_said() {
    check("a: 1\n", &["! f.yaml document 1: kind: is missing, so this is not a Kubernetes object"]);
    check("- a\n", &["! f.yaml document 1: kind: is missing, so this is not a Kubernetes object"]);
    check(
        "apiVersion: v1\nkind: Pod\n",
        &["! f.yaml document 1 (Pod): metadata.name: is missing, so the object is ignored"],
    );
    check(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 17}\n",
        &[
            "! f.yaml document 1 (Pod): metadata.name: invalid type: integer `17`, expected a string",
        ],
    );
}

#[test]
fn a_missing_api_version_is_said_and_guessed() {
    check(
        "kind: Service\nmetadata: {name: a}\n",
        &[
            "Service default/a",
            "? f.yaml document 1 (Service default/a): apiVersion: is missing; taken as v1",
        ],
    );
}

#[test]
fn the_beta_of_endpoint_slices_is_refused_by_name() {
    let text = "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: a}\n";
    assert!(summary(text)[0].contains("write discovery.k8s.io/v1 [named]"), "{:?}", summary(text));
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let found = summary("apiVersion: v1\nkind: Pod\nkind: Node\nmetadata: {name: a}\n");
    assert!(found[0].contains("line 3, column 1: duplicate mapping key"), "{found:?}");
}

#[test]
fn hostile_texts_end_in_a_sentence_and_soon() {
    let laughs = (1..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let alias = vec![format!("*a{}", n - 1); 9].join(",");
        text + &format!("a{n}: &a{n} [{alias}]\n")
    });
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), ["*a"; 900].join(","));
    let deep_map = (0..5000).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    let deep_json = format!("{{\"a\":{}", "[".repeat(100_000));
    for text in [laughs, long, "[".repeat(100_000), deep_map, deep_json, "- ".repeat(10_000)] {
        let found = summary(&text);
        assert!(found.len() == 1 && found[0].starts_with('!') && found[0].len() < 500, "{found:?}");
    }
}

#[test]
fn documents_beyond_the_limit_are_left_out_with_a_sentence() {
    let found = summary(&"---\nkind: X\n".repeat(10_001));
    assert_eq!(found, ["! f.yaml: has more than 10000 documents; the rest is left out"]);
}

#[test]
fn long_values_are_cut_in_sentences() {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: \"{}\"\n",
        "x".repeat(10_000)
    );
    assert!(summary(&text)[0].len() < 500);
}
