//! The page is part of the binary: a new build of the page also rebuilds the binary.

fn main() {
    println!("cargo:rerun-if-changed=../www/dist");
}
