use super::*;
use crate::source::kubelet::plan::{Site, plan};
use crate::source::kubelet::probe::{Command, HttpGet};
use crate::source::manifests;
use std::path::Path;

/// With the API server's default of the timeout.
fn probe(check: Check) -> Probe {
    Probe { timeout: SECOND, ..super::probe(check) }
}

/// Probes by what they are about, and what is wrong.
type Planned<T> = (Vec<(String, T)>, Vec<String>);

/// What a manifest asks for on node-a.
fn asked(yaml: &str, commands: bool) -> Planned<Result<Probe, String>> {
    let (objects, mut problems) = manifests::objects(Path::new("f.yaml"), yaml);
    let (plan, found) = plan(&objects, &Site { node: "node-a".to_owned(), commands });
    problems.extend(found);
    let probes = plan.into_iter().map(|(probed, probe)| (probed.to_string(), probe));
    (probes.collect(), problems.iter().map(ToString::to_string).collect())
}

/// The probes that are made of it, where commands may run.
fn planned(yaml: &str) -> Planned<Probe> {
    let (probes, problems) = asked(yaml, true);
    let made = probes.into_iter().filter_map(|(about, probe)| Some((about, probe.ok()?)));
    (made.collect(), problems)
}

/// Why a probe is not made.
fn refused(yaml: &str) -> Vec<String> {
    let (probes, _) = asked(yaml, true);
    probes.into_iter().filter_map(|(_, probe)| probe.err()).collect()
}

/// A Pod with a container whose probe is this, in flow style.
fn pod(probe: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, annotations: {{service.lb/netns: host}}}}
spec:
  containers:
  - name: c
    env: [{{name: HOST, value: b}}, {{name: A, value: $(HOST)}}, {{name: SECRET, valueFrom: {{}}}},
      {{name: LATER, value: $(Z)}}, {{name: Z, value: z}}]
    ports: [{{name: http, containerPort: 8080}}]
    readinessProbe: {probe}
status: {{podIP: 10.0.0.1}}
"
    )
}

/// The probe of such a Pod, and what is wrong with it.
fn read(probe: &str) -> (Option<Probe>, Vec<String>) {
    let (mut probes, problems) = planned(&pod(probe));
    let head = "f.yaml document 1 (Pod default/web): spec.containers[0].readinessProbe";
    let short = |problem: &String| problem.strip_prefix(head).unwrap_or(problem).to_owned();
    (probes.pop().map(|(_, probe)| probe), problems.iter().map(short).collect())
}

fn checked(text: &str) -> Check {
    let (probe, problems) = read(text);
    assert_eq!(problems, <[String; 0]>::default(), "{text}");
    probe.unwrap().check
}

fn at(host: &str, port: u16) -> Place {
    Place { host: host.to_owned(), port }
}

#[test]
fn what_is_absent_has_the_api_servers_default() {
    let (found, _) = read("{httpGet: {port: 80}}");
    let place = at("10.0.0.1", 80);
    let get = HttpGet { tls: false, place, path: "/".to_owned(), headers: Vec::new() };
    assert_eq!(found, Some(probe(Check::Http(get))));
}

#[test]
fn numbers_are_those_that_are_written_and_zero_is_the_default() {
    let text = "{tcpSocket: {port: 1}, initialDelaySeconds: 5, periodSeconds: 4, timeoutSeconds: 3, \
                successThreshold: 2, failureThreshold: 1}";
    let found = read(text).0.unwrap();
    assert_eq!(
        (found.initial_delay, found.period, found.timeout),
        (5 * SECOND, 4 * SECOND, 3 * SECOND)
    );
    assert_eq!(found.thresholds, Thresholds { success: 2, failure: 1 });
    let text = "{tcpSocket: {port: 1}, periodSeconds: 0, timeoutSeconds: 0, successThreshold: 0, \
                failureThreshold: 0}";
    assert_eq!(read(text).0, Some(probe(Check::Tcp(at("10.0.0.1", 1)))));
}

#[test]
fn each_kind_of_check_is_read() {
    let http = checked(
        "{httpGet: {scheme: HTTPS, host: web.example, port: http, path: 'a b?c#d', httpHeaders: [{name: X-A, value: b}]}}",
    );
    let headers = vec![("X-A".to_owned(), "b".to_owned())];
    let place = at("web.example", 8080);
    assert_eq!(
        http,
        Check::Http(HttpGet { tls: true, place, path: "/a%20b?c".to_owned(), headers })
    );
    assert_eq!(checked("{tcpSocket: {port: http}}"), Check::Tcp(at("10.0.0.1", 8080)));
    assert_eq!(checked("{tcpSocket: {port: '81', host: '[::1]'}}"), Check::Tcp(at("::1", 81)));
    let grpc = Check::Grpc(at("10.0.0.1", 9), "web".to_owned());
    assert_eq!(checked("{grpc: {port: 9, service: web}}"), grpc);
    let environment =
        [("HOST", "b"), ("A", "b"), ("LATER", "$(Z)"), ("Z", "z"), ("LB_ADDRESS", "10.0.0.1")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let line = vec!["ls".to_owned(), "/var/$(HOST)/10.0.0.1/$(A)$(NOBODY)".to_owned()];
    let exec = Check::Exec(Command { line, environment, netns: None });
    assert_eq!(
        checked("{exec: {command: [ls, '/var/$(A)/$(LB_ADDRESS)/$$(A)$(SECRET)$(NOBODY)']}}"),
        exec
    );
}

#[test]
fn what_cannot_be_asked_is_told_with_its_field_and_counts_as_not_ready() {
    let cases = [
        ("{}", ": has no exec, httpGet, tcpSocket or grpc"),
        ("{httpGet: {}}", ".httpGet.port: 0 is not a port, expected 1 to 65535"),
        ("{tcpSocket: {port: web}}", ".tcpSocket.port: there is no port named \"web\""),
        ("{tcpSocket: {port: 70000}}", ".tcpSocket.port: 70000 is not a port, expected 1 to 65535"),
        ("{grpc: {port: -1}}", ".grpc.port: -1 is not a port, expected 1 to 65535"),
        ("{httpGet: {port: 80, scheme: FTP}}", ".httpGet.scheme: \"FTP\" is not HTTP or HTTPS"),
        ("{exec: {}}", ".exec.command: is empty"),
        ("{exec: {command: ['']}}", ".exec.command: is empty"),
    ];
    for (text, why) in cases {
        let (field, message) = why.split_once(": ").unwrap();
        let problem = format!("{why}; the probe is not made, and it counts as not ready");
        assert_eq!(read(text), (None, vec![problem]), "{text}");
        let reason = if field.is_empty() { message } else { why.trim_start_matches('.') };
        assert_eq!(refused(&pod(text)), [reason], "{text}");
    }
}

#[test]
fn what_is_odd_is_told_and_the_rest_is_asked() {
    let cases = [
        (
            "{tcpSocket: {port: 1}, periodSeconds: -1}",
            ".periodSeconds: -1 is negative; taken as 10",
        ),
        (
            "{tcpSocket: {port: 1}, grpc: {port: 2}}",
            ": has tcpSocket and grpc, and only tcpSocket is asked",
        ),
        (
            "{tcpSocket: {port: 1}, periodSecond: 5}",
            ".periodSecond: is not a field of Pod and is ignored; periodSeconds is probably meant",
        ),
        (
            "{tcpSocket: {port: 1}, periodSeconds: often}",
            ".periodSeconds: invalid type: string \"often\", expected i32; it is ignored",
        ),
        (
            "{httpGet: {port: 1, httpHeaders: [{name: 'a b', value: c}]}}",
            ".httpGet.httpHeaders[0]: \"a b\" is no HTTP header and is ignored",
        ),
    ];
    for (text, problem) in cases {
        let (probe, problems) = read(text);
        assert!(probe.is_some(), "{text}");
        assert_eq!(problems, [problem], "{text}");
    }
}

#[test]
fn a_command_runs_only_where_the_flag_allows_it_and_the_annotation_says_where() {
    let text = pod("{exec: {command: [ls]}}");
    let netns = |value: &str| planned(&text.replace("netns: host", value));
    let (probes, problems) = netns("other: host");
    assert!(probes.is_empty());
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("readinessProbe.exec: there is no container here"),
        "{problems:?}"
    );
    let (probes, problems) = asked(&text, false);
    let why = "exec: the agent makes no such probe without --exec-probes";
    assert_eq!(probes[0].1, Err(why.to_owned()));
    assert!(problems[0].contains("readinessProbe.exec: the agent makes no such"), "{problems:?}");
    let (probes, _) = netns("netns: /run/netns/web");
    let Check::Exec(command) = &probes[0].1.check else { panic!() };
    assert_eq!(command.netns.as_deref(), Some(Path::new("/run/netns/web")));
    let (probes, problems) = netns("netns: web");
    assert!(probes.is_empty());
    assert!(
        problems[0].contains("metadata.annotations[service.lb/netns]: is neither"),
        "{problems:?}"
    );
}

#[test]
fn a_pod_is_probed_on_its_node_or_wherever_its_manifest_lies() {
    let text = pod("{tcpSocket: {port: 1}}");
    let on = |spec: &str| planned(&text.replace("spec:\n", &format!("spec:\n{spec}"))).0.len();
    assert_eq!(on("  nodeName: node-a\n"), 1);
    assert_eq!(on("  nodeName: node-b\n"), 0);
    assert_eq!(on("  nodeName: ''\n"), 1);
    assert_eq!(on(""), 1);
    let status = |status: &str| planned(&text.replace("{podIP: 10.0.0.1}", status)).0.len();
    assert_eq!(status("{}"), 0);
    assert_eq!(status("{podIP: 10.0.0.1, phase: Succeeded}"), 0);
    assert_eq!(status("{podIP: 10.0.0.1, phase: Running}"), 1);
}

#[test]
fn each_container_and_sidecar_is_probed_by_itself() {
    let probes = planned(
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  initContainers:
  - {name: setup, readinessProbe: {tcpSocket: {port: 1}}}
  - {name: proxy, restartPolicy: Always, readinessProbe: {tcpSocket: {port: 2}}}
  containers:
  - {name: plain}
  - {name: web, readinessProbe: {tcpSocket: {port: 3}}, livenessProbe: {tcpSocket: {port: 4}}}
status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
",
    );
    let names: Vec<_> = probes.0.iter().map(|(name, _)| name.as_str()).collect();
    let expect = ["proxy (initContainers[1])", "web (containers[1])"]
        .map(|name| format!("Pod default/web container {name} at 10.0.0.1"));
    assert_eq!(names, expect);
}

#[test]
fn containers_of_one_name_or_none_are_probed_each() {
    let text = "{tcpSocket: {port: 1}}\n  - name: c\n    readinessProbe: {tcpSocket: {port: 2}}\n  \
                - readinessProbe: {tcpSocket: {port: 3}}";
    let (probes, _) = planned(&pod(text));
    let ports = probes.iter().map(|(_, probe)| probe.check.clone());
    let mut ports: Vec<_> = ports.map(|check| format!("{check:?}")).collect();
    ports.sort();
    let expect = [1, 2, 3].map(|port| format!("{:?}", Check::Tcp(at("10.0.0.1", port))));
    assert_eq!(ports, expect);
}

#[test]
fn a_misspelt_probe_is_told_however_much_else_is_odd() {
    let other = (0..20).map(|n| format!("    more{n}: x\n")).collect::<Vec<_>>().concat();
    for wrong in ["readinesProbe", "readinessprobe", "readynessProbe"] {
        let text = pod("{tcpSocket: {port: 1}}").replace("readinessProbe", wrong);
        let text = text.replace("status:", &format!("{other}status:"));
        let (probes, problems) = planned(&text);
        assert!(probes.is_empty());
        let field = format!("spec.containers[0].{wrong}");
        let head = "f.yaml document 1 (Pod default/web)";
        let expect = format!(
            "{head}: {field}: is not a field of Pod and is ignored; readinessProbe is probably meant"
        );
        assert_eq!(problems, [expect]);
    }
    let liveness = pod("{tcpSocket: {port: 1}}").replace("readinessProbe", "livenesProbe");
    assert_eq!(planned(&liveness).1, <[String; 0]>::default());
}

#[test]
fn a_probe_that_cannot_be_read_is_one_that_cannot_be_made() {
    let why = refused(&pod("often"));
    assert_eq!(why.len(), 1);
    assert!(why[0].starts_with("invalid type"), "{why:?}");
}

#[test]
fn probes_beyond_the_limit_are_not_made_and_count_as_not_ready() {
    let address = |n: u32| format!("{{ip: 10.0.{}.{}}}", n / 256, n % 256);
    let list = (0..5_003).map(address).collect::<Vec<_>>().join(", ");
    let (probes, problems) = asked(
        &format!(
            "
apiVersion: v1
kind: Endpoints
metadata: {{name: db, annotations: {{service.lb/readiness-probe: '{{tcpSocket: {{port: 1}}}}'}}}}
subsets: [{{addresses: [{list}], ports: [{{port: 1}}]}}]
"
        ),
        false,
    );
    let left_out: Vec<_> = probes.iter().filter_map(|(_, asked)| asked.clone().err()).collect();
    assert_eq!(left_out, ["there are more than 5000 probes"; 3]);
    assert_eq!(probes.len(), 5_003);
    assert!(problems[0].contains("this one and 2 more are not made"), "{problems:?}");
}

#[test]
fn endpoints_written_by_hand_ask_by_an_annotation() {
    let (probes, problems) = planned(
        "
apiVersion: v1
kind: Endpoints
metadata:
  name: db
  annotations:
    service.lb/readiness-probe: '{tcpSocket: {port: sql}, periodSeconds: 2}'
subsets:
- addresses: [{ip: 10.0.0.1}, {ip: nonsense}]
  notReadyAddresses: [{ip: 10.0.0.2}]
  ports: [{name: sql, port: 5432}]
- addresses: [{ip: 10.0.0.3}]
  ports: [{name: sql, port: 5433}]
",
    );
    let expect = [("10.0.0.1", 5432), ("10.0.0.3", 5433)].map(|(ip, port)| {
        let tcp = Probe { period: 2 * SECOND, ..probe(Check::Tcp(at(ip, port))) };
        (format!("Endpoints default/db at {ip}"), tcp)
    });
    assert_eq!(probes, expect);
    assert_eq!(problems, <[String; 0]>::default());
}

#[test]
fn a_slice_written_by_hand_asks_by_the_same_annotation() {
    let (probes, problems) = planned(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: db-1
  labels: {kubernetes.io/service-name: db}
  annotations:
    service.lb/readiness-probe: |
      httpGet:
        port: web
addressType: IPv6
endpoints:
- addresses: ['fd00::1', 'fd00::2']
- {addresses: ['fd00::3'], conditions: {ready: false}}
ports: [{name: web, port: 80}]
",
    );
    assert_eq!(probes.len(), 1);
    assert_eq!(probes[0].0, "EndpointSlice default/db-1 at fd00::1");
    assert_eq!(problems, <[String; 0]>::default());
}

#[test]
fn an_annotation_that_is_no_probe_is_told_once() {
    let said = |annotation: &str| {
        planned(&format!(
            "
apiVersion: v1
kind: Endpoints
metadata: {{name: db, annotations: {{service.lb/readiness-probe: '{annotation}'}}}}
subsets: [{{addresses: [{{ip: 10.0.0.1}}, {{ip: 10.0.0.2}}], ports: [{{port: 1}}]}}]
"
        ))
        .1
    };
    let head = "f.yaml document 1 (Endpoints default/db): metadata.annotations[service.lb/readiness-probe]";
    let unready = "; the probe is not made, and it counts as not ready";
    assert_eq!(said("tcp"), [format!("{head}: is not a map of fields{unready}")]);
    assert_eq!(
        said("{tcpSocket: {port: sql}}"),
        [format!("{head}.tcpSocket.port: there is no port named \"sql\"{unready}")]
    );
    assert_eq!(
        said("{tcpSocket: {prot: 1, port: 1}}"),
        [format!(
            "{head}.tcpSocket.prot: is not a field of it and is ignored; port is probably meant"
        )]
    );
    assert_eq!(said("{tcpSocket: {port: 1}, x: [").len(), 1);
}
