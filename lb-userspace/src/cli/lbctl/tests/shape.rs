use super::*;
use crate::cli::lbctl::output::Console;
use crate::cli::lbctl::resource::endpoints::endpoints;
use crate::cli::lbctl::resource::services::services;
use crate::cli::lbctl::{Options, run};
use clap::CommandFactory as _;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit code, standard output, standard error.
fn lbctl(args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console =
        Console { out: &mut out, err: &mut err, color: false, terminal: false, watched: false };
    let code = run(["lbctl"].iter().chain(args).map(Into::into), &mut console);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn arguments_are_consistent() {
    Options::command().debug_assert();
}

#[test]
fn help_teaches_with_examples_on_every_verb() {
    let verbs: [&[&str]; 18] = [
        &[],
        &["get"],
        &["get", "services"],
        &["get", "endpoints"],
        &["get", "frontends"],
        &["get", "backends"],
        &["get", "conntrack"],
        &["get", "sockets"],
        &["get", "affinity"],
        &["get", "links"],
        &["get", "status"],
        &["describe"],
        &["describe", "service"],
        &["explain"],
        &["explain", "service"],
        &["trace"],
        &["simulate"],
        &["completions"],
    ];
    for verb in verbs {
        let (code, out, err) = lbctl(&[verb, &["--help"]].concat());
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{verb:?}");
        assert!(out.contains("Examples:\n  "), "{verb:?}:\n{out}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &["get", "pods"][..],
        &["get", "svc", "a/b/c"],
        &["get", "svc", "-n", "x", "-A"],
        &["get", "ct", "--client", "ten"],
        &["trace", "--from", "10.0.0.1"],
        &["trace", "--from", "10.0.0.1", "--to", "10.0.0.2"],
        &["trace", "--from", "10.0.0.1", "--to", "10.0.0.2:80", "--count", "0"],
        &["explain", "svc", "a/b/c"],
        &["simulate"],
        &["simulate", "a.json", "--snat", "never"],
    ] {
        let (code, out, err) = lbctl(args);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""), "{args:?}");
        assert!(err.starts_with("error: "), "{args:?}: {err}");
    }
}

#[test]
fn nothing_pinned_exits_with_1_and_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let (code, out, err) = lbctl(&["--bpffs", folder, "get", "svc"]);
    assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
    let expected = "start lb-agent, or name the folder with --bpffs\n";
    assert_eq!(err, format!("error: no lb maps are pinned in {folder}: {expected}"));
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = lbctl(&["completions", shell]);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(out.contains("conntrack"), "{shell}");
    }
}

/// A reader that has seen enough.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_success() {
    let mut err = Vec::new();
    let mut console =
        Console { out: &mut Closed, err: &mut err, color: false, terminal: false, watched: false };
    let code = run(["lbctl", "completions", "bash"].map(Into::into), &mut console);
    assert_eq!((code, err.is_empty()), (ExitCode::SUCCESS, true));
}

#[test]
fn json_and_yaml_hold_the_same_items() {
    let rows = services(&tables(), &counters());
    let style = |format| Style { format, color: false };
    let json: serde_json::Value =
        serde_json::from_str(&list(&rows, style(Format::Json)).unwrap()).unwrap();
    let yaml: serde_json::Value =
        serde_saphyr::from_str(&list(&rows, style(Format::Yaml)).unwrap()).unwrap();
    assert_eq!(json, yaml);
    let expected = serde_json::json!({
        "namespace": "default", "name": "kubia", "type": "NodePort", "ip_families": ["IPv4", "IPv6"],
        "cluster_ips": ["10.96.0.10", "fd00:96::10"], "external_ips": [], "load_balancer_ips": [],
        "ports": [
            {"name": "http", "protocol": "TCP", "port": 80, "target_port": "8080", "node_port": 30123},
            {"name": "https", "protocol": "TCP", "port": 443, "target_port": "8080", "node_port": null},
        ],
        "ready": 3, "total": 4, "affinity_timeout_s": 10800,
        "external_policy": "Cluster", "internal_policy": "Cluster",
        "traffic": {"packets": 42, "bytes": 4200, "connections": 4},
    });
    assert_eq!(json["items"][1], expected);
}

#[test]
fn an_empty_list_is_items_for_programs_and_nothing_for_people() {
    let rows = services(&Tables::default(), &Counters::default());
    assert_eq!(list(&rows, TABLE).unwrap(), "");
    assert_eq!(
        list(&rows, Style { format: Format::Json, color: false }).unwrap(),
        "{\n  \"items\": []\n}\n"
    );
}

#[test]
fn only_state_words_are_coloured_and_columns_stay_in_line() {
    let rows = endpoints(&tables(), &counters());
    let plain = list(&rows, TABLE).unwrap();
    let colored = list(&rows, Style { color: true, ..TABLE }).unwrap();
    assert!(!plain.contains('\x1b'));
    let heads = colored.lines().next().unwrap();
    assert!(!heads.contains('\x1b'), "{heads:?}");
    // With the codes taken out, it is the same text.
    let mut bare = String::new();
    let mut rest = colored.as_str();
    while let Some((before, code)) = rest.split_once('\x1b') {
        bare += before;
        rest = code.split_once('m').unwrap().1;
    }
    bare += rest;
    assert_eq!(bare, plain);
}
