//! The `asof` command.

fn main() {}
