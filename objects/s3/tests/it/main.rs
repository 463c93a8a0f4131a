//! The store against a model, and the service against a client.

mod http;
mod model;
