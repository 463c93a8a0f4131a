//! Internet gateways.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use types::{InternetGatewayId, Scope, Tags, VpcId};

/// An internet gateway: what translates public addresses for the VPC that it is attached to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InternetGateway {
    pub id: InternetGatewayId,
    pub scope: Scope,
    pub vpc: Option<VpcId>,
    pub tags: Tags,
}

impl Row for InternetGateway {
    const TABLE: &'static str = "internet-gateway";
    type Key = InternetGatewayId;
    fn key(&self) -> InternetGatewayId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        if let Some(vpc) = &self.vpc {
            add("vpc", vpc);
        }
    }
}

impl Resource for InternetGateway {
    const TYPE: ResourceType = ResourceType::InternetGateway;
    const NOUN: &'static str = "internetGateway ID";
    const CODE: &'static str = "InvalidInternetGatewayID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
