//! The S3 service as a whole, called in-process.

mod access;
mod background;
mod configuration;
mod front;
mod world;
