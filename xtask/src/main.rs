//! Developer tasks: generate, tidy, test, bench.
fn main() {}
