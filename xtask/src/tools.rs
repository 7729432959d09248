//! What the build needs in addition to Rust and Node: installed if possible, otherwise named in an
//! error.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The folder in which Cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// Runs a command in the workspace's folder and fails unless it succeeds.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    println!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program).args(arguments).current_dir(root()).status();
    let status = status.with_context(|| format!("{program} cannot be started"))?;
    ensure!(status.success(), "{program} {} failed", arguments.join(" "));
    Ok(())
}

/// The target that the verifier's wasm is built for.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    ensure_target("wasm32-unknown-unknown")
}

/// What a static program is built with.
pub(crate) fn ensure_musl(target: &str) -> Result<()> {
    ensure_program("musl-gcc", "musl-tools")?;
    ensure_target(target)
}

fn ensure_target(target: &str) -> Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output()?.stdout;
    let sysroot = PathBuf::from(String::from_utf8(sysroot)?.trim());
    if sysroot.join("lib/rustlib").join(target).exists() {
        return Ok(());
    }
    run("rustup", &["target", "add", target])
        .with_context(|| format!("install the Rust target {target}"))
}

/// The npm packages of the workspace, exactly as locked.
pub(crate) fn ensure_npm_packages() -> Result<()> {
    ensure!(is_on_path("npm"), "Node.js with npm is missing: install Node 20 or newer");
    let (lock, done) = (root().join("package-lock.json"), root().join("node_modules/.xtask-lock"));
    let locked = std::fs::read(lock)?;
    if std::fs::read(&done).is_ok_and(|installed| installed == locked) {
        return Ok(());
    }
    run("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts"])?;
    Ok(std::fs::write(done, locked)?)
}

/// The Redis server, from the system's package manager.
pub(crate) fn ensure_redis() -> Result<()> {
    ensure_program("redis-server", "redis-server")
}

/// Programs that let faults happen. Without the last three, which only Linux has, some faults are
/// left out.
pub(crate) fn ensure_fault_programs() -> Result<()> {
    ensure_redis()?;
    ensure_program("faketime", "faketime")?;
    if cfg!(target_os = "linux") {
        ensure_program("ip", "iproute2")?;
        ensure_program("nft", "nftables")?;
        ensure_program("strace", "strace")?;
    }
    Ok(())
}

/// Programs that only tests need, also from the system's package manager.
pub(crate) fn ensure_test_programs() -> Result<()> {
    ensure_fault_programs()?;
    // Some identity providers of tests/issuers, and some gateways, are from PyPI.
    ensure_program("python3", "python3-venv")?;
    ensure_program("lighttpd", "lighttpd")?;
    // promtool is in the same package.
    ensure_program("prometheus", "prometheus")?;
    // Where there is no systemd, its tests are skipped; so are those of the image without containers.
    if is_on_path("apt-get") {
        ensure_program("systemd-analyze", "systemd")?;
        ensure_program("runc", "runc")?;
        ensure_program("umoci", "umoci")?;
    }
    ensure_gateways()?;
    ensure_program("chromium", "chromium")
}

/// More programs that only benchmarks need.
pub(crate) fn ensure_bench_programs() -> Result<()> {
    ensure_redis()?;
    ensure_gateways()?;
    ensure_program("h2load", "nghttp2-client")?;
    ensure_program("wrk", "wrk")
}

/// The gateways that are packages of Debian; Envoy and Traefik are from PyPI.
fn ensure_gateways() -> Result<()> {
    for program in ["caddy", "haproxy", "nginx", "openssl"] {
        ensure_program(program, program)?;
    }
    ensure_program("python3", "python3-venv")
}

/// The fuzzer's command.
pub(crate) fn ensure_cargo_fuzz() -> Result<()> {
    ensure_cargo_command("fuzz")
}

/// What lists the crates that a program is made of.
pub(crate) fn ensure_cargo_cyclonedx() -> Result<()> {
    ensure_cargo_command("cyclonedx")
}

/// What makes Debian packages.
pub(crate) fn ensure_cargo_deb() -> Result<()> {
    ensure_cargo_command("deb")
}

fn ensure_cargo_command(name: &str) -> Result<()> {
    let found = Command::new("cargo").args([name, "--version"]).output()?;
    if found.status.success() {
        return Ok(());
    }
    run("cargo", &["install", &format!("cargo-{name}"), "--locked"])
}

fn ensure_program(program: &str, package: &str) -> Result<()> {
    if is_on_path(program) {
        return Ok(());
    }
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root || !is_on_path("apt-get") {
        bail!("{program} is missing: install it with your package manager (package {package})");
    }
    run("apt-get", &["update", "-qq"])?;
    run("apt-get", &["install", "-y", "-qq", "--no-install-recommends", package])
}

/// True if a program of this name can be run.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has servers where the path of a user does not lead.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

/// An hour from now, unix seconds.
#[expect(clippy::disallowed_methods, reason = "a program of its own, which nothing calls")]
pub(crate) fn in_an_hour() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600)
}
