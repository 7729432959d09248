//! Builds the verifier for wasm and makes the package's bindings.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use base64ct::{Base64, Encoding};
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::nameless;
use crate::tools::{self, root};

/// Writes `verifier-wasm/pkg`: one wasm file and its bindings, the same for every runtime.
pub(crate) fn build() -> Result<()> {
    let root = &root();
    println!("building the verifier for wasm: about two minutes from nothing");
    let built = Command::new("cargo")
        .args(["build", "--package", "offswitch-verifier", "--lib", "--profile", "wasm"])
        .args(["--target", TARGET, "--locked"])
        .args(["--config", &nameless::rust_flags(TARGET)?])
        .current_dir(root)
        .status()?;
    ensure!(built.success(), "the verifier does not build for wasm");
    let package = root.join("verifier-wasm/pkg");
    Bindgen::new()
        .input_path(tools::target_dir().join(TARGET).join("wasm/offswitch_verifier.wasm"))
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .reset_state_function(true) // a trapped instance is replaced
        .omit_default_module_path(true)
        .out_name("offswitch")
        .generate(&package)?;
    slim(&package.join("offswitch.js"))?;
    let zipped = zip(&std::fs::read(package.join("offswitch_bg.wasm"))?)?;
    let zipped = Base64::encode_string(&zipped);
    std::fs::write(
        package.join("offswitch_inline.js"),
        format!("// offswitch_bg.wasm, zipped.\nexport const zipped = \"{zipped}\";\n"),
    )?;
    // The CommonJS half is made from the same JavaScript.
    tools::ensure_npm_packages()?;
    tools::run("node", &["verifier-wasm/build/commonjs.mjs"])
}

/// Removes from the bindings the parts that the package replaces: `engine.js` knows to which
/// instance its verifier belongs, replaces it, and passes the module in only one way.
fn slim(bindings: &Path) -> Result<()> {
    let mut text = std::fs::read_to_string(bindings)?;
    for needless in NEEDLESS {
        ensure!(text.contains(needless), "the bindings have changed:\n{needless}");
        text = text.replace(needless, "");
    }
    for name in NEEDLESS_NAMES {
        ensure!(!text.contains(name), "the bindings have changed: {name} is still there");
    }
    Ok(std::fs::write(bindings, text)?)
}

/// Compresses the file as it is transferred, and fails if the result is too large.
fn zip(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(wasm)?;
    let zipped = encoder.finish()?;
    println!("offswitch_bg.wasm: {} bytes, {} gzipped", wasm.len(), zipped.len());
    ensure!(zipped.len() <= MAX_ZIPPED_BYTES, "more than {MAX_ZIPPED_BYTES} bytes gzipped");
    Ok(zipped)
}

const NEEDLESS: [&str; 12] = [
    // Checks whether an object belongs to an earlier instance.
    "        if (this.__wbg_inst !== undefined && this.__wbg_inst !== __wbg_instance_id) {\n            \
     throw new Error('Invalid stale object from previous Wasm instance');\n        }\n",
    "        Object.defineProperty(obj, '__wbg_inst', { value: __wbg_instance_id, writable: true });\n",
    // Checks whether wasm asked to be replaced.
    "        __wbg_call_guard();\n",
    "    __wbg_call_guard();\n",
    "function __wbg_call_guard() {\n    if (__wbg_reinit_scheduled) {\n        __wbg_reset_state();\n        \
     return;\n    }\n}\n",
    "    __wbg_reinit_scheduled = false;\n",
    "let __wbg_reinit_scheduled = false;\n",
    // Another way to free it.
    "if (Symbol.dispose) WasmVerifier.prototype[Symbol.dispose] = WasmVerifier.prototype.free;\n",
    // Checks whether two gigabytes of error messages were decoded, which is too much for Safari.
    "    numBytesDecoded += bytes.length;\n    if (numBytesDecoded >= MAX_SAFARI_DECODE_BYTES) {\n        \
     cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });\n        \
     cachedTextDecoder.decode();\n        numBytesDecoded = bytes.length;\n    }\n",
    "    if (typeof numBytesDecoded !== 'undefined') numBytesDecoded = 0;\n",
    "const MAX_SAFARI_DECODE_BYTES = 2146435072;\nlet numBytesDecoded = 0;\n",
    // Other ways to pass the module.
    "    if (module !== undefined) {\n        \
     if (Object.getPrototypeOf(module) === Object.prototype) {\n            \
     ({module} = module)\n        } else {\n            \
     console.warn('using deprecated parameters for `initSync()`; pass a single object instead')\n        \
     }\n    }\n",
];
/// Names that must not be left afterwards, anywhere in the bindings.
const NEEDLESS_NAMES: [&str; 5] = [
    "__wbg_call_guard",
    "__wbg_inst ",
    "__wbg_reinit_scheduled",
    "numBytesDecoded",
    "Symbol.dispose",
];
/// What tests find if it was built.
pub(crate) const BUILT: &str = "verifier-wasm/pkg/offswitch_bg.wasm";
const TARGET: &str = "wasm32-unknown-unknown";
/// How much an edge worker or a page may load before its first request. Refusals that name what was
/// found and expected, reports of key sets and bounds on what snapshots claim took 14 KB of that;
/// hashing a snapshot while it arrives takes 4 KB, and revoking by any claims about as much.
const MAX_ZIPPED_BYTES: usize = 130 * 1024;
