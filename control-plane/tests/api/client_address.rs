//! The client of a request that a proxy passes on.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use offswitch::client_address::TrustedProxies;
use offswitch::server::Limits;

use crate::support::local_server::LocalServer;

// A05
#[tokio::test]
async fn the_client_is_the_one_that_a_trusted_proxy_names() {
    let echo = async |ConnectInfo(client): ConnectInfo<SocketAddr>| client.ip().to_string();
    let routes = Router::new().route("/", get(echo));
    for (trusted, expected) in
        [("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.7")]
    {
        let proxies: TrustedProxies = trusted.parse().unwrap();
        let server = LocalServer::serve(Limits::default(), proxies.before(routes.clone())).await;
        let request = reqwest::Client::builder().no_proxy().build().unwrap().get(server.url("/"));
        let answer = request.header("x-forwarded-for", "1.1.1.1, 198.51.100.7").send().await;
        assert_eq!(answer.unwrap().text().await.unwrap(), expected, "{trusted}");
    }
}
