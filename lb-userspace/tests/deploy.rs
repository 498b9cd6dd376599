//! What `deploy/` gives to a cluster and to systemd fits the agent, and asks for no more than the
//! documentation says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use clap::{Args as _, Parser};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use lb_userspace::config::RunArgs;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const MANIFESTS: &str = "lb.yaml";
const TEMPLATE: &str = "helm/lb/templates/daemonset.yaml";
const CHART: &str = "helm/lb/Chart.yaml";
const UNIT: &str = "systemd/lb-agent.service";

/// What an agent of a cluster is not told: it has no folder, finds the API server by its service
/// account, is given `ClusterIPs`, and has its settings from the chart. Places are told by variables,
/// for `lbctl` too. It compares with kube-proxy where people and netfilter's tools are: on the node.
const NOT_FOR_CLUSTERS: [&str; 9] = [
    "manifests",
    "exec-probes",
    "kubeconfig",
    "service-cidr",
    "config",
    "dump-config",
    "shadow",
    "once",
    "output",
];

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
}

/// A file of `deploy`.
fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The plain manifests.
fn objects() -> Vec<Value> {
    serde_saphyr::from_multiple(&file(MANIFESTS)).unwrap()
}

/// The objects of a kind.
fn of_kind<T: serde::de::DeserializeOwned>(kind: &str) -> Vec<T> {
    let objects = objects().into_iter().filter(|object| object["kind"] == kind);
    objects.map(|object| serde_json::from_value(object).unwrap()).collect()
}

/// The only object of a kind.
fn object<T: serde::de::DeserializeOwned>(kind: &str) -> T {
    let mut objects = of_kind(kind);
    assert_eq!(objects.len(), 1, "objects of kind {kind}");
    objects.remove(0)
}

/// The pods of both `DaemonSets`.
fn pods() -> impl Iterator<Item = PodSpec> {
    of_kind::<DaemonSet>("DaemonSet")
        .into_iter()
        .map(|set| set.spec.unwrap().template.spec.unwrap())
}

/// All containers of all pods.
fn containers() -> impl Iterator<Item = Container> {
    pods().flat_map(|pod| pod.init_containers.into_iter().flatten().chain(pod.containers))
}

/// The container that runs the agent.
fn agent() -> Container {
    containers().find(|container| container.name == "agent").unwrap()
}

/// What `lb-agent run` makes of these arguments.
fn parse(arguments: &[String]) -> RunArgs {
    assert_eq!(arguments.first().unwrap(), "run");
    let cli = Cli::try_parse_from(arguments).unwrap();
    cli.run.check().unwrap();
    cli.run
}

/// All flags of `lb-agent run`.
fn flags() -> clap::Command {
    RunArgs::augment_args(clap::Command::new("run"))
}

fn names(command: &clap::Command) -> BTreeSet<String> {
    command.get_arguments().filter_map(|flag| flag.get_long()).map(str::to_owned).collect()
}

/// Words behind `--` in a template.
fn flags_in(text: &str) -> BTreeSet<String> {
    let ends = |c: char| !(c.is_ascii_lowercase() || c == '-');
    let words = text.split("--").skip(1).filter_map(|rest| rest.split(ends).next());
    words.filter(|word| word.len() > 1).map(str::to_owned).collect()
}

/// Capabilities as the unit has them: with their prefix.
fn capabilities_of_pods() -> BTreeSet<String> {
    let capabilities = agent().security_context.unwrap().capabilities.unwrap();
    assert_eq!(capabilities.drop.unwrap(), ["ALL"]);
    capabilities.add.unwrap().iter().map(|name| format!("CAP_{name}")).collect()
}

/// The words of a line `key=...` of the unit.
fn unit(key: &str) -> Vec<String> {
    let text = file(UNIT);
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_agent_takes_what_the_manifests_tell_it() {
    let run = parse(&agent().args.unwrap());
    assert_eq!(run.node.as_deref(), Some("$(NODE_NAME)"));
    assert_eq!(run.manifests, None);
    assert_eq!(run.kubeconfig, None);
}

#[test]
fn the_agent_takes_what_systemd_tells_it() {
    let words = unit("ExecStart");
    parse(words.split_first().unwrap().1);
}

#[test]
fn a_default_of_the_chart_is_the_agents_own() {
    let arguments = agent().args.unwrap();
    let flags = flags();
    for flag in flags.get_arguments() {
        let defaults = flag.get_default_values();
        let prefix = format!("--{}=", flag.get_long().unwrap());
        if let Some(told) = arguments.iter().find_map(|argument| argument.strip_prefix(&prefix))
            && !defaults.is_empty()
        {
            assert_eq!(defaults, [told.trim_start_matches(FOR_KUBELETS)], "{prefix}");
        }
    }
}

/// A place of its own: kube-proxy, while it is there, has the agent's usual one.
const FOR_KUBELETS: &str = "127.0.0.1:10242,";

#[test]
fn kubelets_ask_where_kube_proxy_does_not_answer() {
    let agent = agent();
    for probe in [agent.liveness_probe, agent.readiness_probe] {
        let asked = probe.unwrap().http_get.unwrap();
        let IntOrString::Int(port) = asked.port else { panic!("{:?}", asked.port) };
        assert_eq!(format!("{}:{port},", asked.host.unwrap()), FOR_KUBELETS);
    }
}

#[test]
fn every_flag_that_means_something_on_a_cluster_is_in_the_chart() {
    let known = names(&flags());
    let told = flags_in(&file(TEMPLATE));
    let unknown: Vec<&String> = told.difference(&known).collect();
    assert!(unknown.is_empty(), "not flags of the agent: {unknown:?}");
    let variables: BTreeSet<String> =
        agent().env.unwrap().into_iter().map(|variable| variable.name).collect();
    let is_missing = |flag: &&clap::Arg| {
        let name = flag.get_long().unwrap();
        let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
        !told.contains(name) && !variables.contains(variable) && !NOT_FOR_CLUSTERS.contains(&name)
    };
    let flags = flags();
    let missing: Vec<&str> =
        flags.get_arguments().filter(is_missing).filter_map(clap::Arg::get_long).collect();
    assert!(missing.is_empty(), "no value of the chart becomes {missing:?}");
}

#[test]
fn all_of_it_has_the_version_of_the_workspace() {
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_saphyr::from_str(&file(CHART)).unwrap();
    assert_eq!(chart["version"], version);
    assert_eq!(chart["appVersion"], version);
    for container in containers() {
        assert_eq!(container.image.unwrap(), format!("lb:{version}"));
    }
    for object in objects() {
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/version"], version);
    }
}

#[test]
fn the_agent_may_read_what_it_follows_and_tell_of_it() {
    let rules = object::<ClusterRole>("ClusterRole").rules.unwrap();
    let granted: BTreeSet<String> = rules
        .iter()
        .flat_map(|rule| {
            assert_eq!((&rule.resource_names, &rule.non_resource_urls), (&None, &None));
            let groups = rule.api_groups.as_deref().unwrap().join(",");
            let resources = rule.resources.as_deref().unwrap().join(",");
            rule.verbs.iter().map(move |verb| format!("{verb} {groups}/{resources}"))
        })
        .collect();
    let expected = [
        "list /services",
        "watch /services",
        "list discovery.k8s.io/endpointslices",
        "watch discovery.k8s.io/endpointslices",
        "list /nodes",
        "watch /nodes",
        "create events.k8s.io/events",
    ];
    assert_eq!(granted, BTreeSet::from(expected.map(str::to_owned)));
}

#[test]
fn pods_get_what_the_documentation_says_and_no_more() {
    for pod in pods() {
        let profile = pod.security_context.unwrap().seccomp_profile.unwrap();
        assert_eq!(profile.type_, "RuntimeDefault");
        assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (Some(true), None, None));
    }
    for container in containers() {
        let security = container.security_context.unwrap();
        assert_eq!(security.privileged, None, "{}", container.name);
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.seccomp_profile, None);
    }
    let text = file("../docs/install.md");
    let documented: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `CAP_")?.split('`').next())
        .map(|name| format!("CAP_{name}"))
        .collect();
    assert_eq!(capabilities_of_pods(), documented);
}

#[test]
fn systemd_grants_what_the_chart_does() {
    let capabilities: BTreeSet<String> = unit("CapabilityBoundingSet").into_iter().collect();
    assert_eq!(capabilities, capabilities_of_pods());
    assert_eq!(unit("NoNewPrivileges"), ["yes"]);
    assert_eq!(unit("ProtectSystem"), ["strict"]);
}

/// A pod's rollout must not take away who answers for it: each has a pod and a selector of its own,
/// and the next one is there before the last one goes.
#[test]
fn who_answers_load_balancers_outlives_the_agents_pod() {
    let sets = of_kind::<DaemonSet>("DaemonSet");
    let [agent, health] = <[_; 2]>::try_from(sets).unwrap().map(|set| set.spec.unwrap());
    let chosen = agent.selector.match_labels.unwrap();
    let labels = health.template.metadata.unwrap().labels.unwrap();
    assert!(chosen.iter().any(|(key, value)| labels.get(key) != Some(value)), "{chosen:?}");
    let rollout = health.update_strategy.unwrap().rolling_update.unwrap();
    assert_eq!(rollout.max_surge, Some(IntOrString::Int(1)));
    assert_eq!(rollout.max_unavailable, Some(IntOrString::Int(0)));
    let container = health.template.spec.unwrap().containers.remove(0);
    assert_eq!(container.args.unwrap().first().unwrap(), "health");
    let capabilities = container.security_context.unwrap().capabilities.unwrap();
    assert_eq!((capabilities.drop, capabilities.add), (Some(vec!["ALL".to_owned()]), None));
}
