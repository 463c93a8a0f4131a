//! The cluster over nodes that fail.

mod basics;
mod full;
mod simulation;
