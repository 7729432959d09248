//! The tour: every way to revoke a token, seen from the edge.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::guide;
use crate::system::{Following, Ports, System, create_data_dir};
use crate::tools::root;

/// Starts the system for interactive use and prints what to try.
pub(crate) async fn up() -> Result<()> {
    let data_dir = root().join("offswitch-data");
    create_data_dir(&data_dir)?;
    System::build()?;
    let system = System::start(Ports::USUAL, &data_dir, Following::LongPolling).await?;
    print_tour(&system);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Starts the system on free ports in a temporary folder, walks the tour and stops.
pub(crate) async fn run() -> Result<()> {
    let data_dir = tempfile::tempdir()?;
    let ports = Ports::free().await?;
    System::build()?;
    let system = System::start(ports, data_dir.path(), Following::LongPolling).await?;
    let mut result = walk(&system).await;
    if result.is_ok() {
        result = guide::run(&system, "The life of a token", data_dir.path()).await;
    }
    if result.is_err() {
        for name in ["control-plane.log", "edge.log"] {
            let log = std::fs::read_to_string(data_dir.path().join(name)).unwrap_or_default();
            eprintln!("--- {name}\n{log}");
        }
    }
    result
}

async fn walk(system: &System) -> Result<()> {
    println!("\nThe tour. Times are from the revoke's answer to the first refusal at the edge.\n");
    let alice = token(system, "alice").await?;
    accepted(system, "a fresh token", &alice).await?;
    system.post("/v1/revocations", &json!({ "token": alice })).await?;
    refused(system, "one token, by jti", &alice, "revoked_token").await?;

    let (bob, again) = (token(system, "bob").await?, token(system, "bob").await?);
    accepted(system, "a user's two devices", &bob).await?;
    system.post("/v1/revocations", &json!({ "sub": "bob" })).await?;
    refused(system, "a user everywhere, by version", &bob, "revoked_user").await?;
    refused(system, "the same user's other device", &again, "revoked_user").await?;
    let back = token(system, "bob").await?;
    accepted(system, "the user logged in again", &back).await?;

    let (phone, laptop) = (system.open_session("carol").await?, token(system, "carol").await?);
    let phone_token = text(&phone, "access_token");
    accepted(system, "the phone", &phone_token).await?;
    system.post("/v1/revocations", &json!({ "session_id": phone["session_id"] })).await?;
    refused(system, "one device, by session", &phone_token, "revoked_session").await?;
    accepted(system, "the laptop stays logged in", &laptop).await?;

    refresh(system).await?;
    hand_over(system).await?;
    look_at_page(system).await?;

    let laptop = token(system, "carol").await?;
    let pressed = system.post("/v1/red-button", &json!({ "dry_run": true })).await?;
    let kid = pressed["dead_kids"][0].clone();
    system.post("/v1/revocations", &json!({ "kid": kid, "reason": "tour" })).await?;
    refused(system, "a dead signing key", &laptop, "revoked_key").await?;
    let newer = token(system, "carol").await?;
    accepted(system, "a token of the next key", &newer).await?;

    system.post("/v1/red-button", &json!({ "reason": "tour" })).await?;
    refused(system, "the red button", &newer, "revoked_key").await?;
    let after = token(system, "carol").await?;
    accepted(system, "a login after the red button", &after).await?;
    println!("\nEvery step did what it should.");
    Ok(())
}

async fn refresh(system: &System) -> Result<()> {
    let (phone, laptop) = (system.open_session("dave").await?, token(system, "dave").await?);
    let spent = text(&phone, "refresh_token");
    let (_, next) = system.refresh(&spent).await?;
    accepted(system, "a refreshed token", &text(&next, "access_token")).await?;
    let (_, newest) = system.refresh(&text(&next, "refresh_token")).await?;
    let (status, error) = system.refresh(&spent).await?;
    ensure!(status == 400, "a spent refresh token got {status}");
    println!(
        "  {:<32} {} {}",
        "a spent refresh token",
        status.as_u16(),
        error["error_description"]
    );
    refused(system, "its session, by theft", &text(&newest, "access_token"), "revoked_session")
        .await?;
    accepted(system, "the user's other device", &laptop).await?;
    system.log_out("dave").await?;
    refused(system, "logged out everywhere", &laptop, "revoked_user").await
}

async fn look_at_page(system: &System) -> Result<()> {
    for address in [system.origin(), format!("{}/offswitch", system.edge_origin())] {
        let page = system.get_page(&format!("{address}/")).await?;
        ensure!(page.contains("<title>Offswitch</title>"), "{address} does not serve the page");
        println!("  {:<32} {address}/", "the page");
    }
    Ok(())
}

async fn hand_over(system: &System) -> Result<()> {
    let offer = json!({ "sub": "erin", "handover": true });
    let offer = system.post("/v1/sessions", &offer).await?;
    let code = json!({ "code": offer["handover_code"] });
    let cookie = system.post_edge("login", None, &code).await?.unwrap_or_default();
    let called = system.call_edge_as("cookie", &cookie).await?;
    ensure!(called.status == 200, "the cookie got {}", called.status);
    println!("  {:<32} {} {}", "a cookie, and no token", called.status.as_u16(), called.code);
    system.post_edge("logout", Some(&cookie), &json!({})).await?;
    let called = system.call_edge_as("cookie", &cookie).await?;
    ensure!(called.status == 401, "after the logout the cookie got {}", called.status);
    println!("  {:<32} {} {}", "the cookie after the logout", called.status.as_u16(), called.code);
    Ok(())
}

async fn token(system: &System, sub: &str) -> Result<String> {
    Ok(text(&system.open_session(sub).await?, "access_token"))
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// Waits until the edge worker accepts the token: for a new key it must first fetch the key set.
async fn accepted(system: &System, step: &str, token: &str) -> Result<()> {
    wait(system, step, token, |code| code == "valid").await
}

async fn refused(system: &System, step: &str, token: &str, code: &'static str) -> Result<()> {
    wait(system, step, token, |found| found == code).await
}

async fn wait(
    system: &System,
    step: &str,
    token: &str,
    is_expected: impl Fn(&str) -> bool,
) -> Result<()> {
    let begin = Instant::now();
    let mut last = String::new();
    while begin.elapsed() < STEP_LIMIT {
        let answer = system.call_edge(token).await?;
        if is_expected(&answer.code) {
            let milliseconds = begin.elapsed().as_millis();
            let status = answer.status.as_u16();
            println!("  {step:<32} {status} {:<16} {milliseconds:>5} ms", answer.code);
            ensure!(
                (answer.code == "valid") == (status == 200),
                "{step}: {status} is not the expected {}",
                answer.code
            );
            return Ok(());
        }
        last = answer.code;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("{step}: still {last} after {} s", STEP_LIMIT.as_secs())
}

fn print_tour(system: &System) {
    let Ports { control_plane, edge, upstream } = system.ports;
    println!(
        r#"
Offswitch is running.

  control plane   http://127.0.0.1:{control_plane}        (API: http://127.0.0.1:{control_plane}/docs)
  edge worker     http://127.0.0.1:{edge}        (guards http://127.0.0.1:{upstream})
  page            http://127.0.0.1:{control_plane}/       (at the edge: http://127.0.0.1:{edge}/offswitch/)
  admin key       offswitch-data/admin.key        (every scope)

The tour, in another terminal:

  export KEY=$(cat offswitch-data/admin.key)
  export TOKEN=$(curl -s http://127.0.0.1:{control_plane}/v1/sessions -H "Authorization: Bearer $KEY" \
    -H 'Content-Type: application/json' -d '{{"sub":"alice"}}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

  curl -i http://127.0.0.1:{edge}/ -H "Authorization: Bearer $TOKEN"          # 200

  curl -s http://127.0.0.1:{control_plane}/v1/revocations -H "Authorization: Bearer $KEY" \
    -H 'Content-Type: application/json' -d '{{"sub":"alice"}}'                  # off

  curl -i http://127.0.0.1:{edge}/ -H "Authorization: Bearer $TOKEN"          # 401 revoked_user

Applications to copy: examples/README.md. Stop with Ctrl-C."#
    );
}

const STEP_LIMIT: Duration = Duration::from_secs(10);
