//! What a container of the image runs, and how.

use anyhow::Result;
use oci_spec::image::{
    Arch, ConfigBuilder, HistoryBuilder, ImageConfigurationBuilder, Os, RootFsBuilder,
};
use serde_json::{Value, json};

use super::layout::Layer;
use super::root_folder::{DATA, PROGRAM, USER};
use super::source::Source;

/// The configuration of an image with one layer.
pub(super) fn of(layer: &Layer, source: &Source) -> Result<Value> {
    let config = ConfigBuilder::default()
        .user(format!("{USER}:{USER}"))
        .exposed_ports(PORTS.map(|port| format!("{port}/tcp")))
        .env(ENVIRONMENT.map(str::to_owned))
        .entrypoint(vec![PROGRAM.to_owned()])
        .cmd(vec!["serve".to_owned()])
        .volumes(vec![DATA.to_owned()])
        .working_dir("/")
        .labels(source.labels())
        .stop_signal("SIGTERM")
        .build()?;
    let history = HistoryBuilder::default()
        .created(source.created.clone())
        .created_by("cargo xtask image")
        .build()?;
    let configuration = ImageConfigurationBuilder::default()
        .created(source.created.clone())
        .architecture(Arch::default())
        .os(Os::Linux)
        .config(config)
        .rootfs(RootFsBuilder::default().diff_ids(vec![layer.diff_id.clone()]).build()?)
        .history(vec![history])
        .build()?;
    let mut configuration = serde_json::to_value(configuration)?;
    // Docker's, which the specification only reserves. Times are nanoseconds.
    configuration["config"]["Healthcheck"] = json!({
        "Test": ["CMD", PROGRAM, "health"],
        "Interval": 10_000_000_000_u64,
        "Timeout": 5_000_000_000_u64,
        "StartPeriod": 30_000_000_000_u64,
        "StartInterval": 1_000_000_000_u64,
        "Retries": 3,
    });
    Ok(configuration)
}

/// Of the control plane; of the guard for gateways, and for health and metrics.
const PORTS: [u16; 3] = [8400, 8410, 8411];
/// Everything else is as without a container. A variable of the guard would be a warning of the control plane.
const ENVIRONMENT: [&str; 3] =
    ["PATH=/usr/bin", "OFFSWITCH_LISTEN=0.0.0.0:8400", "OFFSWITCH_DATA_DIR=/data"];
