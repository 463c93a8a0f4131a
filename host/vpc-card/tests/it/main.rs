//! Tests of the whole card: the engine by itself, and a running card by real rings.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cached;
mod card;
mod card6;
mod config;
mod corpus;
mod dns;
mod engine;
mod frames;
mod frames6;
mod frontend;
mod guest;
mod ipv6;
mod nat_gateways;
mod properties;
mod sockets;
