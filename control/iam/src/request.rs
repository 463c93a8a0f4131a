//! Who calls, and about which account and region.

use crate::Principal;
use types::{AccountId, Scope};

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the caller acts for.
    pub account: AccountId,
    /// The caller's ARN.
    pub arn: String,
    /// The caller's unique ID; of the root user, the account's.
    pub user_id: String,
    /// Whose policies count.
    pub principal: Principal,
}

impl Caller {
    /// The root user of an account.
    #[must_use]
    pub fn root(account: AccountId) -> Self {
        Self {
            account,
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_string(),
            principal: Principal::Root(account),
        }
    }
}

/// The circumstances of one call.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who calls.
    pub caller: Caller,
    /// The caller's account and the region called.
    pub scope: Scope,
}
