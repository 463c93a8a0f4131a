//! The faults that Organizations answers: AWS's code and message.

use iam::{Organization, Request};
use shapes::Fault;
use state::State;
use std::fmt::Display;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) => $code:literal, $text:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub(crate) fn $name($($arg: impl Display),*) -> Fault {
            Fault::sender($code, format!($text))
        }
    )*};
}

faults! {
    /// What only the management account may do.
    access_denied() => "AccessDeniedException", "You don't have permissions to access this resource.";
    no_organization() => "AWSOrganizationsNotInUseException", "Your account is not a member of an organization.";
    account_not_found() => "AccountNotFoundException", "You specified an account that doesn't exist.";
    already_closed() => "AccountAlreadyClosedException", "You attempted to close an account that is already closed.";
    management_closed() => "ConstraintViolationException", "You cannot close the management account of an organization.";
    creation_not_found() => "CreateAccountStatusNotFoundException", "You specified a create account request that doesn't exist.";
    parent_not_found() => "ParentNotFoundException", "You specified parent that doesn't exist.";
    child_not_found() => "ChildNotFoundException", "You specified child that doesn't exist.";
    target_not_found() => "TargetNotFoundException", "You specified a target that doesn't exist.";
    invalid_input(message) => "InvalidInputException", "{message}";
    too_many_tags() => "ConstraintViolationException", "You have exceeded the allowed maximum number of tags.";
}

/// The organization, if the caller's account is in it: every account is.
///
/// # Errors
/// There is none.
pub fn member(state: &State) -> Result<&Organization, Fault> {
    Organization::of(state).ok_or_else(no_organization)
}

/// The organization, if the caller is of the account that manages it.
///
/// # Errors
/// The caller isn't.
pub fn manager<'a>(state: &'a State, request: &Request) -> Result<&'a Organization, Fault> {
    let organization = member(state)?;
    if request.caller.account == organization.management {
        Ok(organization)
    } else {
        Err(access_denied())
    }
}
