//! The store against a model, and the service as a whole, called in-process.

mod access;
mod background;
mod configuration;
mod front;
mod http;
mod model;
mod world;
