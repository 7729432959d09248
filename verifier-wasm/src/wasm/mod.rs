//! The verifier for JavaScript.

mod bindings;
