//! Kernels before 6.6: filters on the clsact qdisc, which have no pins and must be found again.

use crate::expect::{answer, http};
use crate::stage::{HTTP, NODE_HTTP, PODS, Stage, node_ports, vips};
use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use xtask::lab::Host;
use xtask::lab::traffic::hold::Options;

#[test]
fn filters_are_taken_over_by_the_next_agent_and_removed_by_cleanup() {
    let mut stage = Stage::with(&["--tc", "clsact"]);
    let node = stage.network.node.clone();
    let links = ["eth0", "veth-kubia-1", "veth-shell"];
    for link in links {
        assert_eq!(filters(&node, link), [1, 1], "{link}");
    }
    everybody_is_served(&stage);
    let held = stage.network.shell.hold(&Options::to(vips(HTTP)[0])).unwrap();
    stage.kill();
    everybody_is_served(&stage);
    stage.start();
    everybody_is_served(&stage);
    for link in links {
        assert_eq!(filters(&node, link), [1, 1], "{link} after a restart");
    }
    let report = held.finish().unwrap();
    assert!(report.is_whole(), "{report:?}");

    stage.stop();
    stage.clean_up();
    for link in links {
        assert_eq!(filters(&node, link), [0, 0], "{link} after cleanup");
    }
}

fn everybody_is_served(stage: &Stage) {
    for client in stage.clients() {
        answer(client, &http(vips(HTTP)[0], 60), &PODS);
        answer(client, &http(node_ports(NODE_HTTP)[1], 60), &PODS);
    }
}

/// How many filters a link has at ingress and egress.
fn filters(node: &Host, link: &str) -> [usize; 2] {
    let index = node.index(link).unwrap().cast_signed();
    node.within(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(count(index))
    })
    .unwrap()
}

async fn count(index: i32) -> Result<[usize; 2]> {
    let (connection, handle, _) = rtnetlink::new_connection().context("opening netlink")?;
    tokio::spawn(connection);
    let request = || handle.traffic_filter(index).get();
    let ingress: Vec<_> = request().ingress().execute().try_collect().await?;
    let egress: Vec<_> = request().egress().execute().try_collect().await?;
    // A filter of this kind is listed with its chain and with itself.
    let own = |list: Vec<rtnetlink::packet_route::tc::TcMessage>| {
        list.iter().filter(|filter| u32::from(filter.header.handle) != 0).count()
    };
    Ok([own(ingress), own(egress)])
}
