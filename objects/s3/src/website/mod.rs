//! Website hosting.
pub mod routing;
