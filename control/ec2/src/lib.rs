//! EC2's operations as pure functions over control state.
