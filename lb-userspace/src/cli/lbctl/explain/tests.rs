use super::*;
use crate::compile::node::SnatMode;
use crate::compile::{self, NameServer, NodeView};
use crate::model::{Change, Node, Snapshot};
use crate::reconcile::ids::Limits;
use crate::reconcile::{Planner, Tables};
use crate::source::delivered;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::FrontendKey;
use lb_common::wire::{Addr, Port};

const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: kubia, namespace: default}
  spec:
    type: LoadBalancer
    clusterIPs: [10.96.0.10]
    externalIPs: [203.0.113.5]
    externalTrafficPolicy: Local
    ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30123}]
  status: {loadBalancer: {ingress: [{ip: 203.0.113.6, ipMode: Proxy}]}}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: a, namespace: default, labels: {kubernetes.io/service-name: kubia}}
  addressType: IPv4
  ports: [{name: http, port: 8080}]
  endpoints:
  - {addresses: [10.244.0.11], nodeName: node, targetRef: {kind: Pod, name: kubia-1}}
  - {addresses: [10.244.0.12], nodeName: node, conditions: {ready: false}}
  - {addresses: [10.244.0.13], nodeName: node, conditions: {ready: false, serving: true, terminating: true}}
  - {addresses: [10.244.1.14], nodeName: other}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: b, namespace: default, labels: {kubernetes.io/service-name: kubia}}
  addressType: IPv4
  ports: [{name: admin, port: 9090}]
  endpoints: [{addresses: [10.244.0.11], nodeName: node}]
";

const PLAIN: Style = Style { format: Format::Table, color: false };

/// What an agent wants of the objects, and the tables that it made of them.
fn settled() -> (ObjectName, Explanation, Tables) {
    settled_with(&snapshot(), None)
}

/// The same of these objects, and with a name server of the agent's own.
fn settled_with(
    snapshot: &Snapshot,
    name_server: Option<NameServer>,
) -> (ObjectName, Explanation, Tables) {
    let name = ObjectName::new("default", "kubia");
    let (service, slices) = (&snapshot.services[&name], &snapshot.slices[&name]);
    let node = Node { name: "node".to_owned(), ..Node::default() };
    let view = NodeView { name_server, ..NodeView::new(&node, SnatMode::Minimal, true) };
    let mut planner = Planner::adopt(Tables::default(), Limits::default());
    planner.update(&name, Some(&compile::plan(service, slices, &view)));
    let mut explanation = compile::explanation(service, slices, &view);
    planner.complete(&mut explanation);
    (name, explanation, planner.actual().clone())
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let objects: serde_json::Value = serde_saphyr::from_str(OBJECTS).unwrap();
    for delivered in delivered(&objects).unwrap() {
        match delivered.change {
            Change::Service(name, service) => {
                snapshot.services.insert(name, *service.unwrap());
            }
            Change::Slice(name, slice) => {
                let owner = ObjectName::new("default", "kubia");
                snapshot.slices.entry(owner).or_default().insert(name.name, slice.unwrap());
            }
            Change::Node(_) | Change::Watched(..) | Change::Problems(_) | Change::Synced => {}
        }
    }
    snapshot
}

fn shown(agent: Agent, wanted: Option<&Explanation>, tables: &Tables) -> String {
    let service = ObjectName::new("default", "kubia");
    let knows = matches!(agent, Agent::Answered | Agent::Unknown);
    let ports = compare::ports(&service, wanted, knows, tables);
    let view = View {
        differences: ports.iter().map(PortView::differences).sum(),
        ports,
        skipped: wanted.and_then(|wanted| wanted.skipped.clone()),
        unusable: wanted.map(|wanted| wanted.unusable.clone()).unwrap_or_default(),
        problems: Vec::new(),
        service,
        agent,
    };
    text::text(&view, PLAIN)
}

#[test]
fn every_address_and_endpoint_has_a_reason_and_its_place_in_the_maps() {
    let (_, wanted, tables) = settled();
    let expected = "\
Service default/kubia

Port http 80/TCP, IPv4
  internal policy  Cluster
  external policy  outsiders get the endpoints of this node

  FRONTEND        FIELD        WANTED      IN THE MAPS
  10.96.0.10:80   clusterIPs   programmed  yes
  203.0.113.5:80  externalIPs  programmed  yes
  *:30123         nodePort     programmed  yes

  ENDPOINT          NODE   WANTED                                           IN THE MAPS
  10.244.0.11:8080  node   used                                             ready, used for cluster,local
  10.244.0.12:8080  node   is not ready                                     not ready, not used
  10.244.0.13:8080  node   terminates, and there are ready ones             serving, terminating, not used
  10.244.1.14:8080  other  cluster: used; local: runs on another node       ready, used for cluster
  10.244.0.11       node   no endpoint: its slice has no port of this name  no

Not usable: Service default/kubia status.loadBalancer.ingress[0] \"203.0.113.6\": ipMode is Proxy: \
the load balancer ends connections itself

The maps are as they are wanted
";
    assert_eq!(shown(Agent::Answered, Some(&wanted), &tables), expected);
}

#[test]
fn what_a_probe_found_is_beside_what_became_of_it() {
    let (_, mut wanted, tables) = settled();
    for endpoint in &mut wanted.ports[0].endpoints {
        endpoint.unready = Some("readinessProbe: HTTP 503".to_owned());
    }
    let text = shown(Agent::Answered, Some(&wanted), &tables);
    assert!(text.contains("  used (readinessProbe: HTTP 503)  "), "{text}");
    assert!(text.contains("  is not ready: readinessProbe: HTTP 503  "), "{text}");
}

#[test]
fn a_difference_is_marked() {
    let (_, wanted, mut tables) = settled();
    let frontend = *tables.frontends.keys().next().unwrap();
    let value = tables.frontends.remove(&frontend).unwrap();
    tables.frontends.insert(FrontendKey { port: Port::new(81), ..frontend }, value);
    for cell in tables.backends.values_mut() {
        match cell.addr.to_ip().to_string().as_str() {
            "10.244.0.11" => cell.flags &= !BackendValue::IN_LOCAL_SET,
            "10.244.0.12" => cell.addr = Addr::v4([10, 244, 0, 99]),
            _ => {}
        }
    }
    let expected = "
  FRONTEND        FIELD        WANTED      IN THE MAPS
  10.96.0.10:80   clusterIPs   programmed  yes
  203.0.113.5:80  externalIPs  programmed  yes
  *:30123         nodePort     programmed  no  (!)
  *:81            <none>       not wanted  yes  (!)

  ENDPOINT          NODE    WANTED                                           IN THE MAPS
  10.244.0.11:8080  node    used                                             ready, used for cluster  (!)
  10.244.0.12:8080  node    is not ready                                     no  (!)
  10.244.0.13:8080  node    terminates, and there are ready ones             serving, terminating, not used
  10.244.1.14:8080  other   cluster: used; local: runs on another node       ready, used for cluster
  10.244.0.11       node    no endpoint: its slice has no port of this name  no
  10.244.0.99:8080  <none>  not wanted                                       not ready, not used  (!)
";
    let shown = shown(Agent::Answered, Some(&wanted), &tables);
    assert!(shown.contains(expected), "{shown}");
    assert!(shown.ends_with("\n5 things in the maps are not as they are wanted\n"), "{shown}");
}

#[test]
fn without_an_agent_there_is_what_the_maps_hold() {
    let (_, _, tables) = settled();
    let expected = "\
Service default/kubia
the agent is down: what is wanted, and why, is not known

Port http 80/TCP, IPv4

  FRONTEND        FIELD   WANTED  IN THE MAPS
  *:30123         <none>  ?       yes
  10.96.0.10:80   <none>  ?       yes
  203.0.113.5:80  <none>  ?       yes

  ENDPOINT          NODE    WANTED  IN THE MAPS
  10.244.0.11:8080  <none>  ?       ready, used for cluster,local
  10.244.0.12:8080  <none>  ?       not ready, not used
  10.244.0.13:8080  <none>  ?       serving, terminating, not used
  10.244.1.14:8080  <none>  ?       ready, used for cluster
";
    assert_eq!(shown(Agent::Down, None, &tables), expected);
}

#[test]
fn what_the_agent_does_not_know_should_not_be_there() {
    let (_, _, tables) = settled();
    let text = shown(Agent::Unknown, None, &tables);
    assert!(text.starts_with("Service default/kubia\nthere is no such Service\n"), "{text}");
    assert!(text.ends_with("\n7 things in the maps are not as they are wanted\n"), "{text}");
}

#[test]
fn what_travels_to_lbctl_comes_out_as_it_went_in() {
    let (_, wanted, _) = settled();
    let answer = Answer::Explanation(Box::new(wanted));
    let line = serde_json::to_string(&answer).unwrap();
    assert!(!line.contains('\n'));
    assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
}

#[test]
fn a_name_alone_is_in_the_default_namespace() {
    let object =
        |typed: &str, namespace| typed.parse::<Name>().unwrap().object(namespace).to_string();
    assert_eq!(object("kubia", None), "default/kubia");
    assert_eq!(object("kubia", Some("web")), "web/kubia");
    assert_eq!(object("a/kubia", Some("web")), "a/kubia");
}

/// The Service is one of DNS, and the agent takes its place at this address.
fn with_name_server(addr: &str) -> (Explanation, Tables) {
    let mut snapshot = snapshot();
    let service = ObjectName::new("default", "kubia");
    snapshot.services.get_mut(&service).unwrap().ports[0].port = 53;
    let addrs = vec![addr.parse().unwrap()];
    let (_, wanted, tables) = settled_with(&snapshot, Some(NameServer { service, addrs }));
    (wanted, tables)
}

#[test]
fn the_agents_own_name_server_is_told_apart_from_endpoints() {
    for addr in ["192.0.2.1:10053", "10.244.0.11:8080"] {
        let (wanted, tables) = with_name_server(addr);
        let shown = shown(Agent::Answered, Some(&wanted), &tables);
        let line = format!("  clients here     {addr}, before the endpoints while it answers\n");
        assert!(shown.contains(&line), "{shown}");
        assert!(!shown.contains("(!)"), "an endpoint at its address is both: {shown}");
    }
}

#[test]
fn a_name_server_that_the_maps_do_not_have_is_a_difference() {
    let (wanted, mut tables) = with_name_server("192.0.2.1:10053");
    for cell in tables.backends.values_mut() {
        cell.flags &= !BackendValue::AGENT;
    }
    let shown = shown(Agent::Answered, Some(&wanted), &tables);
    assert!(shown.contains("while it answers; not so in the maps  (!)\n"), "{shown}");
    assert!(shown.ends_with("\n1 thing in the maps is not as it is wanted\n"), "{shown}");
}
