//! The operations of CloudTrail that are served: each row names a function.

use crate::{Query, lookup};
use iam::Request;
use shapes::{Fault, Operation, cloudtrail::ops};
use types::Timestamp;

/// Takes the function behind an operation.
pub trait Visitor: Sized {
    /// What visiting gives.
    type Out;

    /// An operation that reads the log.
    fn search<O: Operation>(self, run: Search<O>) -> Self::Out;
}

/// The function behind an operation that reads the log: what to look for, and how to say what was
/// found.
pub type Search<O> =
    fn(&Request, Timestamp, <O as Operation>::Input) -> Result<Searching<O>, Fault>;

/// A search that the log's owner carries out.
#[derive(Debug)]
pub struct Searching<O: Operation> {
    /// What to look for.
    pub query: Query,
    /// Makes the answer of what was found.
    pub finish: fn(crate::Page) -> <O as Operation>::Output,
}

iam::operations! { Visitor:
    search LookupEvents => lookup::lookup_events,
}
