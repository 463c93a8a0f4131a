//! What each operation of Organizations asks.

use iam::{
    Account, Organization, Request,
    access::{Check, members::Input},
};
use state::State;
use types::AccountId;

/// What an operation asks; none if this table doesn't know it.
#[must_use]
pub fn checks(state: &State, _: &Request, operation: &str, input: Input<'_>) -> Option<Vec<Check>> {
    let action = format!("organizations:{operation}");
    let account = |path: &str| {
        let id = input.text(path).unwrap_or_default();
        let organization = Organization::of(state);
        let arn = organization.map_or_else(|| "*".to_owned(), |one| one.arn("account", &id));
        let mut check = Check::new(action.clone(), arn);
        if let Some(row) = id.parse::<AccountId>().ok().and_then(|id| state.get::<Account>(&id)) {
            for (key, value) in &row.tags {
                check.set(format!("aws:ResourceTag/{key}"), value.as_str());
            }
        }
        let tags = input.tags("Tags");
        check.set_request_tags(tags.iter().map(|(key, value)| (&**key, &**value)));
        check
    };
    Some(match operation {
        "CloseAccount" | "DescribeAccount" => vec![account("AccountId")],
        "ListTagsForResource" | "TagResource" | "UntagResource" => {
            let mut check = account("ResourceId");
            let keys = input.texts("TagKeys");
            if !keys.is_empty() {
                check.set_all("aws:TagKeys", keys);
            }
            vec![check]
        }
        "CreateAccount" => {
            let mut check = Check::new(action.clone(), "*");
            let tags = input.tags("Tags");
            check.set_request_tags(tags.iter().map(|(key, value)| (&**key, &**value)));
            vec![check]
        }
        "DescribeCreateAccountStatus"
        | "DescribeOrganization"
        | "ListAccounts"
        | "ListAccountsForParent"
        | "ListChildren"
        | "ListCreateAccountStatus"
        | "ListOrganizationalUnitsForParent"
        | "ListParents"
        | "ListRoots" => vec![Check::new(action, "*")],
        _ => return None,
    })
}
