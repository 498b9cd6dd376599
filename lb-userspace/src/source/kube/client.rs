//! How the API server is reached: by a kubeconfig file, or by what a pod is given.

use ::kube::client::ConfigExt as _;
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Client, Config};
use anyhow::{Context as _, Result, ensure};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::path::PathBuf;
use std::time::Duration;
use tower::{BoxError, ServiceBuilder};

/// A connection that nobody is behind any more is found out by then, with or without data under
/// way: a watch is silent for minutes when all is well.
const DEAD_AFTER: Duration = Duration::from_secs(30);
const PROBES: u32 = 3;
const CONNECT: Duration = Duration::from_secs(5);

/// What leads to an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The current context of this kubeconfig file.
    Kubeconfig(PathBuf),
    /// The service account of the pod that the agent runs in.
    InCluster,
}

impl Access {
    /// The files that were read once for it; tokens are read again by themselves. A kubeconfig that
    /// cannot be read names none.
    pub fn files(&self) -> Vec<PathBuf> {
        let Self::Kubeconfig(path) = self else { return Vec::new() };
        let read = Kubeconfig::read_from(path).unwrap_or_default();
        let clusters = read.clusters.into_iter().filter_map(|named| named.cluster);
        let users = read.auth_infos.into_iter().filter_map(|named| named.auth_info);
        let of_users = users.flat_map(|user| [user.client_certificate, user.client_key]);
        let named = clusters.map(|cluster| cluster.certificate_authority).chain(of_users);
        [path.clone()].into_iter().chain(named.flatten().map(PathBuf::from)).collect()
    }
}

/// A client for the API server, and its address.
pub(super) async fn connect(access: &Access) -> Result<(Client, String)> {
    let config = config(access).await?;
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/').to_owned();
    let client = client(config).with_context(|| format!("preparing to talk to {server}"))?;
    Ok((client, server))
}

async fn config(access: &Access) -> Result<Config> {
    match access {
        Access::Kubeconfig(path) => {
            let read = Kubeconfig::read_from(path)
                .with_context(|| format!("reading the kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("using the kubeconfig {}", path.display()))
        }
        Access::InCluster => Config::incluster().context(
            "this is no pod with a service account: give --kubeconfig FILE or --manifests DIR",
        ),
    }
}

/// As [`Client::try_from`], over connections that notice when the other side is gone.
fn client(config: Config) -> Result<Client> {
    ensure!(
        config.proxy_url.is_none(),
        "proxy-url is not supported: a node reaches its API server itself"
    );
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(DEAD_AFTER / 2));
    tcp.set_keepalive_interval(Some(DEAD_AFTER / 2 / PROBES));
    tcp.set_keepalive_retries(Some(PROBES));
    tcp.set_tcp_user_timeout(Some(DEAD_AFTER));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(config.extra_headers_layer()?)
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
