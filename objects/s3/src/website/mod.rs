//! Website hosting: a bucket's objects as pages, for anybody who may read them.

pub mod routing;
mod serve;

pub(crate) use serve::serve;
