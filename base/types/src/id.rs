//! Resource IDs: a prefix and 17 hexadecimal digits, as AWS has made them since 2018.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Why a text is not one of our IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdError {
    /// Not of the form `prefix-` and 8 or 17 hexadecimal digits: AWS's `….Malformed`.
    Malformed,
    /// Well formed, but never issued here (an old 8-digit ID, say): AWS's `….NotFound`.
    Foreign,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed ID",
            Self::Foreign => "unknown ID",
        })
    }
}

impl std::error::Error for IdError {}

/// An ID made of a fixed prefix and a 64-bit number; AWS's first of 17 digits is always `0`.
pub trait ResourceId: Copy + Ord + fmt::Display + FromStr<Err = IdError> + 'static {
    /// The text before the hyphen, such as `vpc`.
    const PREFIX: &'static str;
    /// Makes the ID from its number.
    fn from_number(number: u64) -> Self;
    /// The number behind the ID.
    fn number(self) -> u64;
}

fn parse(prefix: &str, text: &str) -> Result<u64, IdError> {
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .ok_or(IdError::Malformed)?;
    let hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match (digits.len(), hex) {
        (17, true) => match digits.strip_prefix('0') {
            Some(low) => u64::from_str_radix(low, 16).map_err(|_| IdError::Malformed),
            None => Err(IdError::Foreign),
        },
        (8, true) => Err(IdError::Foreign),
        _ => Err(IdError::Malformed),
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl ResourceId for $name {
            const PREFIX: &'static str = $prefix;
            fn from_number(number: u64) -> Self { Self(number) }
            fn number(self) -> u64 { self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-0{:016x}"), self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> { parse($prefix, text).map(Self) }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

ids! {
    /// An instance: durable, unlike the VMs that run it.
    InstanceId = "i";
    /// One call of RunInstances.
    ReservationId = "r";
    /// A machine image.
    ImageId = "ami";
    /// An instance profile's association with an instance.
    ProfileAssociationId = "iip-assoc";
    /// A key pair.
    KeyPairId = "key";
    /// A volume.
    VolumeId = "vol";
    /// A snapshot of a volume.
    SnapshotId = "snap";
    /// A VPC.
    VpcId = "vpc";
    /// A CIDR block of a VPC.
    VpcCidrAssociationId = "vpc-cidr-assoc";
    /// A subnet.
    SubnetId = "subnet";
    /// An IPv6 block of a subnet.
    SubnetCidrAssociationId = "subnet-cidr-assoc";
    /// A range of a subnet that is given to interfaces by name only, or as prefixes only.
    SubnetCidrReservationId = "scr";
    /// An internet gateway.
    InternetGatewayId = "igw";
    /// An egress-only internet gateway.
    EgressOnlyInternetGatewayId = "eigw";
    /// A NAT gateway.
    NatGatewayId = "nat";
    /// A route table.
    RouteTableId = "rtb";
    /// A route table's association with a subnet, or as a VPC's main table.
    RouteTableAssociationId = "rtbassoc";
    /// A security group.
    SecurityGroupId = "sg";
    /// One rule of a security group.
    SecurityGroupRuleId = "sgr";
    /// A network ACL.
    NetworkAclId = "acl";
    /// A network ACL's association with a subnet.
    NetworkAclAssociationId = "aclassoc";
    /// A DHCP option set.
    DhcpOptionsId = "dopt";
    /// A network interface.
    NetworkInterfaceId = "eni";
    /// A network interface's attachment to an instance.
    NetworkInterfaceAttachmentId = "eni-attach";
    /// An Elastic IP address.
    AllocationId = "eipalloc";
    /// An Elastic IP address's association.
    AssociationId = "eipassoc";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_errors() {
        let id = InstanceId::from_number(0x1234_5678_9abc_def0);
        assert_eq!(id.to_string(), "i-0123456789abcdef0");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            serde_json::from_str::<InstanceId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
        assert_eq!("i-1234567890abcdef0".parse::<InstanceId>(), Err(IdError::Foreign));
        assert_eq!("i-12345678".parse::<InstanceId>(), Err(IdError::Foreign));
        for bad in ["", "i", "i-", "i-xyz", "vpc-01234567890abcdef", "i-0123456789ABCDEF0", "i-é"]
        {
            assert_eq!(bad.parse::<InstanceId>(), Err(IdError::Malformed), "{bad}");
        }
    }
}
