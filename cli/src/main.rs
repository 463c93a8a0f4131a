//! The fogbank command.
fn main() {}
