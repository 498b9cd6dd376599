//! Ingresses are read and checked, whatever their version; nothing is made of them.

use super::{derived, service};

const CIDR: &[&str] = &["10.96.0.0/16"];

/// What is said of an Ingress of this version beside the Services `web` (ports 80 and `http`).
fn said(version: &str, spec: &str) -> Vec<String> {
    let web = service("web", "selector: {app: web}")
        .replace("ports: [{port: 80}]", "ports: [{name: http, port: 80}, {name: admin, port: 81}]");
    let ingress = format!(
        "---\napiVersion: {version}\nkind: Ingress\nmetadata: {{name: i}}\nspec: {{{spec}}}\n"
    );
    let found = derived(&(web + &ingress), CIDR);
    assert_eq!(found.snapshot.services.len(), 1);
    let head = "f.yaml document 2 (Ingress default/i): ";
    let short = |said: &String| said.strip_prefix(head).unwrap_or(said).to_owned();
    found.said().iter().map(short).collect()
}

const NOTHING: [&str; 0] = [];
const OLD: [&str; 2] = ["extensions/v1beta1", "networking.k8s.io/v1beta1"];
const NEW: &str = "networking.k8s.io/v1";

fn old_path(backend: &str) -> String {
    format!("rules: [{{host: a.example, http: {{paths: [{{path: /, backend: {{{backend}}}}}]}}}}]")
}

fn new_path(backend: &str) -> String {
    old_path(backend).replace("path: /,", "path: /, pathType: Prefix,")
}

#[test]
fn one_without_mistakes_is_worth_no_sentence() {
    for version in OLD {
        assert_eq!(said(version, &old_path("serviceName: web, servicePort: 80")), NOTHING);
        assert_eq!(said(version, &old_path("serviceName: web, servicePort: http")), NOTHING);
        assert_eq!(said(version, "backend: {serviceName: web, servicePort: 80}"), NOTHING);
    }
    assert_eq!(said(NEW, &new_path("service: {name: web, port: {number: 80}}")), NOTHING);
    assert_eq!(said(NEW, &new_path("service: {name: web, port: {name: http}}")), NOTHING);
    assert_eq!(said(NEW, &new_path("resource: {kind: Bucket, name: b}")), NOTHING);
    assert_eq!(said(NEW, "rules: [{host: '*.example'}]"), NOTHING);
}

#[test]
fn an_old_field_in_a_new_object_and_the_other_way_round_is_named() {
    let backend = "spec.rules[0].http.paths[0].backend";
    let ignored = "is not a field of Ingress and is ignored";
    assert_eq!(
        said(NEW, &new_path("serviceName: web, servicePort: 80")),
        [
            format!("{backend}.serviceName: {ignored}"),
            format!("{backend}.servicePort: {ignored}"),
            format!("{backend}: names no Service"),
        ]
    );
    assert_eq!(
        said(OLD[0], &old_path("service: {name: web, port: {number: 80}}")),
        [format!("{backend}.service: {ignored}"), format!("{backend}: names no Service")]
    );
}

#[test]
fn a_typing_error_is_told_with_the_field_that_was_probably_meant() {
    for version in OLD {
        assert_eq!(
            said(version, &old_path("serviceNam: web, servicePort: 80")),
            [
                "spec.rules[0].http.paths[0].backend.serviceNam: is not a field of Ingress and is \
                 ignored; serviceName is probably meant",
                "spec.rules[0].http.paths[0].backend: names no Service",
            ]
        );
        assert_eq!(
            said(version, "rules: [{host: a.example, http: , paths: []}]"),
            [
                "spec.rules[0].paths: is not a field of Ingress and is ignored; http.paths is probably \
              meant"
            ]
        );
    }
}

#[test]
fn what_it_names_and_is_not_there_is_told() {
    let backend = "spec.rules[0].http.paths[0].backend";
    let of = |named| said(OLD[0], &old_path(named));
    assert_eq!(
        of("serviceName: bar, servicePort: 80"),
        [format!("{backend}: there is no Service \"bar\" in this namespace")]
    );
    let no_port = [format!("{backend}: Service default/web has no such port")];
    assert_eq!(of("serviceName: web, servicePort: 82"), no_port);
    assert_eq!(of("serviceName: web, servicePort: https"), no_port);
    let unnamed = [format!("{backend}: names no port of Service default/web")];
    assert_eq!(of("serviceName: web"), unnamed);
    assert_eq!(said(NEW, &new_path("service: {name: web}")), unnamed);
    assert_eq!(said(NEW, &new_path("service: {name: web, port: {}}")), unnamed);
}

#[test]
fn names_and_paths_have_a_form() {
    let of = |rule: &str| said(NEW, &format!("rules: [{{{rule}}}]"));
    for host in ["a_b.example", "10.0.0.1", "*.*.example", "http://a"] {
        let expect = format!("spec.rules[0].host: \"{host}\" is not a DNS name");
        assert_eq!(of(&format!("host: '{host}'")), [expect]);
    }
    let path = "http: {paths: [{path: a, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}";
    assert_eq!(of(path), ["spec.rules[0].http.paths[0].path: \"a\" does not begin with a slash"]);
}

#[test]
fn a_path_says_how_it_is_meant() {
    let field = "spec.rules[0].http.paths[0].pathType";
    let of = |kind: &str| {
        let path = new_path("service: {name: web, port: {number: 80}}");
        said(NEW, &path.replace("pathType: Prefix, ", kind))
    };
    let expect = "expected Exact, Prefix, ImplementationSpecific";
    assert_eq!(of(""), [format!("{field}: is missing, {expect}")]);
    assert_eq!(of("pathType: prefix, "), [format!("{field}: \"prefix\", {expect}")]);
}

#[test]
fn a_version_that_never_was_is_passed_over() {
    assert_eq!(said("extensions/v1", &old_path("")), NOTHING);
}
