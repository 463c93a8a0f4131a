//! Tags of resources that are there: one call for resources of all kinds.

use crate::{
    compute::{images::Image, instances::Instance, key_pairs::KeyPair},
    ebs::{snapshots::Snapshot, volumes::Volume},
    errors,
    filters::Filters,
    page::page,
    resource::{Resource, find},
    tags,
    vpc::{
        addresses::Address, dhcp_options::DhcpOptions,
        egress_only_internet_gateways::EgressOnlyInternetGateway,
        internet_gateways::InternetGateway, nat_gateways::NatGateway, network_acls::NetworkAcl,
        network_interfaces::NetworkInterface, route_tables::RouteTable,
        security_groups::SecurityGroup, subnet_reservations::SubnetReservation, subnets::Subnet,
        vpcs::Vpc,
    },
};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        CreateTagsRequest, CreateTagsResponse, DeleteTagsRequest, DeleteTagsResponse,
        DescribeTagsRequest, DescribeTagsResult, ResourceType, Tag, TagDescription,
    },
};
use state::{Row, State, Tx};
use types::{ResourceId, Scope, SecurityGroupRuleId, Tags};

/// AWS's limit of resources in one call.
const MAX_RESOURCES: usize = 1000;

/// Calls a macro with every row that has an ID of its own and tags.
macro_rules! for_each_resource {
    ($run:ident) => {
        $run!(
            Address,
            DhcpOptions,
            EgressOnlyInternetGateway,
            Image,
            Instance,
            InternetGateway,
            KeyPair,
            NatGateway,
            NetworkAcl,
            NetworkInterface,
            RouteTable,
            SecurityGroup,
            Snapshot,
            Subnet,
            SubnetReservation,
            Volume,
            Vpc
        )
    };
}

/// Sets tags of resources: of all, or of none.
///
/// # Errors
/// A resource doesn't exist, isn't the caller's or would have too many tags, or a tag isn't within
/// AWS's limits.
pub fn create_tags(
    tx: &mut Tx,
    request: &Request,
    input: CreateTagsRequest,
) -> Result<CreateTagsResponse, Fault> {
    let CreateTagsRequest { dry_run: _, resources, tags } = input;
    let resources = checked(resources)?;
    let new = tags::from_api(tags.unwrap_or_default())?;
    if new.is_empty() {
        return Err(errors::missing("Tag"));
    }
    for id in &resources {
        change(tx, &request.scope, id, &|tags| {
            tags.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
            tags::check_count(tags)
        })?;
    }
    Ok(CreateTagsResponse {})
}

/// Deletes tags of resources: those with the keys, or with the keys and values, or all.
///
/// # Errors
/// A resource doesn't exist or isn't the caller's, or a key isn't within AWS's limits.
pub fn delete_tags(
    tx: &mut Tx,
    request: &Request,
    input: DeleteTagsRequest,
) -> Result<DeleteTagsResponse, Fault> {
    let DeleteTagsRequest { dry_run: _, resources, tags } = input;
    let resources = checked(resources)?;
    let mut gone = Vec::new();
    for Tag { key, value } in tags.unwrap_or_default() {
        let key = key.ok_or_else(|| errors::missing("Tag.Key"))?;
        tags::check_key(&key)?;
        gone.push((key, value));
    }
    for id in &resources {
        change(tx, &request.scope, id, &|tags| {
            tags.retain(|key, value| match gone.is_empty() {
                true => key.starts_with("aws:"),
                false => !gone.iter().any(|(gone, only)| {
                    gone == key && only.as_ref().is_none_or(|only| only == value)
                }),
            });
            Ok(())
        })?;
    }
    Ok(DeleteTagsResponse {})
}

fn checked(resources: Option<Vec<String>>) -> Result<Vec<String>, Fault> {
    let resources = resources.unwrap_or_default();
    match resources.len() {
        0 => Err(errors::missing("resourceIdSet")),
        count if count > MAX_RESOURCES => {
            let why = format!("The limit of resources in one request is {MAX_RESOURCES}.");
            Err(errors::invalid_value(count, "resourceIdSet", why))
        }
        _ => Ok(resources),
    }
}

type Change<'a> = &'a dyn Fn(&mut Tags) -> Result<(), Fault>;

/// Changes the tags of the resource with this ID, whatever it is.
fn change(tx: &mut Tx, scope: &Scope, id: &str, change: Change<'_>) -> Result<(), Fault> {
    let prefix = id.rsplit_once('-').map_or("", |(prefix, _)| prefix);
    if prefix == SecurityGroupRuleId::PREFIX {
        return change_rule(tx, scope, id, change);
    }
    macro_rules! by_prefix {
        ($($row:ident),*) => {$(
            if prefix == <$row as Row>::Key::PREFIX {
                return change_row::<$row>(tx, scope, id, change);
            }
        )*};
    }
    for_each_resource!(by_prefix);
    Err(errors::invalid_id(id))
}

fn change_row<R: Resource>(
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
    change: Change<'_>,
) -> Result<(), Fault> {
    let mut row = R::clone(&*find::<R>(tx, scope, id)?);
    if row.scope() != Some(scope) {
        // AWS keeps each account's own tags of what others share with it.
        return Err(errors::unsupported(format_args!("ResourceId with {id}, which is not yours,")));
    }
    change(row.tags_mut())?;
    tx.put(row);
    Ok(())
}

fn change_rule(tx: &mut Tx, scope: &Scope, id: &str, change: Change<'_>) -> Result<(), Fault> {
    let missing = || {
        let message = format!("The security group rule ID '{id}' does not exist");
        Fault::sender("InvalidSecurityGroupRuleId.NotFound", message)
    };
    let key = id.parse::<SecurityGroupRuleId>().map_err(|error| match error {
        types::IdError::Malformed => {
            let message = format!("Invalid id: \"{id}\" (expecting \"sgr-...\")");
            Fault::sender("InvalidSecurityGroupRuleId.Malformed", message)
        }
        types::IdError::Foreign => missing(),
    })?;
    let group = tx.find::<SecurityGroup>("rule", key).find(|row| row.visible(scope));
    let mut group = SecurityGroup::clone(group.ok_or_else(missing)?);
    let rule = group.rules.iter_mut().find(|rule| rule.id == key).ok_or_else(missing)?;
    change(&mut rule.tags)?;
    tx.put(group);
    Ok(())
}

/// A tag of a resource.
struct Tagged<'a> {
    id: String,
    kind: ResourceType,
    key: &'a str,
    value: &'a str,
}

/// All tags of the resources of a scope.
fn all<'a>(state: &'a State, scope: &Scope) -> Vec<Tagged<'a>> {
    let mut all = Vec::new();
    let mut add = |id: String, kind, tags: &'a Tags| {
        all.extend(tags.iter().map(|(key, value)| Tagged { id: id.clone(), kind, key, value }));
    };
    macro_rules! add_rows {
        ($($row:ident),*) => {$(
            for row in state.in_scope::<$row>(scope).filter(|row| !row.tags.is_empty()) {
                add(row.id.to_string(), <$row as Resource>::TYPE, &row.tags);
            }
        )*};
    }
    for_each_resource!(add_rows);
    for rule in state.in_scope::<SecurityGroup>(scope).flat_map(|group| &group.rules) {
        add(rule.id.to_string(), ResourceType::SecurityGroupRule, &rule.tags);
    }
    all
}

/// The tags of the caller's resources.
///
/// # Errors
/// A filter or the page is invalid.
pub fn describe_tags(
    state: &State,
    request: &Request,
    input: DescribeTagsRequest,
) -> Result<DescribeTagsResult, Fault> {
    let DescribeTagsRequest { dry_run: _, filters, max_results, next_token } = input;
    let filters = Filters::new(filters, &["key", "value", "resource-id", "resource-type"])?;
    let mut rows = all(state, &request.scope);
    rows.retain(|row| {
        let one = if filters.is_empty() {
            Tags::new()
        } else {
            Tags::from([(row.key.to_owned(), row.value.to_owned())])
        };
        filters.accept(&one, |name, wanted| match name {
            "key" => wanted.is(row.key),
            "value" => wanted.is(row.value),
            "resource-id" => wanted.is(&row.id),
            _ => wanted.is(row.kind),
        })
    });
    let key = |row: &Tagged<'_>| format!("{}\0{}", row.id, row.key);
    rows.sort_by_cached_key(key);
    let max_results = max_results.or(Some(1000));
    let (rows, next_token) = page(rows, key, max_results, 5..=1000, next_token.as_deref())?;
    let tags = rows.into_iter().map(|row| TagDescription {
        key: Some(row.key.to_owned()),
        resource_id: Some(row.id),
        resource_type: Some(row.kind),
        value: Some(row.value.to_owned()),
    });
    Ok(DescribeTagsResult { next_token, tags: Some(tags.collect()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        testing::{filter, request, request_of, tx},
        vpc::{
            security_groups::{Peer, Rule},
            traffic::Protocol,
        },
    };
    use types::AccountId;

    fn tag(key: &str, value: Option<&str>) -> Tag {
        Tag { key: Some(key.to_owned()), value: value.map(ToOwned::to_owned) }
    }

    fn create(tx: &mut Tx, ids: &[&str], tags: Vec<Tag>) -> Result<CreateTagsResponse, Fault> {
        let resources = Some(ids.iter().map(|&id| id.to_owned()).collect());
        let input = CreateTagsRequest { dry_run: None, resources, tags: Some(tags) };
        create_tags(tx, &request(), input)
    }

    fn delete(tx: &mut Tx, id: &str, tags: Option<Vec<Tag>>) {
        let resources = Some(vec![id.to_owned()]);
        let input = DeleteTagsRequest { dry_run: None, resources, tags };
        delete_tags(tx, &request(), input).unwrap();
    }

    fn describe(tx: &Tx, filters: &[(&str, &str)]) -> Vec<(String, String, String)> {
        let filters = filters.iter().map(|(name, value)| filter(name, &[value])).collect();
        let input = DescribeTagsRequest { filters: Some(filters), ..Default::default() };
        let result = describe_tags(tx.state(), &request(), input).unwrap();
        let rows = result.tags.unwrap().into_iter();
        rows.map(|row| {
            (row.resource_type.unwrap().to_string(), row.key.unwrap(), row.value.unwrap())
        })
        .collect()
    }

    /// A key pair, and a security group with a rule.
    fn resources(tx: &mut Tx, request: &Request) -> (String, String, String) {
        let scope = request.scope.clone();
        let pair = KeyPair {
            id: tx.new_id(),
            scope: scope.clone(),
            name: "me".to_owned(),
            kind: "rsa".to_owned(),
            fingerprint: String::new(),
            public_key: String::new(),
            create_time: tx.now(),
            tags: Tags::new(),
        };
        tx.put(pair.clone());
        let rule = Rule {
            id: tx.new_id(),
            egress: false,
            protocol: Protocol::All,
            from: None,
            to: None,
            peer: Peer::Group(tx.new_id(), scope.account),
            description: None,
            tags: Tags::new(),
        };
        let group = SecurityGroup {
            id: tx.new_id(),
            scope,
            vpc: tx.new_id(),
            name: "web".to_owned(),
            description: "web".to_owned(),
            rules: vec![rule.clone()],
            tags: Tags::new(),
        };
        tx.put(group.clone());
        (pair.id.to_string(), group.id.to_string(), rule.id.to_string())
    }

    #[test]
    fn tags_come_and_go() {
        let mut tx = tx();
        let (pair, group, rule) = resources(&mut tx, &request());
        let tags = vec![tag("Name", Some("x")), tag("empty", None)];
        create(&mut tx, &[&pair, &group, &rule], tags).unwrap();
        assert_eq!(describe(&tx, &[]).len(), 6);
        let row = |kind: &str, key: &str, value: &str| {
            (kind.to_owned(), key.to_owned(), value.to_owned())
        };
        let found = describe(&tx, &[("resource-type", "security-group-rule"), ("key", "Name")]);
        assert_eq!(found, [row("security-group-rule", "Name", "x")]);
        let found = describe(&tx, &[("resource-id", &pair), ("tag:Name", "x")]);
        assert_eq!(found, [row("key-pair", "Name", "x")]);

        delete(&mut tx, &pair, Some(vec![tag("Name", Some("other")), tag("empty", Some(""))]));
        assert_eq!(describe(&tx, &[("resource-id", &pair)]), [row("key-pair", "Name", "x")]);
        delete(&mut tx, &pair, Some(vec![tag("Name", None)]));
        assert!(describe(&tx, &[("resource-id", &pair)]).is_empty());
        delete(&mut tx, &rule, None);
        assert_eq!(describe(&tx, &[]).len(), 2);
    }

    #[test]
    fn faults() {
        let mut tx = tx();
        let other: AccountId = "111111111111".parse().unwrap();
        let (foreign, ..) = resources(&mut tx, &request_of(other));
        let (pair, ..) = resources(&mut tx, &request());
        for (id, code) in [
            ("x", "InvalidID"),
            ("", "InvalidID"),
            ("thing-0123456789abcdef0", "InvalidID"),
            ("vpc-1", "InvalidVpcID.Malformed"),
            ("vpc-0123456789abcdef0", "InvalidVpcID.NotFound"),
            ("sgr-0123456789abcdef0", "InvalidSecurityGroupRuleId.NotFound"),
            (&foreign, "InvalidKeyPair.NotFound"),
        ] {
            let fault = create(&mut tx, &[id], vec![tag("a", None)]).unwrap_err();
            assert_eq!(fault.code, code, "{id}");
        }
        let many = |range: std::ops::Range<u8>| {
            range.map(|n| tag(&n.to_string(), None)).collect::<Vec<_>>()
        };
        create(&mut tx, &[&pair], many(0..50)).unwrap();
        create(&mut tx, &[&pair], many(0..50)).unwrap();
        let fault = create(&mut tx, &[&pair], many(50..51)).unwrap_err();
        assert_eq!(fault.code, "TagLimitExceeded");
    }
}
