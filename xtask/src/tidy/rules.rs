//! What is forbidden where.

use super::tokens::{Token, scan, starts_with};
use anyhow::Result;
use std::fmt;
use std::path::Path;

/// The agent's crate; its modules stand in flow order.
const AGENT: &str = "lb-userspace/src/";

/// Modules that join the others: they may use all.
const JOINING: [&str; 2] = ["agent", "cli"];

/// A crate at the edge of the agent, and the only places that may name it.
struct Fence {
    name: &'static str,
    inside: &'static [&'static str],
}

const FENCES: [Fence; 6] = [
    Fence { name: "kube", inside: &["source/", "status/"] },
    Fence { name: "k8s_openapi", inside: &["source/", "status/"] },
    Fence { name: "aya", inside: &["bpf/"] },
    Fence { name: "prometheus_client", inside: &["metrics/"] },
    Fence { name: "hickory_proto", inside: &["dns/", "config/"] },
    Fence { name: "clap", inside: &["cli/", "config/", "bin/"] },
];

/// Modules that compute and do nothing else, and what would break that.
const PURE: [&str; 4] = ["model", "environment", "compile", "reconcile"];
const IMPURE: [&str; 4] = ["tokio", "aya", "async", "await"];

/// The only files with `unsafe`.
const UNSAFE: [&str; 9] = [
    "lb-ebpf/src/packet.rs",
    "lb-ebpf/src/socket.rs",
    "lb-ebpf/src/maps/mod.rs",
    "lb-ebpf/src/maps/flow.rs",
    "lb-ebpf/src/kernel.rs",
    "lb-ebpf/src/main.rs",
    "lb-ebpf/src/bench/main.rs",
    "lb-userspace/src/bpf/raw.rs",
    "fuzz/src/programs/coverage.rs",
];

/// Folders of one machine, spelled so that this file does not name them itself.
const LOCAL: [&str; 2] = [concat!("/wo", "rk/"), concat!("sha", "red/")];

/// The only file that may name them: it is about that machine.
const LOCAL_ALLOWED: &str = ".ci/run";

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// What the rules know of the whole tree.
pub(super) struct Tree {
    /// The agent's modules in flow order.
    order: Vec<String>,
}

impl Tree {
    /// Reads the flow order from the agent's `lib.rs`.
    pub(super) fn new(lib: &str) -> Result<Self> {
        let tokens = scan(lib)?;
        let modules = tokens.windows(3).filter(|window| {
            starts_with(window, &["mod"]) && window.last().is_some_and(|last| last.text == ";")
        });
        let order = modules.filter_map(|window| window.get(1)).map(|name| name.text.clone());
        Ok(Self { order: order.collect() })
    }

    /// All that is wrong with one file, by line.
    pub(super) fn check(&self, path: &str, text: &str) -> Vec<Finding> {
        let mut broken = local_names(path, text);
        if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
            match scan(text) {
                Ok(tokens) => broken.extend(self.check_rust(path, &tokens)),
                Err(error) => broken.push((1, error.to_string())),
            }
        }
        broken.sort();
        let finding = |(line, rule)| Finding { path: path.to_owned(), line, rule };
        broken.into_iter().map(finding).collect()
    }

    fn check_rust(&self, path: &str, tokens: &[Token]) -> Vec<(usize, String)> {
        let mut broken = unfinished(tokens);
        broken.extend(unsafe_code(path, tokens));
        if let Some(inner) = path.strip_prefix(AGENT) {
            broken.extend(fences(inner, tokens));
            broken.extend(impure(inner, tokens));
            broken.extend(self.back_edges(inner, tokens));
        }
        broken
    }

    /// A module may use only modules that stand above it in `lib.rs`.
    fn back_edges(&self, inner: &str, tokens: &[Token]) -> Vec<(usize, String)> {
        let own = module(inner);
        let Some(place) = self.place(own).filter(|_| !JOINING.contains(&own)) else {
            return Vec::new();
        };
        let later = |used: &&Token| self.place(&used.text).is_some_and(|other| other > place);
        let rule = |used: &Token| {
            (used.line, format!("{own} uses {}, which comes later in the flow", used.text))
        };
        used_modules(tokens).into_iter().filter(later).map(rule).collect()
    }

    fn place(&self, module: &str) -> Option<usize> {
        self.order.iter().position(|name| name == module)
    }
}

/// The top module that a file of the agent belongs to.
fn module(inner: &str) -> &str {
    let first = inner.split('/').next().unwrap_or(inner);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The modules after `crate::`, also inside its braces.
fn used_modules(tokens: &[Token]) -> Vec<&Token> {
    let mut used = Vec::new();
    for (at, _) in tokens.iter().enumerate() {
        let rest = tokens.get(at..).unwrap_or_default();
        if starts_with(rest, &["crate", "::", "{"]) {
            used.extend(heads(rest.get(3..).unwrap_or_default()));
        } else if starts_with(rest, &["crate", "::"]) {
            used.extend(rest.get(2));
        }
    }
    used
}

/// The first word of each part of a brace that has just opened.
fn heads(tokens: &[Token]) -> Vec<&Token> {
    let mut depth = 0_usize;
    let mut head = true;
    let mut heads = Vec::new();
    for token in tokens {
        match token.text.as_str() {
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "{" => depth += 1,
            "," if depth == 0 => head = true,
            _ if head => {
                heads.push(token);
                head = false;
            }
            _ => {}
        }
    }
    heads
}

fn fences(inner: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    let outside = |fence: &&Fence| !fence.inside.iter().any(|place| inner.starts_with(place));
    let name = |fence: &Fence| {
        let rule = format!("{} belongs to {} only", fence.name, fence.inside.join(", "));
        let named = crate_names(tokens, fence.name);
        named.into_iter().map(|line| (line, rule.clone())).collect::<Vec<_>>()
    };
    FENCES.iter().filter(outside).flat_map(name).collect()
}

/// The lines where `name` begins a path: the crate, not a module of our own with its name.
fn crate_names(tokens: &[Token], name: &str) -> Vec<usize> {
    let begins = |pair: &&[Token]| {
        !starts_with(pair, &["::"]) && pair.get(1).is_some_and(|token| token.text == name)
    };
    let path = |window: &&[Token]| {
        starts_with(window, &["use"]) || window.get(2).is_some_and(|next| next.text == "::")
    };
    let windows = tokens.windows(3).filter(begins).filter(path);
    windows.filter_map(|window| window.get(1)).map(|token| token.line).collect()
}

fn impure(inner: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    let own = module(inner);
    if !PURE.contains(&own) {
        return Vec::new();
    }
    let words = tokens.iter().filter(|token| IMPURE.contains(&token.text.as_str()));
    words.map(|token| (token.line, format!("{own} is pure: no {}", token.text))).collect()
}

fn unsafe_code(path: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    if UNSAFE.contains(&path) {
        return Vec::new();
    }
    let words = tokens.iter().filter(|token| token.text == "unsafe");
    words.map(|token| (token.line, "unsafe is for the named files only".to_owned())).collect()
}

fn unfinished(tokens: &[Token]) -> Vec<(usize, String)> {
    let signs: [&[&str]; 3] =
        [&["#", "[", "ignore"], &["todo", "!", "("], &["unimplemented", "!", "("]];
    let mut broken = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let rest = tokens.get(at..).unwrap_or_default();
        let sign = signs.iter().find(|sign| starts_with(rest, sign));
        broken.extend(sign.map(|sign| (token.line, format!("{} is unfinished", sign.concat()))));
    }
    broken
}

fn local_names(path: &str, text: &str) -> Vec<(usize, String)> {
    if path == LOCAL_ALLOWED {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let named = LOCAL.iter().filter(|name| is_named(line, name));
        broken.extend(named.map(|name| (at + 1, format!("{name} is a folder of one machine"))));
    }
    broken
}

/// Whether `name` stands in `line` as the beginning of a word.
fn is_named(line: &str, name: &str) -> bool {
    let before = |at: usize| line.get(..at).and_then(|before| before.chars().next_back());
    line.match_indices(name).any(|(at, _)| !before(at).is_some_and(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "/// a\npub mod config;\nmod source;\npub mod model;\npub mod compile;\n\
                       pub mod reconcile;\npub mod bpf;\npub mod agent;\npub mod cli;\n";

    /// The findings in one file, as `line: rule`.
    fn check(path: &str, text: &str) -> Vec<String> {
        let findings = Tree::new(LIB).unwrap().check(path, text);
        findings.iter().map(|f| format!("{}: {}", f.line, f.rule)).collect()
    }

    fn agent(inner: &str, text: &str) -> Vec<String> {
        check(&format!("lb-userspace/src/{inner}"), text)
    }

    #[test]
    fn a_stage_may_use_earlier_stages() {
        let text = "use crate::model::Service;\nuse crate::{config::Config, source};";
        assert_eq!(agent("compile/mod.rs", text), [""; 0]);
    }

    #[test]
    fn a_stage_must_not_use_later_stages() {
        let text = "\nuse crate::bpf::Table;\nuse crate::{config, agent::{self, cli}};";
        let expected = [
            "2: compile uses bpf, which comes later in the flow",
            "3: compile uses agent, which comes later in the flow",
        ];
        assert_eq!(agent("compile/slot.rs", text), expected);
    }

    #[test]
    fn a_path_in_the_code_is_a_use_too() {
        let found = agent("model/mod.rs", "fn f() { crate::compile::compile() }");
        assert_eq!(found, ["1: model uses compile, which comes later in the flow"]);
    }

    #[test]
    fn the_modules_that_join_use_all() {
        assert_eq!(agent("agent.rs", "use crate::{bpf, cli, model};"), [""; 0]);
        assert_eq!(agent("cli/get.rs", "use crate::agent;"), [""; 0]);
    }

    #[test]
    fn edge_crates_stay_at_their_edge() {
        assert_eq!(agent("source/cluster.rs", "use kube::Client;\nuse k8s_openapi::api;"), [""; 0]);
        assert_eq!(
            agent("agent.rs", "use kube::Client;"),
            ["1: kube belongs to source/, status/ only"]
        );
        assert_eq!(agent("config/mod.rs", "#[derive(clap::Args)] struct A;"), [""; 0]);
        assert_eq!(agent("agent.rs", "fn f(a: aya::Ebpf) {}"), ["1: aya belongs to bpf/ only"]);
        assert_eq!(
            agent("source/mod.rs", "use clap;"),
            ["1: clap belongs to cli/, config/, bin/ only"]
        );
    }

    #[test]
    fn a_module_of_our_own_may_bear_a_crates_name() {
        assert_eq!(agent("agent.rs", "use crate::source::kube::Watch;"), [""; 0]);
    }

    #[test]
    fn pure_modules_do_not_wait() {
        let found = agent("reconcile/diff.rs", "async fn f() {}\n// await\nuse tokio::time;");
        assert_eq!(found, ["1: reconcile is pure: no async", "3: reconcile is pure: no tokio"]);
        assert_eq!(agent("agent.rs", "async fn f() {}"), [""; 0]);
    }

    #[test]
    fn unsafe_stays_in_its_files() {
        assert_eq!(check("lb-ebpf/src/packet.rs", "unsafe fn f() {}"), [""; 0]);
        let found = check("lb-common/src/flow.rs", "// unsafe\nunsafe fn f() {}");
        assert_eq!(found, ["2: unsafe is for the named files only"]);
    }

    #[test]
    fn nothing_is_left_unfinished() {
        let text = "#[test]\n#[ignore = \"slow\"]\nfn f() { todo!() }\nfn g() { \"todo!()\" }";
        let found = check("xtask/src/build.rs", text);
        assert_eq!(found, ["2: #[ignore is unfinished", "3: todo!( is unfinished"]);
    }

    #[test]
    fn folders_of_one_machine_are_not_named() {
        let [first, second] = LOCAL;
        let text = format!("see {first}x\nor {second}y\nor un{second}y");
        let found = check("README.md", &text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].starts_with("2: "));
        assert_eq!(check(".ci/run", &text), [""; 0]);
    }

    #[test]
    fn what_is_not_rust_is_said() {
        assert!(check("xtask/src/build.rs", "fn f( {")[0].starts_with("1: not Rust"));
    }
}
