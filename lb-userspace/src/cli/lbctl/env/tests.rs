use super::super::run;
use super::*;
use crate::model::ObjectName;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;

/// What `lbctl env ARGS` prints and how it ends.
fn lbctl(state: &Path, args: &[&str]) -> (String, String, ExitCode) {
    let mut line: Vec<OsString> = ["lbctl", "env"].map(Into::into).into();
    line.extend(args.iter().map(Into::into));
    line.extend(["--state-dir".into(), state.into()]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console =
        Console { out: &mut out, err: &mut err, color: false, terminal: false, watched: false };
    let code = run(line, &mut console);
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), code)
}

/// The same, beside an agent that gives `answer` to one question; the question, too.
fn asking(args: &[&str], answer: &Answer) -> (Question, String, String, ExitCode) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(crate::agent::socket::path(folder.path())).unwrap();
    let answer = serde_json::to_string(answer).unwrap() + "\n";
    let agent = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        serde_json::from_str(&line).unwrap()
    });
    let (out, err, code) = lbctl(folder.path(), args);
    (agent.join().unwrap(), out, err, code)
}

fn variables() -> Answer {
    let pairs = [("KUBIA_SERVICE_HOST", "10.96.0.10"), ("KUBIA_SERVICE_PORT", "80")];
    Answer::Environment(
        pairs
            .map(|(name, value)| Variable { name: name.to_owned(), value: value.to_owned() })
            .into(),
    )
}

#[test]
fn a_service_is_asked_for_by_its_name_in_one_of_three_forms() {
    for args in [&["shop/web"][..], &["web", "-n", "shop"], &["web", "--namespace=shop"]] {
        let (question, out, err, code) = asking(args, &variables());
        assert_eq!(question, Question::Environment(ObjectName::new("shop", "web")));
        assert_eq!(out, "KUBIA_SERVICE_HOST=10.96.0.10\nKUBIA_SERVICE_PORT=80\n");
        assert_eq!((err.as_str(), code), ("", ExitCode::SUCCESS));
    }
}

#[test]
fn a_namespace_is_asked_for_as_a_whole() {
    let (question, ..) = asking(&["--all", "shop"], &variables());
    assert_eq!(question, Question::EnvironmentIn("shop".to_owned()));
}

#[test]
fn json_is_the_list_that_a_container_has() {
    let (_, out, ..) = asking(&["web", "-o", "json"], &variables());
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list[0], serde_json::json!({"name": "KUBIA_SERVICE_HOST", "value": "10.96.0.10"}));
}

#[test]
fn no_variables_are_no_failure_and_a_sentence_beside_the_output() {
    let (_, out, err, code) = asking(&["web"], &Answer::Environment(Vec::new()));
    assert_eq!(out, "");
    assert_eq!(err, "no Service with a ClusterIP, so there are no variables\n");
    assert_eq!(code, ExitCode::SUCCESS);
}

#[test]
fn what_cannot_be_answered_is_said() {
    let (_, out, err, code) = asking(&["web"], &Answer::Unknown);
    assert_eq!((out.as_str(), code), ("", ExitCode::FAILURE));
    assert_eq!(err, "error: service \"default/web\" not found\n");
    let (_, _, err, _) = asking(&["web"], &Answer::Starting);
    assert_eq!(err, "error: the agent has not read all objects yet: try again\n");
    let nobody = tempfile::tempdir().unwrap();
    let (_, err, code) = lbctl(nobody.path(), &["web"]);
    assert!(err.starts_with("error: no agent runs with state folder"), "{err}");
    assert_eq!(code, ExitCode::FAILURE);
}

#[test]
fn one_service_or_a_namespace_has_to_be_named_and_not_both() {
    let nobody = tempfile::tempdir().unwrap();
    for args in [&[][..], &["web", "--all", "shop"], &["--all", "shop", "-n", "shop"]] {
        let (.., code) = lbctl(nobody.path(), args);
        assert_eq!(code, ExitCode::from(2), "{args:?}");
    }
}
