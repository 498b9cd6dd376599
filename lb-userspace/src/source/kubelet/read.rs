//! A v1 Probe to what is asked: the API's defaults and validation, and the kubelet's way with named
//! ports (`probe/util.go`).
//!
//! A number that means nothing gets its default. What would leave nothing to be asked makes the
//! probe as a whole unusable. Then nobody probes, and what asked for the probe is not ready, as
//! with a kubelet: whoever wrote a probe does not want traffic before it succeeds.

use super::expand::expand;
use super::probe::{Check, Command, HttpGet, Place, Probe};
use super::threshold::Thresholds;
use crate::source::report::{Report, quoted};
use hyper::header::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Says in which network namespace commands run, and that they may run here at all.
pub(crate) const NETNS: &str = "service.lb/netns";
/// Its value for the agent's own.
const OWN_NETNS: &str = "host";

/// How sentences end about a probe that cannot be made.
pub(super) const UNREADY: &str = "; the probe is not made, and it counts as not ready";

/// A variable for commands.
pub(super) struct Variable {
    pub(super) name: String,
    /// As it is written; `None`: it comes from an object that only an API server has.
    pub(super) value: Option<String>,
}

/// What a probe is read with.
pub(super) struct Context<'a> {
    /// Path of the probe.
    pub(super) path: &'a str,
    /// The address that is asked where the probe names none.
    pub(super) address: IpAddr,
    /// Number of the port with this name.
    pub(super) port: &'a dyn Fn(&str) -> Option<i32>,
    /// Variables for commands.
    pub(super) environment: &'a [Variable],
    /// Annotation [`NETNS`].
    pub(super) netns: Option<&'a str>,
    /// Commands may run (`--exec-probes`). The annotation is in the same file as the command, so it
    /// is no permission.
    pub(super) commands: bool,
}

/// Why a probe cannot be made; it is in the report, too.
pub(super) type Unusable = String;

/// What `object` asks.
pub(super) fn probe(
    object: &api::Probe,
    context: &Context<'_>,
    report: &mut Report,
) -> Result<Probe, Unusable> {
    let mut number = |name: &str, written: Option<i32>, default: u32| {
        seconds(written, default, &format!("{}.{name}", context.path), report)
    };
    let initial_delay = number("initialDelaySeconds", object.initial_delay_seconds, 0);
    let period = number("periodSeconds", object.period_seconds, 10);
    let timeout = number("timeoutSeconds", object.timeout_seconds, 1);
    let success = number("successThreshold", object.success_threshold, 1);
    let failure = number("failureThreshold", object.failure_threshold, 3);
    Ok(Probe {
        check: check(object, context, report)?,
        initial_delay: Duration::from_secs(initial_delay.into()),
        period: Duration::from_secs(period.into()),
        timeout: Duration::from_secs(timeout.into()),
        thresholds: Thresholds { success, failure },
    })
}

/// A number of which 0 means the default, as with the API server.
fn seconds(written: Option<i32>, default: u32, path: &str, report: &mut Report) -> u32 {
    let written = written.unwrap_or_default();
    let number = u32::try_from(written).ok();
    let number = report.need(number, path, || format!("{written} is negative; taken as {default}"));
    number.filter(|&number| number != 0).unwrap_or(default)
}

/// Of several the kubelet makes the first of this order.
fn check(
    object: &api::Probe,
    context: &Context<'_>,
    report: &mut Report,
) -> Result<Check, Unusable> {
    let api::Probe { exec, http_get, tcp_socket, grpc, .. } = object;
    let named = [
        ("exec", exec.is_some()),
        ("httpGet", http_get.is_some()),
        ("tcpSocket", tcp_socket.is_some()),
        ("grpc", grpc.is_some()),
    ];
    let named: Vec<&str> = named.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if let [first, _, ..] = named.as_slice() {
        let message = format!("has {}, and only {first} is asked", named.join(" and "));
        report.add(context.path, message);
    }
    if let Some(exec) = exec {
        return command(exec, context, report).map(Check::Exec);
    }
    if let Some(get) = http_get {
        return http(get, context, report).map(Check::Http);
    }
    if let Some(tcp) = tcp_socket {
        let path = format!("{}.tcpSocket", context.path);
        return place(&tcp.port, tcp.host.as_deref(), &path, context, report).map(Check::Tcp);
    }
    if let Some(grpc) = grpc {
        let path = format!("{}.grpc", context.path);
        let port = IntOrString::Int(grpc.port);
        let service = grpc.service.clone().unwrap_or_default();
        return Ok(Check::Grpc(place(&port, None, &path, context, report)?, service));
    }
    unusable(context, context.path, "has no exec, httpGet, tcpSocket or grpc", report)
}

fn http(
    get: &api::HTTPGetAction,
    context: &Context<'_>,
    report: &mut Report,
) -> Result<HttpGet, Unusable> {
    let path = format!("{}.httpGet", context.path);
    let tls = match get.scheme.as_deref().unwrap_or_default().to_ascii_uppercase().as_str() {
        "" | "HTTP" => false,
        "HTTPS" => true,
        _ => {
            let scheme = quoted(get.scheme.as_deref().unwrap_or_default());
            let message = format!("{scheme} is not HTTP or HTTPS");
            return unusable(context, &format!("{path}.scheme"), &message, report);
        }
    };
    Ok(HttpGet {
        tls,
        place: place(&get.port, get.host.as_deref(), &path, context, report)?,
        path: request_path(get.path.as_deref().unwrap_or_default()),
        headers: headers(get, &path, report),
    })
}

/// Without the fragment, which is never sent; what a request line cannot carry is escaped.
pub(super) fn request_path(written: &str) -> String {
    let written = written.split('#').next().unwrap_or_default();
    let slash = if written.starts_with('/') { "" } else { "/" };
    let escaped = |byte: u8| {
        if byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    std::iter::once(slash.to_owned()).chain(written.bytes().map(escaped)).collect()
}

fn headers(get: &api::HTTPGetAction, path: &str, report: &mut Report) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (index, header) in get.http_headers.iter().flatten().enumerate() {
        let api::HTTPHeader { name, value } = header;
        if HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok() {
            headers.push((name.clone(), value.clone()));
        } else {
            let message = format!("{} is no HTTP header and is ignored", quoted(name));
            report.add(format!("{path}.httpHeaders[{index}]"), message);
        }
    }
    headers
}

fn command(
    exec: &api::ExecAction,
    context: &Context<'_>,
    report: &mut Report,
) -> Result<Command, Unusable> {
    let path = format!("{}.exec", context.path);
    let line = exec.command.clone().unwrap_or_default();
    if line.first().is_none_or(String::is_empty) {
        return unusable(context, &format!("{path}.command"), "is empty", report);
    }
    if !context.commands {
        let message = "the agent makes no such probe without --exec-probes";
        return unusable(context, &path, message, report);
    }
    let Some(netns) = context.netns else {
        let message = format!(
            "there is no container here to run it in; annotation {NETNS} may name a network \
             namespace of this host, in which it then runs as root"
        );
        return unusable(context, &path, &message, report);
    };
    let netns = (netns != OWN_NETNS).then(|| PathBuf::from(netns));
    if netns.as_ref().is_some_and(|file| !file.is_absolute()) {
        let path = format!("metadata.annotations[{NETNS}]");
        return unusable(
            context,
            &path,
            "is neither host nor a path such as /run/netns/NAME",
            report,
        );
    }
    let line = line.iter().map(|word| expand(word, |name| named(context.environment, name)));
    Ok(Command { line: line.collect(), environment: values(context.environment), netns })
}

/// What stands for a name in a command: the last value as it is written, or nothing where it is not
/// known (`ExpandContainerCommandOnlyStatic` in `pkg/kubelet/container/helpers.go`).
fn named<'a>(environment: &'a [Variable], name: &str) -> Option<&'a str> {
    let latest = environment.iter().rev().find(|one| one.name == name)?;
    Some(latest.value.as_deref().unwrap_or_default())
}

/// What a process gets: every value with those before it in the place of their names
/// (`makeEnvironmentVariables` in `pkg/kubelet/kubelet_pods.go`).
fn values(environment: &[Variable]) -> Vec<(String, String)> {
    let mut values: Vec<(String, String)> = Vec::new();
    for Variable { name, value } in environment {
        let Some(value) = value else { continue };
        let value = expand(value, |earlier| {
            let latest = values.iter().rev().find(|(name, _)| name == earlier);
            latest.map(|(_, value)| value.as_str())
        });
        values.push((name.clone(), value));
    }
    values
}

fn place(
    port: &IntOrString,
    host: Option<&str>,
    path: &str,
    context: &Context<'_>,
    report: &mut Report,
) -> Result<Place, Unusable> {
    let path = format!("{path}.port");
    let number = match port {
        IntOrString::Int(number) => Ok(*number),
        // The kubelet's "last ditch effort": a number in quotes.
        IntOrString::String(name) => {
            let number = (context.port)(name).or_else(|| name.parse().ok());
            number.ok_or_else(|| format!("there is no port named {}", quoted(name)))
        }
    };
    let port = number.and_then(|number| {
        let port = u16::try_from(number).ok().filter(|&port| port != 0);
        port.ok_or_else(|| format!("{number} is not a port, expected 1 to 65535"))
    });
    let port = match port {
        Ok(port) => port,
        Err(message) => return unusable(context, &path, &message, report),
    };
    let host = host.filter(|host| !host.is_empty());
    let host = host.map_or_else(|| context.address.to_string(), unbracketed);
    Ok(Place { host, port })
}

fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// The reason names the field from the probe on: it stands beside what asks for the probe.
fn unusable<T>(
    context: &Context<'_>,
    path: &str,
    why: &str,
    report: &mut Report,
) -> Result<T, Unusable> {
    report.add(path, format!("{why}{UNREADY}"));
    let field = path.strip_prefix(context.path).unwrap_or(path).trim_start_matches('.');
    Err(if field.is_empty() { why.to_owned() } else { format!("{field}: {why}") })
}
