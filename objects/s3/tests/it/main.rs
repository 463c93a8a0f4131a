//! The store against a model, and the service as a whole against a client and in-process.

mod access;
mod background;
mod configuration;
mod encryption;
mod front;
mod http;
mod inventory;
mod lists;
mod model;
mod replication;
mod world;
