//! What an account has only in an organization, or once it is enabled: neither is so here, and
//! these operations say it as AWS does.

use crate::{Request, errors};
use shapes::{
    Fault,
    iam::{
        DisableOrganizationsRootCredentialsManagementRequest,
        DisableOrganizationsRootCredentialsManagementResponse,
        EnableOrganizationsRootCredentialsManagementRequest,
        EnableOrganizationsRootCredentialsManagementResponse,
        GetOutboundWebIdentityFederationInfoRequest, GetOutboundWebIdentityFederationInfoResponse,
        ListOrganizationsFeaturesRequest, ListOrganizationsFeaturesResponse,
    },
};
use state::{State, Tx};

/// The management of members' root users.
///
/// # Errors
/// The account is in no organization.
pub fn disable_organizations_root_credentials_management(
    _: &mut Tx,
    _: &Request,
    input: DisableOrganizationsRootCredentialsManagementRequest,
) -> Result<DisableOrganizationsRootCredentialsManagementResponse, Fault> {
    let DisableOrganizationsRootCredentialsManagementRequest {} = input;
    Err(errors::no_organization())
}

/// The management of members' root users.
///
/// # Errors
/// The account is in no organization.
pub fn enable_organizations_root_credentials_management(
    _: &mut Tx,
    _: &Request,
    input: EnableOrganizationsRootCredentialsManagementRequest,
) -> Result<EnableOrganizationsRootCredentialsManagementResponse, Fault> {
    let EnableOrganizationsRootCredentialsManagementRequest {} = input;
    Err(errors::no_organization())
}

/// What an organization manages for its members.
///
/// # Errors
/// The account is in no organization.
pub fn list_organizations_features(
    _: &State,
    _: &Request,
    input: ListOrganizationsFeaturesRequest,
) -> Result<ListOrganizationsFeaturesResponse, Fault> {
    let ListOrganizationsFeaturesRequest {} = input;
    Err(errors::no_organization())
}

/// The issuer of tokens that tell others who a caller is.
///
/// # Errors
/// It is not enabled.
pub fn get_outbound_web_identity_federation_info(
    _: &State,
    _: &Request,
    input: GetOutboundWebIdentityFederationInfoRequest,
) -> Result<GetOutboundWebIdentityFederationInfoResponse, Fault> {
    let GetOutboundWebIdentityFederationInfoRequest {} = input;
    Err(errors::feature_disabled())
}
