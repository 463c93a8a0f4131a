//! The operations of EC2: each row names a function of its resource's file.
//!
//! `DryRun` is not the functions' matter: the caller of a function that succeeded drops its
//! transaction and answers `DryRunOperation`.

use crate::compute::instance_types;
use contracts::link::{Answer, Question};
use iam::{Request, operations};
use shapes::{Fault, Operation, ec2::ops};
use state::State;

/// Takes the function behind an operation, with the types that it reads and answers.
pub trait Visitor: iam::Visitor {
    /// An operation that a host answers.
    fn ask<O: Operation>(self, run: AskHost<O>) -> Self::Out;
}

/// The function behind an operation that a host answers.
pub type AskHost<O> =
    fn(&State, &Request, <O as Operation>::Input) -> Result<Ask<<O as Operation>::Output>, Fault>;

/// A question to a host, and what makes the output from its answer.
pub struct Ask<T> {
    /// The host.
    pub host: String,
    /// What to ask.
    pub question: Question,
    /// Makes the output; from an error if the host can't be reached or can't tell.
    pub finish: Box<dyn FnOnce(Result<Answer, String>) -> Result<T, Fault> + Send>,
}

operations! { Visitor:
    // compute/instances

    // compute/images

    // compute/instance_types
    read DescribeInstanceTypes => instance_types::describe_instance_types,
    read DescribeInstanceTypeOfferings => instance_types::describe_instance_type_offerings,

    // compute/key_pairs

    // ebs

    // vpc

    // regions, accounts, tags
}
