//! The verifier for JavaScript.

#[cfg(target_arch = "wasm32")]
mod bindings;
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "natively it is only compared with the JavaScript side")
)]
mod memory;
