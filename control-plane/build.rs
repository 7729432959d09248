//! The page is part of the binary: when it was built anew, so is this.

fn main() {
    println!("cargo:rerun-if-changed=../www/dist");
}
