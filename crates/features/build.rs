//! Is there so that Cargo.toml may name features for programs that run while others are compiled.

fn main() {}
