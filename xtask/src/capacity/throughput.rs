//! Responses per second: polls compared with a fixed body, introspection with oidc-provider.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{CONNECTIONS, ControlPlane, JSON, request, system};
use crate::bench::figure::{Figure, Unit, median, ratios};
use crate::bench::scale::scale;
use crate::refreshes::load::{Connection, Counting, one_thread};
use crate::refreshes::server::{OidcProvider, Redis, free_port};

/// `GET /v1/feed?since=` with a small delta, compared with the same accept loop and Axum with a
/// fixed body.
pub(super) async fn polls() -> Result<Vec<Figure>> {
    let (_redis, plane) = system().await?;
    let client = Client::builder().no_proxy().build()?;
    let feed = format!("{}/v1/feed", plane.origin());
    let base = client.get(&feed).bearer_auth(&plane.admin_key).send().await?;
    let since = base.headers()["offswitch-position"].to_str()?.to_owned();
    let revoke = client.post(format!("{}/v1/revocations", plane.origin()));
    let body = json!({ "sub": "somebody" });
    revoke.bearer_auth(&plane.admin_key).json(&body).send().await?.error_for_status()?;
    let path = format!("/v1/feed?since={since}");
    let delta = client.get(format!("{}{path}", plane.origin())).bearer_auth(&plane.admin_key);
    let size = delta.send().await?.bytes().await?.len();
    let port = free_port().await?;
    let _peer = Command::new(scale().program("examples/fixed_body"))
        .args([port.to_string(), size.to_string()])
        .kill_on_drop(true)
        .spawn()?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let bare = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n").into_bytes();
    let ControlPlane { port: own_port, admin_key, .. } = &plane;
    let poll = format!(
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{own_port}\r\nauthorization: Bearer {admin_key}\r\n\r\n"
    )
    .into_bytes();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..scale().rounds {
        theirs.push(per_second(port, bare.clone()).await?);
        ours.push(per_second(plane.port, poll.clone()).await?);
    }
    let more = format!("{:.0}/s of {:.0}/s", median(&ours), median(&theirs));
    let what = format!("polls with a delta of {size} bytes, of a fixed body");
    Ok(vec![Figure::new(&what, Unit::Share, ratios(&ours, &theirs)).at_least(0.8).more(more)])
}

/// Introspection of an access token compared with oidc-provider with Redis.
pub(super) async fn introspection() -> Result<Vec<Figure>> {
    let (mut known, mut fresh, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let (_redis, plane) = system().await?;
    let requests = Arc::new(introspections(&plane).await?);
    for _ in 0..scale().rounds {
        theirs.push(oidc_provider().await.context("oidc-provider")?);
        known.push(per_second(plane.port, requests[0].clone()).await?);
        fresh.push(per_second_in_turn(plane.port, requests.clone()).await?);
    }
    let figure = |what, ours: &[f64]| {
        let more = format!("{:.0}/s, {:.0}/s", median(ours), median(&theirs));
        Figure::new(what, Unit::Times, ratios(ours, &theirs)).more(more)
    };
    let in_turn = "introspection of tokens in turn, each verified, compared with oidc-provider";
    Ok(vec![
        figure("introspection of one token, compared with oidc-provider", &known).at_least(5.0),
        figure(in_turn, &fresh),
    ])
}

/// One request per token, for more tokens than the control plane remembers.
async fn introspections(plane: &ControlPlane) -> Result<Vec<Vec<u8>>> {
    let mut opening = JoinSet::new();
    for of in 0..CONNECTIONS {
        let login = |number: usize| {
            let body = json!({ "sub": format!("user {of} {number}") }).to_string();
            request(plane, "POST", "/v1/sessions", JSON, &body)
        };
        let logins: Vec<_> =
            (0..scale().introspected_tokens.div_ceil(CONNECTIONS)).map(login).collect();
        let port = plane.port;
        opening.spawn(async move {
            let mut connection = Connection::open(port).await?;
            let mut tokens = Vec::new();
            for login in logins {
                let session: Value = serde_json::from_str(connection.exchange(&login).await?)?;
                tokens.push(session["access_token"].as_str().context("no token")?.to_owned());
            }
            anyhow::Ok(tokens)
        });
    }
    let mut requests = Vec::new();
    while let Some(tokens) = opening.join_next().await {
        for token in tokens?? {
            let body = format!("token={token}");
            requests.push(request(plane, "POST", "/oauth/introspect", FORM, &body));
        }
    }
    Ok(requests)
}

async fn oidc_provider() -> Result<f64> {
    let redis = Redis::start().await?;
    let peer = OidcProvider::start(&redis, 1).await?;
    let OidcProvider { port, client_id, access_token, .. } = &peer;
    let body = format!("token={access_token}&client_id={client_id}");
    let request = format!(
        "POST /token/introspection HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    per_second(*port, request.into_bytes()).await
}

/// The number of 200 responses to the same request, from all connections together.
async fn per_second(port: u16, request: Vec<u8>) -> Result<f64> {
    per_second_in_turn(port, Arc::new(vec![request])).await
}

/// The same for many requests; each connection sends its own share in turn.
async fn per_second_in_turn(port: u16, requests: Arc<Vec<Vec<u8>>>) -> Result<f64> {
    one_thread(async move {
        let counting = Counting::begin();
        let mut chains = JoinSet::new();
        for number in 0..CONNECTIONS {
            let (requests, mut counting) = (requests.clone(), counting);
            chains.spawn(async move {
                let mut connection = Connection::open(port).await?;
                let mut its = requests.iter().cycle().skip(number).step_by(CONNECTIONS);
                while let (false, Some(request)) = (counting.is_over(), its.next()) {
                    let answer = connection.exchange_bytes(request).await?;
                    anyhow::ensure!(!answer.starts_with(b"{\"active\":false"), "not active");
                    counting.count();
                }
                Ok(counting.counted())
            });
        }
        counting.rate(chains).await
    })
    .await
}

const FORM: &str = "application/x-www-form-urlencoded";
