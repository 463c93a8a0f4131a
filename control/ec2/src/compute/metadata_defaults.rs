//! What an account wants of the metadata service of its new instances in a region.

use super::instances::MetadataOptions;
use crate::errors;
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    ec2::{
        DefaultHttpTokensEnforcedState, DefaultInstanceMetadataEndpointState,
        DefaultInstanceMetadataTagsState, GetInstanceMetadataDefaultsRequest,
        GetInstanceMetadataDefaultsResult, HttpTokensState, InstanceMetadataDefaultsResponse,
        InstanceMetadataEndpointState, InstanceMetadataTagsState, ManagedBy,
        MetadataDefaultHttpTokensState, ModifyInstanceMetadataDefaultsRequest,
        ModifyInstanceMetadataDefaultsResult,
    },
};
use state::{Row, State, Tx};
use types::Scope;

/// What an image or nobody says: as AWS's newer images have it.
const USUAL: MetadataOptions =
    MetadataOptions { enabled: true, token_required: true, hop_limit: 2, tags: false, ipv6: false };
/// What a call says to take a preference of the hop limit back.
const NO_LIMIT: i32 = -1;

/// An account's preferences in a region; none is no preference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataDefaults {
    pub scope: Scope,
    pub token_required: Option<bool>,
    pub hop_limit: Option<u8>,
    pub enabled: Option<bool>,
    pub tags: Option<bool>,
}

impl Row for MetadataDefaults {
    const TABLE: &'static str = "metadata-defaults";
    type Key = String;
    fn key(&self) -> String {
        key(&self.scope)
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
}

fn key(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

fn of(state: &State, scope: &Scope) -> MetadataDefaults {
    state.get::<MetadataDefaults>(&key(scope)).map_or_else(
        || MetadataDefaults {
            scope: scope.clone(),
            token_required: None,
            hop_limit: None,
            enabled: None,
            tags: None,
        },
        |row| MetadataDefaults::clone(row),
    )
}

/// The options of a new instance whose launch says nothing of them.
#[must_use]
pub fn options(state: &State, scope: &Scope) -> MetadataOptions {
    let row = of(state, scope);
    MetadataOptions {
        enabled: row.enabled.unwrap_or(USUAL.enabled),
        token_required: row.token_required.unwrap_or(USUAL.token_required),
        hop_limit: row.hop_limit.unwrap_or(USUAL.hop_limit),
        tags: row.tags.unwrap_or(USUAL.tags),
        ipv6: USUAL.ipv6,
    }
}

/// The account's preferences.
///
/// # Errors
/// None.
pub fn get_instance_metadata_defaults(
    state: &State,
    request: &Request,
    input: GetInstanceMetadataDefaultsRequest,
) -> Result<GetInstanceMetadataDefaultsResult, Fault> {
    let GetInstanceMetadataDefaultsRequest { dry_run: _ } = input;
    let row = of(state, &request.scope);
    let tokens = |required| match required {
        true => HttpTokensState::Required,
        false => HttpTokensState::Optional,
    };
    let endpoint = |enabled| match enabled {
        true => InstanceMetadataEndpointState::Enabled,
        false => InstanceMetadataEndpointState::Disabled,
    };
    let tags = |shown| match shown {
        true => InstanceMetadataTagsState::Enabled,
        false => InstanceMetadataTagsState::Disabled,
    };
    Ok(GetInstanceMetadataDefaultsResult {
        account_level: Some(InstanceMetadataDefaultsResponse {
            http_tokens: row.token_required.map(tokens),
            http_put_response_hop_limit: row.hop_limit.map(i32::from),
            http_endpoint: row.enabled.map(endpoint),
            instance_metadata_tags: row.tags.map(tags),
            managed_by: Some(ManagedBy::Account),
            managed_exception_message: None,
            http_tokens_enforced: None,
        }),
    })
}

/// Changes the account's preferences: for new instances; those that are there keep their options.
///
/// # Errors
/// A value can't be, or isn't served.
pub fn modify_instance_metadata_defaults(
    tx: &mut Tx,
    request: &Request,
    input: ModifyInstanceMetadataDefaultsRequest,
) -> Result<ModifyInstanceMetadataDefaultsResult, Fault> {
    let ModifyInstanceMetadataDefaultsRequest {
        http_tokens,
        http_put_response_hop_limit,
        http_endpoint,
        instance_metadata_tags,
        dry_run: _,
        http_tokens_enforced,
    } = input;
    if http_tokens_enforced == Some(DefaultHttpTokensEnforcedState::Enabled) {
        return Err(errors::unsupported("HttpTokensEnforced"));
    }
    let mut row = of(tx, &request.scope);
    if let Some(tokens) = http_tokens {
        row.token_required = match tokens {
            MetadataDefaultHttpTokensState::Optional => Some(false),
            MetadataDefaultHttpTokensState::Required => Some(true),
            MetadataDefaultHttpTokensState::NoPreference => None,
        };
    }
    if let Some(limit) = http_put_response_hop_limit {
        row.hop_limit = match u8::try_from(limit) {
            _ if limit == NO_LIMIT => None,
            Ok(limit @ 1..=64) => Some(limit),
            Ok(_) | Err(_) => {
                let why = "Expecting a value between 1 and 64, or -1.";
                return Err(errors::invalid_value(limit, "httpPutResponseHopLimit", why));
            }
        };
    }
    if let Some(endpoint) = http_endpoint {
        row.enabled = match endpoint {
            DefaultInstanceMetadataEndpointState::Disabled => Some(false),
            DefaultInstanceMetadataEndpointState::Enabled => Some(true),
            DefaultInstanceMetadataEndpointState::NoPreference => None,
        };
    }
    if let Some(tags) = instance_metadata_tags {
        row.tags = match tags {
            DefaultInstanceMetadataTagsState::Disabled => Some(false),
            DefaultInstanceMetadataTagsState::Enabled => Some(true),
            DefaultInstanceMetadataTagsState::NoPreference => None,
        };
    }
    tx.put(row);
    Ok(ModifyInstanceMetadataDefaultsResult { r#return: Some(true) })
}
