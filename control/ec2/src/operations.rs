//! The operations of EC2: each row names a function of its resource's file.
//!
//! `DryRun` is not the functions' matter: the caller of a function that succeeded drops its
//! transaction and answers `DryRunOperation`.

use crate::{
    accounts,
    compute::{credits, images, instance_types, key_pairs},
    ebs::{snapshots, volumes},
    regions, tagging,
};
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
    read DescribeImages => images::describe_images,
    read DescribeImageAttribute => images::describe_image_attribute,

    // compute/instance_types
    read DescribeInstanceTypes => instance_types::describe_instance_types,
    read DescribeInstanceTypeOfferings => instance_types::describe_instance_type_offerings,

    // compute/credits
    read DescribeInstanceCreditSpecifications => credits::describe_instance_credit_specifications,

    // compute/key_pairs
    mutate CreateKeyPair => key_pairs::create_key_pair,
    mutate ImportKeyPair => key_pairs::import_key_pair,
    read DescribeKeyPairs => key_pairs::describe_key_pairs,
    mutate DeleteKeyPair => key_pairs::delete_key_pair,

    // ebs
    read DescribeVolumes => volumes::describe_volumes,
    read DescribeSnapshots => snapshots::describe_snapshots,

    // vpc

    // regions, accounts, tags
    read DescribeRegions => regions::describe_regions,
    read DescribeAvailabilityZones => regions::describe_availability_zones,
    read DescribeAccountAttributes => accounts::describe_account_attributes,
    read DescribeIamInstanceProfileAssociations => accounts::describe_iam_instance_profile_associations,
    mutate CreateTags => tagging::create_tags,
    mutate DeleteTags => tagging::delete_tags,
    read DescribeTags => tagging::describe_tags,
}
