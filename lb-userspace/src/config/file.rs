//! Settings from a file: the flags of `lb-agent run` by their names, in YAML.
//!
//! `cluster-cidr: [10.244.0.0/16]` is `--cluster-cidr 10.244.0.0/16`. There is one definition of
//! every setting, and it is clap's: a file becomes arguments and is read as they are, so that both
//! mean the same and fail with the same words. What stands on the command line holds against the
//! file, and the file against the environment.

use anyhow::{Context as _, Result, anyhow, bail};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde_json::Value;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A file that is larger is none of ours.
const MAX_BYTES: u64 = 1 << 20;
/// The flag that names the file.
const CONFIG: &str = "config";

/// The matches of `arguments`, with the settings of the file that `verb` names by `--config`.
///
/// # Errors
/// The arguments are wrong (clap's own error, to be shown as it is), or the file is.
pub fn matches(command: &Command, verb: &str, arguments: &[OsString]) -> Result<ArgMatches> {
    // What is required may stand in the file: it is missed only when that has been read.
    let given = command.clone().ignore_errors(true).get_matches_from(arguments);
    let own = given.subcommand_matches(verb);
    let file = own.and_then(|own| own.get_one::<PathBuf>(CONFIG).cloned());
    let (Some(own), Some(file)) = (own, file) else {
        return Ok(command.clone().try_get_matches_from(arguments)?);
    };
    let flags = command.find_subcommand(verb).context("the verb has no definition")?;
    let mut all = arguments.to_vec();
    all.extend(read(&file, flags, own)?);
    let found = command.clone().try_get_matches_from(all);
    found.map_err(|error| in_file(&file, arguments, command, error))
}

/// The settings of a file as arguments, without those that were given.
fn read(file: &Path, flags: &Command, given: &ArgMatches) -> Result<Vec<OsString>> {
    let shown = file.display();
    let size = std::fs::metadata(file).with_context(|| format!("reading {shown}"))?.len();
    if size > MAX_BYTES {
        bail!("{shown} is larger than {MAX_BYTES} bytes: this is no file of settings");
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {shown}"))?;
    let value: Value =
        serde_saphyr::from_str(&text).map_err(|error| anyhow!("{shown}: {error}"))?;
    let settings = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(settings) => settings,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            bail!("{shown}: expected lines of the form `name: value`, such as `node: node-a`")
        }
    };
    let mut arguments = Vec::new();
    for (name, value) in &settings {
        if NO_SETTINGS.contains(&name.as_str()) {
            bail!("{shown}: {name} is no setting: it stands on the command line, if anywhere");
        }
        if !is_given(given, flags, name) {
            let argument = argument(flags, name, value);
            arguments.extend(argument.with_context(|| format!("{shown}: {name}"))?);
        }
    }
    Ok(arguments)
}

/// Whether a setting stands on the command line.
fn is_given(given: &ArgMatches, flags: &Command, name: &str) -> bool {
    let flag = flags.get_arguments().find(|flag| flag.get_long() == Some(name));
    let source = flag.and_then(|flag| given.value_source(flag.get_id().as_str()));
    source == Some(ValueSource::CommandLine)
}

/// A setting as an argument; none for a switch that is off.
fn argument(flags: &Command, name: &str, value: &Value) -> Result<Option<OsString>> {
    let flag = flags.get_arguments().find(|flag| flag.get_long() == Some(name));
    let is_switch = flag.is_some_and(|flag| !flag.get_action().takes_values());
    match (is_switch, value) {
        (true, Value::Bool(true)) => Ok(Some(format!("--{name}").into())),
        (true, Value::Bool(false)) => Ok(None),
        (true, other) => bail!("is {other}, expected true or false"),
        (false, value) => Ok(Some(format!("--{name}={}", words(value)?).into())),
    }
}

/// A value as it stands on a command line.
fn words(value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(list) => {
            let list: Result<Vec<String>> = list.iter().map(words).collect();
            Ok(list?.join(","))
        }
        Value::Null => bail!("has no value"),
        Value::Object(_) => bail!("is a mapping, expected one value or a list"),
    }
}

/// The error of arguments that came from a file, in the words of that file; an error that is there
/// without the file is clap's own.
fn in_file(
    file: &Path,
    arguments: &[OsString],
    command: &Command,
    error: clap::Error,
) -> anyhow::Error {
    let alone = command.clone().try_get_matches_from(arguments);
    if alone.is_err_and(|alone| alone.kind() != ErrorKind::MissingRequiredArgument) {
        return error.into();
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.trim_start_matches('-').to_owned()),
        _ => None,
    };
    let name = text(ContextKind::InvalidArg).unwrap_or_default();
    let name = name.split([' ', '=']).next().unwrap_or_default();
    let shown = file.display();
    match (error.kind(), text(ContextKind::SuggestedArg), text(ContextKind::InvalidValue)) {
        (ErrorKind::UnknownArgument, Some(meant), _) => {
            anyhow!("{shown}: there is no setting {name:?}, perhaps {meant:?} is meant")
        }
        (ErrorKind::UnknownArgument, None, _) => {
            anyhow!("{shown}: there is no setting {name:?}; `lb-agent run --help` has all of them")
        }
        (_, _, Some(value)) => {
            let source = std::error::Error::source(&error);
            let why = source.map_or_else(String::new, |why| format!(": {why}"));
            anyhow!("{shown}: {name} cannot be {value:?}{why}")
        }
        _ => error.into(),
    }
}

/// Every setting with its value, as a file that means the same; what is not set is a comment.
pub fn dump(flags: &Command, matches: &ArgMatches) -> String {
    let mut text = String::new();
    for flag in flags.get_arguments() {
        let Some(name) = flag.get_long().filter(|name| !NO_SETTINGS.contains(name)) else {
            continue;
        };
        let id = flag.get_id().as_str();
        let values: Vec<String> = matches
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .filter(|value| !value.is_empty())
            .collect();
        let many = flag.get_value_delimiter().is_some();
        let line = match values.as_slice() {
            [] => format!("# {name}:"),
            [value] if !many => format!("{name}: {}", quoted(value)),
            values => {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("{name}: [{}]", values.join(", "))
            }
        };
        // Writing to text cannot fail.
        let _ = writeln!(text, "{line}{}", origin(matches.value_source(id)));
    }
    text
}

/// Flags that say what a run is for, not how an agent works.
const NO_SETTINGS: [&str; 7] =
    [CONFIG, "dump-config", "shadow", "once", "output", "help", "version"];

/// Where a value is from, if it was not written by anybody.
fn origin(source: Option<ValueSource>) -> &'static str {
    match source {
        Some(ValueSource::DefaultValue) => " # default",
        Some(ValueSource::EnvVariable) => " # environment",
        _ => "",
    }
}

/// A YAML scalar: quoted where it would be read as something else.
fn quoted(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_plain =
        text.chars().all(is_word) && !text.starts_with(['-', '.']) && text.parse::<f64>().is_err();
    let is_bool = ["true", "false"].contains(&text);
    if (is_plain && !NO_WORDS.contains(&text)) || is_bool {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

/// What YAML takes for something else than text.
const NO_WORDS: [&str; 8] = ["null", "yes", "no", "on", "off", "y", "n", "~"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunArgs;
    use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Subcommand)]
    enum Verb {
        Run(Box<RunArgs>),
    }

    /// What a file and arguments mean together, as a dump, or what is wrong with them.
    fn settings(file: &str, arguments: &[&str]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.yaml");
        std::fs::write(&path, file).unwrap();
        let mut all: Vec<OsString> = ["lb-agent", "run", "--config"].map(Into::into).into();
        all.push(path.clone().into());
        all.extend(arguments.iter().map(Into::into));
        let command = Cli::command();
        let shorten = |text: String| text.replace(&path.display().to_string(), "lb.yaml");
        let matches =
            matches(&command, "run", &all).map_err(|error| shorten(format!("{error:#}")))?;
        Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        let run = command.find_subcommand("run").unwrap();
        Ok(dump(run, matches.subcommand_matches("run").unwrap()))
    }

    #[test]
    fn a_file_means_what_the_flags_of_the_same_names_mean() {
        let file = "manifests: /etc/lb\ncluster-cidr: [10.244.0.0/16, 'fd00::/64']\n\
                    snat: always\nmasquerade-all: true\nlocalhost-nodeports: false\nanswer-ping: false\n";
        let told = settings(file, &[]).unwrap();
        for line in [
            "manifests: /etc/lb",
            "cluster-cidr: [10.244.0.0/16, \"fd00::/64\"]",
            "snat: always",
            "masquerade-all: true",
            "localhost-nodeports: false",
            "answer-ping: false # default",
            "# service-cidr:",
            "# kubeconfig:",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\n{told}");
        }
    }

    #[test]
    fn the_command_line_holds_against_the_file() {
        let told = settings("manifests: /a\nsnat: always\n", &["--manifests", "/b"]).unwrap();
        assert!(told.contains("manifests: /b\n"), "{told}");
        assert!(told.contains("snat: always\n"), "{told}");
    }

    #[test]
    fn a_dump_read_again_is_the_same() {
        let told = settings("manifests: /a\nnode: '1'\ndevices: ['eth*', on]\n", &[]).unwrap();
        assert_eq!(
            settings(&told, &[]).unwrap().replace(" # default", ""),
            told.replace(" # default", "")
        );
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_in_its_own_words() {
        let cases = [
            (
                "clustr-cidr: x",
                "lb.yaml: there is no setting \"clustr-cidr\", perhaps \"cluster-cidr\" is meant",
            ),
            (
                "qwertz: 1",
                "lb.yaml: there is no setting \"qwertz\"; `lb-agent run --help` has all of them",
            ),
            ("snat: sometimes", "lb.yaml: snat cannot be \"sometimes\""),
            (
                "cluster-cidr: ten",
                "lb.yaml: cluster-cidr cannot be \"ten\": invalid IP address syntax",
            ),
            ("answer-ping: 3", "lb.yaml: answer-ping: is 3, expected true or false"),
            ("node: {a: b}", "lb.yaml: node: is a mapping, expected one value or a list"),
            ("node:", "lb.yaml: node: has no value"),
            (
                "config: x",
                "lb.yaml: config is no setting: it stands on the command line, if anywhere",
            ),
            (
                "dump-config: true",
                "lb.yaml: dump-config is no setting: it stands on the command line, if anywhere",
            ),
            (
                "once: true",
                "lb.yaml: once is no setting: it stands on the command line, if anywhere",
            ),
            ("- a", "lb.yaml: expected lines of the form `name: value`, such as `node: node-a`"),
        ];
        for (file, expected) in cases {
            assert_eq!(settings(file, &[]).unwrap_err(), expected, "{file}");
        }
        let said = settings("a: [", &[]).unwrap_err();
        assert!(said.starts_with("lb.yaml: "), "{said}");
        assert!(settings("", &["--nonsense"]).unwrap_err().contains("--nonsense"));
    }
}
