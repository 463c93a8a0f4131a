//! AWS managed keys: one for each service that wants one, made when it is first asked for.

use crate::{
    aliases::{self, Alias},
    keys::{
        Key, KeyPolicy,
        create::{self, Plan},
    },
    master::Work,
};
use shapes::{
    Fault,
    kms::{KeyManagerType, KeySpec, KeyUsageType, OriginType},
};
use state::{State, Tx};
use types::Scope;

/// A service that encrypts its customers' things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Volumes and snapshots.
    Ebs,
    /// Objects.
    S3,
}

impl Service {
    const ALL: [Self; 2] = [Self::Ebs, Self::S3];

    /// The alias of its key.
    #[must_use]
    pub const fn alias(self) -> &'static str {
        match self {
            Self::Ebs => "alias/aws/ebs",
            Self::S3 => "alias/aws/s3",
        }
    }

    /// How policies name it, without its region.
    const fn host(self) -> &'static str {
        match self {
            Self::Ebs => "ec2",
            Self::S3 => "s3",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Ebs => "EBS",
            Self::S3 => "S3",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Ebs => "Default key that protects my EBS volumes when no other key is defined",
            Self::S3 => "Default key that protects my S3 objects when no other key is defined",
        }
    }

    /// The service on whose behalf a call asks, as policies have it: `kms:ViaService`.
    #[must_use]
    pub fn via(self, scope: &Scope) -> String {
        format!("{}.{}.amazonaws.com", self.host(), scope.region)
    }
}

/// The service whose key this names, if it isn't there yet.
pub(crate) fn missing(state: &State, scope: &Scope, key_id: &str) -> Option<Service> {
    let named = |service: &Service| {
        key_id == service.alias() || key_id == aliases::arn(scope, service.alias())
    };
    let service = Service::ALL.into_iter().find(named)?;
    aliases::get(state, scope, service.alias()).is_none().then_some(service)
}

/// A managed key that was made, but is in no state yet.
pub struct Made {
    key: Key,
    alias: Alias,
}

impl Made {
    /// Puts the key into the state, unless another call was faster.
    pub fn put(self, tx: &mut Tx) {
        if aliases::get(tx, &self.key.scope, &self.alias.name).is_none() {
            tx.put(self.key);
            tx.put(self.alias);
        }
    }
}

/// Makes the managed key of a service.
///
/// # Errors
/// The generator is broken.
pub(crate) fn prepare(work: &mut Work<'_>, scope: &Scope, service: Service) -> Result<Made, Fault> {
    let key = create::make(
        work,
        Plan {
            scope: scope.clone(),
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsageType::EncryptDecrypt,
            origin: OriginType::AwsKms,
            manager: KeyManagerType::Aws,
            description: service.description().to_owned(),
            policy: policy(scope, service),
            multi_region: false,
        },
    )?;
    let now = work.effects.now();
    let name = service.alias().to_owned();
    let (target, scope) = (key.id, scope.clone());
    Ok(Made { key, alias: Alias { name, scope, target, created: now, updated: now } })
}

/// Everybody in the account may use the key by the service, and nobody directly.
fn policy(scope: &Scope, service: Service) -> KeyPolicy {
    let (account, noun) = (scope.account, service.noun());
    let text = serde_json::json!({
        "Version": "2012-10-17",
        "Id": format!("auto-{}-1", noun.to_lowercase()),
        "Statement": [{
            "Sid": format!(
                "Allow access through {noun} for all principals in the account that are \
                 authorized to use {noun}"
            ),
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [
                "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                "kms:CreateGrant", "kms:DescribeKey",
            ],
            "Resource": "*",
            "Condition": {"StringEquals": {
                "kms:CallerAccount": account.to_string(),
                "kms:ViaService": service.via(scope),
            }},
        }, {
            "Sid": "Allow direct access to key metadata to the account",
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
            "Resource": "*",
        }],
    });
    KeyPolicy::new(text.to_string())
}
