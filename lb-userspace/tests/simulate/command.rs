//! What people type and see.

use crate::{changed, example, guide};
use lb_userspace::cli::lbctl::{Console, run};
use serde_json::{Value, json};
use std::fs;
use std::process::ExitCode;
use tempfile::TempDir;

/// A folder of files.
struct Folder(TempDir);

impl Folder {
    fn of(files: &[(&str, String)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    /// Exit code, standard output, standard error; the folder is called DIR in both.
    fn lbctl(&self, args: &[&str]) -> (ExitCode, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console =
            Console { out: &mut out, err: &mut err, color: false, terminal: false, watched: false };
        let args =
            ["lbctl", "simulate"].iter().chain(args).map(|arg| match arg.strip_prefix("DIR") {
                Some(rest) => format!("{}{rest}", self.0.path().display()).into(),
                None => (*arg).into(),
            });
        let code = run(args, &mut console);
        let text = |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(&self.0.path().display().to_string(), "DIR")
        };
        (code, text(out), text(err))
    }
}

#[test]
fn the_guide_shows_what_is_printed() {
    let folder = Folder::of(&[("kubia.json", example().to_string())]);
    let (code, out, err) = folder.lbctl(&["DIR/kubia.json"]);
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
    let guide = guide();
    let (_, rest) = guide.split_once("$ sudo lbctl simulate kubia.json\n").unwrap();
    assert_eq!(out, rest.split_once("```").unwrap().0);
}

#[test]
fn a_difference_is_told_and_exits_with_1() {
    let wrong = changed(
        "/packets/2/expect",
        json!({"verdict": "dnat", "backends": ["10.244.2.12:8080"], "snat": true}),
    );
    let folder = Folder::of(&[("wrong.json", wrong.to_string())]);
    let (code, out, _) = folder.lbctl(&["DIR"]);
    assert_eq!(code, ExitCode::FAILURE);
    let told = "  ✗ a client outside reaches the pod of this node, which sees its address  dnat, \
                10.244.1.11:8080\n      missing  10.244.2.12:8080\n      extra    \
                10.244.1.11:8080\n";
    assert!(out.contains(told), "{out}");
    assert!(out.ends_with("\n1 scenario, 1 failed; 5 checks, 1 failed\n"), "{out}");
}

#[test]
fn a_file_that_cannot_be_read_exits_with_2_and_the_others_still_run() {
    let good = example().to_string();
    let bad = changed("/packets/2/expect/verdict", json!("accept")).to_string();
    let folder =
        Folder::of(&[("a-bad.json", bad), ("b-good.json", good), ("c.txt", String::new())]);
    let (code, out, err) = folder.lbctl(&["DIR", "DIR/missing.json"]);
    assert_eq!(code, ExitCode::from(2));
    let told = "error: DIR/a-bad.json: packets[2].expect.verdict: unknown variant `accept`, \
                expected one of `dnat`, `pass`, `drop`, `reject`\n\
                error: DIR/missing.json: No such file or directory (os error 2)\n";
    assert_eq!(err, told);
    let last = "1 scenario, 0 failed; 5 checks, 0 failed; 2 files not read or played\n";
    assert!(out.ends_with(last), "{out}");
}

#[test]
fn a_folder_without_scenarios_is_an_error() {
    let folder = Folder::of(&[]);
    let (code, _, err) = folder.lbctl(&["DIR"]);
    assert_eq!(code, ExitCode::from(2));
    assert_eq!(err, "error: DIR: no *.json is in this folder\n");
}

#[test]
fn json_is_a_list_with_one_entry_per_scenario() {
    let folder = Folder::of(&[("kubia.json", example().to_string())]);
    let (code, out, _) = folder.lbctl(&["-o", "json", "DIR/kubia.json"]);
    assert_eq!(code, ExitCode::SUCCESS);
    let list: Value = serde_json::from_str(&out).unwrap();
    let [report] = list.as_array().unwrap().as_slice() else { panic!("{out}") };
    let counts = [&report["id"], &report["passed"], &report["failed"], &report["problems"]];
    assert_eq!(counts, [&json!("kubia"), &json!(5), &json!(0), &json!([])]);
    let first = json!({
        "name": "a pod reaches both",
        "expected": {
            "verdict": "dnat",
            "backends": ["10.244.1.11:8080", "10.244.2.12:8080"],
            "snat": false
        },
        "actual": {
            "verdict": "dnat",
            "backends": ["10.244.1.11:8080", "10.244.2.12:8080"],
            "snat": false
        },
        "ok": true
    });
    assert_eq!(report["packets"][0], first);
    let places = ["\"id\"", "\"passed\"", "\"failed\"", "\"packets\"", "\"problems\""];
    let places = places.map(|field| out.find(field).unwrap());
    assert!(places.is_sorted(), "the order of fields is stable: {out}");
}
