//! The operations of Organizations: each row names a function of its resource's file.

use crate::{accounts, creation, organization, tags};
use iam::{Visitor, operations};
use shapes::organizations::ops;

operations! { Visitor:
    // organization
    read DescribeOrganization => organization::describe_organization,
    read ListRoots => organization::list_roots,
    read ListParents => organization::list_parents,
    read ListChildren => organization::list_children,
    read ListAccountsForParent => organization::list_accounts_for_parent,
    read ListOrganizationalUnitsForParent => organization::list_organizational_units_for_parent,

    // accounts
    mutate CloseAccount => accounts::close_account,
    read DescribeAccount => accounts::describe_account,
    read ListAccounts => accounts::list_accounts,

    // creation
    mutate CreateAccount => creation::create_account,
    read DescribeCreateAccountStatus => creation::describe_create_account_status,
    read ListCreateAccountStatus => creation::list_create_account_status,

    // tags
    read ListTagsForResource => tags::list_tags_for_resource,
    mutate TagResource => tags::tag_resource,
    mutate UntagResource => tags::untag_resource,
}
