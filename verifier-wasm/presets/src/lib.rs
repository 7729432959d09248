//! What is special about identity providers, from one table: `verifier-wasm/presets.json`. The npm package
//! reads the same file; `docs/reference/presets.md` describes it.
//!
//! [`Preset::of`] finds a preset by its name. [`Preset::address`] says who the issuer is and where its keys are,
//! which is what a control plane needs. [`Preset::rules`] has what a verifier is configured with.

mod parameters;
mod preset;

pub use parameters::{Kind, Parameter, Parameters, Value};
pub use preset::{Address, Audience, ClaimNames, Preset, PresetError, Rules};
