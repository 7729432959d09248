//! What the program is made of, as CycloneDX: the crates, by cargo-cyclonedx, and the packages in the page, by npm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::program;
use super::source::Source;
use crate::tools::{self, root};

/// A list, as it was written.
pub(super) struct Sbom {
    /// Its file.
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// Makes both lists, and writes them to `folder`.
pub(super) fn write(folder: &Path, source: &Source) -> Result<[Sbom; 2]> {
    let lists = [
        Sbom { name: "offswitch.crates.cdx.json", text: crates(source)? },
        Sbom { name: "offswitch.page.cdx.json", text: packages_of_page(source)? },
    ];
    for Sbom { name, text } in &lists {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(lists)
}

/// The crates that are linked into the program.
fn crates(source: &Source) -> Result<String> {
    tools::ensure_cargo_cyclonedx()?;
    let made = Command::new("cargo")
        .args(["cyclonedx", "--manifest-path", "control-plane/Cargo.toml", "--no-build-deps"])
        .args(["--target", &program::target(), "--format", "json", "--spec-version", "1.5"])
        .args(["--override-filename", FILE])
        // It then writes no number that is different in each run.
        .env("SOURCE_DATE_EPOCH", source.seconds.to_string())
        .current_dir(root())
        .status()?;
    ensure!(made.success(), "cargo cyclonedx failed");
    let file = format!("{FILE}.json");
    let text = std::fs::read_to_string(root().join("control-plane").join(&file));
    // It writes one for each member.
    for folder in members()? {
        let _ = std::fs::remove_file(folder.join(&file));
    }
    Ok(text?.replace(&root().to_string_lossy().into_owned(), "/offswitch"))
}

/// The folders of the workspace's members.
fn members() -> Result<Vec<PathBuf>> {
    let asked = ["metadata", "--no-deps", "--locked", "--format-version", "1"];
    let found = Command::new("cargo").args(asked).current_dir(root()).output()?;
    let found: Value = serde_json::from_slice(&found.stdout)?;
    let packages = found["packages"].as_array().context("cargo metadata names no packages")?;
    let files = packages.iter().filter_map(|package| package["manifest_path"].as_str());
    Ok(files.filter_map(|file| Some(Path::new(file).parent()?.to_owned())).collect())
}

/// The packages that Vite puts into the page.
fn packages_of_page(source: &Source) -> Result<String> {
    let made = Command::new("npm")
        .args(["sbom", "--sbom-format", "cyclonedx", "--package-lock-only"])
        .args(["--omit", "dev", "--workspace", "www"])
        .current_dir(root())
        .output()?;
    ensure!(made.status.success(), "npm sbom: {}", String::from_utf8_lossy(&made.stderr));
    let mut list: Value = serde_json::from_slice(&made.stdout)?;
    keep_page(&mut list)?;
    // Both are different in each run.
    list["metadata"]["timestamp"] = source.created.clone().into();
    list.as_object_mut().context("npm sbom printed no object")?.remove("serialNumber");
    Ok(serde_json::to_string_pretty(&list)?)
}

/// Leaves what the page is made of. npm begins with the whole workspace, calls packages by their folders, and follows the peers of
/// our own package, which has no other dependencies.
fn keep_page(list: &mut Value) -> Result<()> {
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Needs { of, what } in serde_json::from_value::<Vec<Needs>>(list["dependencies"].take())? {
        let is_own_package = of.starts_with("offswitch@");
        needs.insert(of, if is_own_package { Vec::new() } else { what });
    }
    let page = needs.keys().find(|of| of.starts_with("offswitch-www@"));
    let page = page.context("npm sbom does not list the page")?.clone();
    let (mut kept, mut next) = (BTreeMap::new(), vec![page.clone()]);
    while let Some(of) = next.pop() {
        let what = needs.remove(&of).unwrap_or_default();
        next.extend(what.iter().cloned());
        kept.entry(of).or_insert(what);
    }
    let mut components: Vec<Value> = serde_json::from_value(list["components"].take())?;
    components.retain_mut(|one| {
        let of = one["bom-ref"].as_str().unwrap_or_default().to_owned();
        one["name"] = of.rsplit_once('@').map_or(of.as_str(), |(name, _)| name).into();
        if of == page {
            list["metadata"]["component"] = one.clone();
        }
        of != page && kept.contains_key(&of)
    });
    list["components"] = components.into();
    list["dependencies"] = serde_json::to_value(
        kept.into_iter().map(|(of, what)| Needs { of, what }).collect::<Vec<_>>(),
    )?;
    Ok(())
}

/// What a component needs, by their references.
#[derive(Serialize, Deserialize)]
struct Needs {
    #[serde(rename = "ref")]
    of: String,
    #[serde(rename = "dependsOn")]
    what: Vec<String>,
}

/// Of CycloneDX in JSON.
pub(super) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";
/// A name that no other file in a member's folder has.
const FILE: &str = "offswitch-sbom";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // A12: what npm lists for the tests and as peers of our package is not in the page.
    #[test]
    fn the_list_of_the_page_has_what_it_needs_and_nothing_else() {
        let component =
            |name: &str| json!({ "bom-ref": format!("{name}@1.0.0"), "name": "folder" });
        let needs = |of: &str, what: &[&str]| {
            let what: Vec<String> = what.iter().map(|name| format!("{name}@1.0.0")).collect();
            json!({ "ref": format!("{of}@1.0.0"), "dependsOn": what })
        };
        let components = ["fastify", "@a/b", "offswitch", "offswitch-www", "preact"].map(component);
        let mut list = json!({
            "metadata": { "component": component("offswitch-workspace") },
            "components": components,
            "dependencies": [
                needs("offswitch-workspace", &["offswitch", "fastify"]),
                needs("offswitch-www", &["offswitch", "preact"]),
                needs("offswitch", &["fastify"]),
                needs("preact", &["@a/b"]),
                needs("@a/b", &["preact"]),
                needs("fastify", &[]),
            ],
        });
        keep_page(&mut list).unwrap();
        let names = |list: &Value| -> Vec<String> {
            list.as_array()
                .unwrap()
                .iter()
                .map(|one| one["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(list["metadata"]["component"]["name"], "offswitch-www");
        assert_eq!(names(&list["components"]), ["@a/b", "offswitch", "preact"]);
        let expected = [
            needs("@a/b", &["preact"]),
            needs("offswitch-www", &["offswitch", "preact"]),
            needs("offswitch", &[]),
            needs("preact", &["@a/b"]),
        ];
        assert_eq!(list["dependencies"], json!(expected));
    }
}
