//! The operations of IAM and STS: each row names a function of its resource's file.

use crate::{Request, sts};
use shapes::{Fault, Operation, sts::ops};
use state::{State, Tx};

/// Takes the function behind an operation, with the types that it reads and answers.
pub trait Visitor: Sized {
    /// What visiting gives.
    type Out;

    /// An operation that only reads.
    fn read<O: Operation>(self, run: Read<O>) -> Self::Out;

    /// An operation that changes the state: one transaction, dropped if it fails.
    fn mutate<O: Operation>(self, run: Mutate<O>) -> Self::Out;
}

/// The function behind an operation that only reads.
pub type Read<O> =
    fn(&State, &Request, <O as Operation>::Input) -> Result<<O as Operation>::Output, Fault>;

/// The function behind an operation that changes the state.
pub type Mutate<O> =
    fn(&mut Tx, &Request, <O as Operation>::Input) -> Result<<O as Operation>::Output, Fault>;

/// Makes `visit` from rows `kind Operation => function,` where kind is a method of the visitor.
/// The service's `ops` module must be in scope.
#[macro_export]
macro_rules! operations {
    ($visitor:path: $($kind:ident $name:ident => $($run:ident)::+,)*) => {
        /// Hands the function behind the named operation to the visitor; none if it isn't served.
        pub fn visit<V: $visitor>(name: &str, visitor: V) -> Option<V::Out> {
            Some(match name {
                $(stringify!($name) => visitor.$kind::<ops::$name>($($run)::+),)*
                _ => return None,
            })
        }
    };
}

operations! { Visitor:
    read GetCallerIdentity => sts::get_caller_identity,
}
