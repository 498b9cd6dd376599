//! The Kubernetes DNS specification, version 1.1, sentence by sentence.

use super::*;

const NODATA: &str = "NOERROR [SOA cluster.local.]";
const NXDOMAIN: &str = "NXDOMAIN [SOA cluster.local.]";

fn check(cases: &[(&str, &str, &str)]) {
    let (zone, _writer) = zone_of(CLUSTER);
    for (sentence, question, expected) in cases {
        assert_eq!(&told(&zone, question), expected, "{sentence}: {question}");
    }
}

#[test]
fn the_version_and_the_zone_itself() {
    check(&[
        ("2.2", "dns-version.cluster.local. TXT", "NOERROR TXT 1.1.0"),
        ("it has nothing else", "dns-version.cluster.local. A", NODATA),
        ("the zone exists", "cluster.local. A", NODATA),
        ("it has a SOA record", "cluster.local. SOA", "NOERROR SOA cluster.local."),
        ("and a server", "cluster.local. NS", "NOERROR NS ns.dns.cluster.local."),
        ("whose address is ours", "ns.dns.cluster.local. A", "NOERROR A 169.254.20.10"),
        ("of that family", "ns.dns.cluster.local. AAAA", NODATA),
        ("there is nothing else", "www.cluster.local. A", NXDOMAIN),
        ("nor below", "a.dns-version.cluster.local. A", NXDOMAIN),
        ("another zone is not ours", "web.shop.svc.cluster.example. A", "foreign"),
        ("nor the one above", "local. SOA", "foreign"),
        ("nor one that ends alike", "xcluster.local. A", "foreign"),
        ("nor the root", ". NS", "foreign"),
    ]);
}

#[test]
fn services_with_a_cluster_address() {
    check(&[
        ("2.3.1", "web.shop.svc.cluster.local. A", "NOERROR A 10.96.0.10"),
        ("it has no IPv6 address", "web.shop.svc.cluster.local. AAAA", NODATA),
        ("both families", "dual.shop.svc.cluster.local. A", "NOERROR A 10.96.0.12"),
        ("both families", "dual.shop.svc.cluster.local. AAAA", "NOERROR AAAA fd00:10:96::12"),
        ("whatever the case", "WEB.Shop.sVc.Cluster.LOCAL. A", "NOERROR A 10.96.0.10"),
        ("whoever serves it", "theirs.shop.svc.cluster.local. A", "NOERROR A 10.96.0.13"),
        ("no other type", "web.shop.svc.cluster.local. MX", NODATA),
        ("no such Service", "wep.shop.svc.cluster.local. A", NXDOMAIN),
        ("it is in another namespace", "web.data.svc.cluster.local. A", NXDOMAIN),
        ("no such namespace", "web.shoq.svc.cluster.local. A", NXDOMAIN),
        ("there are no wildcards", "*.shop.svc.cluster.local. A", NXDOMAIN),
        ("there are no wildcards", "any.web.shop.svc.cluster.local. A", NXDOMAIN),
    ]);
}

#[test]
fn ports_of_services_with_a_cluster_address() {
    check(&[
        (
            "2.3.2",
            "_http._tcp.web.shop.svc.cluster.local. SRV",
            "NOERROR SRV 0 100 80 web.shop.svc.cluster.local.",
        ),
        (
            "UDP",
            "_dns._udp.web.shop.svc.cluster.local. SRV",
            "NOERROR SRV 0 100 53 web.shop.svc.cluster.local.",
        ),
        (
            "SCTP, in any case",
            "_HTTP2._sctp.web.shop.svc.cluster.local. SRV",
            "NOERROR SRV 0 100 81 web.shop.svc.cluster.local.",
        ),
        ("only SRV", "_http._tcp.web.shop.svc.cluster.local. A", NODATA),
        ("the name above exists", "_tcp.web.shop.svc.cluster.local. SRV", NODATA),
        ("if a port has the protocol", "_tcp.plain.shop.svc.cluster.local. SRV", NXDOMAIN),
        ("another protocol", "_http._udp.web.shop.svc.cluster.local. SRV", NXDOMAIN),
        ("no such port", "_https._tcp.web.shop.svc.cluster.local. SRV", NXDOMAIN),
        ("underscores are needed", "http.tcp.web.shop.svc.cluster.local. SRV", NXDOMAIN),
        ("an unnamed port has none", "_._tcp.plain.shop.svc.cluster.local. SRV", NXDOMAIN),
        ("the Service's own name has none", "web.shop.svc.cluster.local. SRV", NODATA),
        ("nothing is longer", "_a._http._tcp.web.shop.svc.cluster.local. SRV", NXDOMAIN),
    ]);
}

#[test]
fn headless_services() {
    check(&[
        (
            "2.4.1: every ready endpoint",
            "db.data.svc.cluster.local. A",
            "NOERROR A 10.244.0.21 A 10.244.0.22 A 10.244.0.23",
        ),
        (
            "both families",
            "db.data.svc.cluster.local. AAAA",
            "NOERROR AAAA fd00:10:244:: AAAA fd00:10:244::21",
        ),
        ("by host name", "db-0.db.data.svc.cluster.local. A", "NOERROR A 10.244.0.21"),
        ("by host name", "DB-0.db.data.svc.cluster.local. AAAA", "NOERROR AAAA fd00:10:244::21"),
        ("of one family", "db-1.db.data.svc.cluster.local. AAAA", NODATA),
        ("by address", "10-244-0-23.db.data.svc.cluster.local. A", "NOERROR A 10.244.0.23"),
        (
            "by address",
            "fd00-10-244--0.db.data.svc.cluster.local. AAAA",
            "NOERROR AAAA fd00:10:244::",
        ),
        ("which has a name", "10-244-0-21.db.data.svc.cluster.local. A", NXDOMAIN),
        ("not ready", "db-9.db.data.svc.cluster.local. A", NXDOMAIN),
        ("published nevertheless", "peers.data.svc.cluster.local. A", "NOERROR A 10.244.0.31"),
        ("nobody is ready", "idle.data.svc.cluster.local. A", NXDOMAIN),
        ("nor below", "_sql._tcp.idle.data.svc.cluster.local. SRV", NXDOMAIN),
        (
            "as CoreDNS: endpoints of every Service",
            "10-244-0-5.web.shop.svc.cluster.local. A",
            "NOERROR A 10.244.0.5",
        ),
    ]);
}

#[test]
fn ports_of_headless_services() {
    check(&[
        (
            "2.4.2: every endpoint",
            "_sql._tcp.db.data.svc.cluster.local. SRV",
            "NOERROR SRV 0 25 5432 10-244-0-23.db.data.svc.cluster.local. \
             SRV 0 25 5432 db-0.db.data.svc.cluster.local. \
             SRV 0 25 5432 db-1.db.data.svc.cluster.local. \
             SRV 0 25 5432 fd00-10-244--0.db.data.svc.cluster.local.",
        ),
        ("the name above exists", "_tcp.db.data.svc.cluster.local. A", NODATA),
        ("another protocol", "_udp.db.data.svc.cluster.local. A", NXDOMAIN),
        ("without ports", "_tcp.peers.data.svc.cluster.local. A", NXDOMAIN),
    ]);
}

#[test]
fn the_targets_addresses_go_with_the_ports() {
    let (zone, _writer) = zone_of(CLUSTER);
    let asked = name("_sql._tcp.db.data.svc.cluster.local.");
    let Answer::Known(known) = zone.answer(&asked, RecordType::SRV) else { panic!("not known") };
    let mut further: Vec<String> = known
        .additionals
        .iter()
        .map(|record| format!("{} {}", record.name, words(record)))
        .collect();
    further.sort();
    let expected = [
        "10-244-0-23.db.data.svc.cluster.local. A 10.244.0.23",
        "db-0.db.data.svc.cluster.local. A 10.244.0.21",
        "db-0.db.data.svc.cluster.local. AAAA fd00:10:244::21",
        "db-1.db.data.svc.cluster.local. A 10.244.0.22",
        "fd00-10-244--0.db.data.svc.cluster.local. AAAA fd00:10:244::",
    ];
    assert_eq!(further, expected);
}

#[test]
fn addresses_back_to_names() {
    let ours = "NXDOMAIN [SOA 96.10.in-addr.arpa.]";
    check(&[
        (
            "2.3.3: a cluster address",
            "10.0.96.10.in-addr.arpa. PTR",
            "NOERROR PTR web.shop.svc.cluster.local.",
        ),
        ("IPv6", "fd00:10:96::12 PTR", "NOERROR PTR dual.shop.svc.cluster.local."),
        (
            "2.4.3: an endpoint",
            "21.0.244.10.in-addr.arpa. PTR",
            "NOERROR PTR db-0.db.data.svc.cluster.local.",
        ),
        (
            "without a host name",
            "23.0.244.10.in-addr.arpa. PTR",
            "NOERROR PTR 10-244-0-23.db.data.svc.cluster.local.",
        ),
        (
            "outside of every range",
            "fd00:10:244::21 PTR",
            "NOERROR PTR db-0.db.data.svc.cluster.local.",
        ),
        ("it has nothing else", "10.0.96.10.in-addr.arpa. A", "NOERROR [SOA 96.10.in-addr.arpa.]"),
        ("not ready", "24.0.244.10.in-addr.arpa. PTR", "NXDOMAIN [SOA 244.10.in-addr.arpa.]"),
        ("nobody's", "99.0.96.10.in-addr.arpa. PTR", ours),
        ("no address", "x.0.96.10.in-addr.arpa. PTR", ours),
        ("too long", "1.10.0.96.10.in-addr.arpa. PTR", ours),
        ("a part of the range", "0.96.10.in-addr.arpa. PTR", "NOERROR [SOA 96.10.in-addr.arpa.]"),
        ("the range", "96.10.in-addr.arpa. SOA", "NOERROR SOA 96.10.in-addr.arpa."),
        ("beyond our ranges", "1.2.0.192.in-addr.arpa. PTR", "foreign"),
        ("above our ranges", "10.in-addr.arpa. PTR", "foreign"),
    ]);
}

#[test]
fn external_names() {
    let loops = "endless";
    check(&[
        ("2.5", "outside.shop.svc.cluster.local. CNAME", "NOERROR CNAME www.example.com."),
        (
            "to be looked up",
            "outside.shop.svc.cluster.local. A",
            "NOERROR CNAME www.example.com. -> www.example.com.",
        ),
        (
            "whatever is asked",
            "outside.shop.svc.cluster.local. TXT",
            "NOERROR CNAME www.example.com. -> www.example.com.",
        ),
        (
            "within the cluster",
            "inside.shop.svc.cluster.local. A",
            "NOERROR A 10.96.0.10 CNAME web.shop.svc.cluster.local.",
        ),
        (
            "of another family",
            "inside.shop.svc.cluster.local. AAAA",
            "NOERROR CNAME web.shop.svc.cluster.local. [SOA cluster.local.]",
        ),
        (
            "to nothing",
            "nowhere.shop.svc.cluster.local. A",
            "NXDOMAIN CNAME gone.shop.svc.cluster.local. [SOA cluster.local.]",
        ),
        ("in a circle", "ping.shop.svc.cluster.local. A", loops),
        ("an address is no name", "number.shop.svc.cluster.local. A", NXDOMAIN),
        ("nothing below", "x.outside.shop.svc.cluster.local. A", NXDOMAIN),
        ("no ports", "_http._tcp.outside.shop.svc.cluster.local. SRV", NXDOMAIN),
    ]);
}

#[test]
fn pods_by_address() {
    check(&[
        ("IPv4", "10-244-0-5.shop.pod.cluster.local. A", "NOERROR A 10.244.0.5"),
        ("IPv6", "fd00-10-244--5.shop.pod.cluster.local. AAAA", "NOERROR AAAA fd00:10:244::5"),
        ("of one family", "10-244-0-5.shop.pod.cluster.local. AAAA", NODATA),
        ("no address", "web-0.shop.pod.cluster.local. A", NXDOMAIN),
        ("too long", "a.10-244-0-5.shop.pod.cluster.local. A", NXDOMAIN),
    ]);
}

#[test]
fn names_with_names_below_exist() {
    check(&[
        ("RFC 8020", "svc.cluster.local. A", NODATA),
        ("RFC 8020", "pod.cluster.local. A", NODATA),
        ("RFC 8020", "dns.cluster.local. A", NODATA),
        ("a namespace with Services", "shop.svc.cluster.local. A", NODATA),
        ("in any case", "Shop.SVC.cluster.local. TXT", NODATA),
        ("one without", "shoq.svc.cluster.local. A", NXDOMAIN),
        ("pods may be anywhere", "shoq.pod.cluster.local. A", NODATA),
    ]);
}

#[test]
fn names_stay_as_they_were_asked_and_times_are_short() {
    let (zone, _writer) = zone_of(CLUSTER);
    let asked = name("wEb.SHOP.svc.cluster.local.");
    let Answer::Known(known) = zone.answer(&asked, RecordType::A) else { panic!("not known") };
    assert!(known.answers[0].name.eq_case(&asked), "{:?}", known.answers);
    assert_eq!(known.answers[0].ttl, 5);
    let Answer::Known(known) = zone.answer(&asked, RecordType::AAAA) else { panic!("not known") };
    let RData::SOA(soa) = &known.authorities[0].data else { panic!("{known:?}") };
    assert_eq!((known.authorities[0].ttl, soa.minimum), (5, 5));
}

#[test]
fn several_answers_come_in_every_order() {
    let (zone, _writer) = zone_of(CLUSTER);
    let first = || {
        let answer = zone.answer(&name("db.data.svc.cluster.local."), RecordType::A);
        let Answer::Known(known) = answer else { panic!("{answer:?}") };
        words(&known.answers[0])
    };
    let firsts: std::collections::BTreeSet<String> = (0..200).map(|_| first()).collect();
    assert_eq!(firsts.len(), 3, "{firsts:?}");
}
