//! Accounts, regions and zones: where a resource lives.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use smol_str::SmolStr;
use std::{fmt, str::FromStr};

/// A 12-digit account number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

/// The text is not 12 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseAccountError;

impl fmt::Display for ParseAccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an account ID is 12 digits")
    }
}

impl AccountId {
    /// The account of Fogbank itself: it owns the quick-start images.
    pub const SYSTEM: Self = Self(0);
    /// The account for callers of no particular account, as other AWS test doubles use.
    pub const DEFAULT: Self = Self(123_456_789_012);
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AccountId {
    type Err = ParseAccountError;
    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseAccountError);
        }
        text.parse().map(Self).map_err(|_| ParseAccountError)
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A region's name, such as `us-east-1`; any name of AWS's form is a region.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Region(SmolStr);

/// The text is not of the form of a region's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseRegionError;

impl fmt::Display for ParseRegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a region name (such as us-east-1)")
    }
}

impl Region {
    /// The region's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region's zone with this letter.
    #[must_use]
    pub fn zone(&self, letter: char) -> AvailabilityZone {
        AvailabilityZone { region: self.clone(), letter }
    }

    /// The three zones that every region has here.
    #[must_use]
    pub fn zones(&self) -> [AvailabilityZone; 3] {
        ['a', 'b', 'c'].map(|letter| self.zone(letter))
    }

    /// The domain of instances' private names: `ec2.internal` in us-east-1, else
    /// `REGION.compute.internal`.
    #[must_use]
    pub fn private_domain(&self) -> String {
        match self.as_str() {
            "us-east-1" => "ec2.internal".to_owned(),
            name => format!("{name}.compute.internal"),
        }
    }

    /// The domain of instances' public names.
    #[must_use]
    pub fn public_domain(&self) -> String {
        match self.as_str() {
            "us-east-1" => "compute-1.amazonaws.com".to_owned(),
            name => format!("{name}.compute.amazonaws.com"),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Region {
    type Err = ParseRegionError;
    fn from_str(text: &str) -> Result<Self, ParseRegionError> {
        let mut parts = text.rsplit('-');
        let number = parts.next().unwrap_or_default();
        let words = parts.collect::<Vec<_>>();
        let lower = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        let ok = text.len() <= 23
            && (number.len() == 1 || number.len() == 2)
            && number.bytes().all(|b| b.is_ascii_digit())
            && words.len() >= 2
            && words.iter().all(lower);
        if ok { Ok(Self(SmolStr::new(text))) } else { Err(ParseRegionError) }
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A zone of a region, such as `us-east-1a`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AvailabilityZone {
    region: Region,
    letter: char,
}

impl AvailabilityZone {
    /// The region that the zone is in.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The zone's ID, the same for all accounts, such as `use1-az1`.
    #[must_use]
    pub fn id(&self) -> String {
        let parts = self.region.as_str().split('-').collect::<Vec<_>>();
        let mut short = String::new();
        for (at, part) in parts.iter().enumerate() {
            let direction = match *part {
                "northeast" => "ne",
                "northwest" => "nw",
                "southeast" => "se",
                "southwest" => "sw",
                word if at == 0 || at + 1 == parts.len() => word,
                word => word.get(..1).unwrap_or(word),
            };
            short.push_str(direction);
        }
        format!("{short}-az{}", u32::from(self.letter).saturating_sub(u32::from('a')) + 1)
    }
}

impl fmt::Display for AvailabilityZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.region, self.letter)
    }
}

impl fmt::Debug for AvailabilityZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AvailabilityZone {
    type Err = ParseRegionError;
    fn from_str(text: &str) -> Result<Self, ParseRegionError> {
        let letter =
            text.chars().last().filter(char::is_ascii_lowercase).ok_or(ParseRegionError)?;
        Ok(Self { region: text[..text.len() - 1].parse()?, letter })
    }
}

impl Serialize for AvailabilityZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AvailabilityZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The account and region that a resource belongs to: state is kept by scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The owning account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_zones() {
        let region: Region = "us-east-1".parse().unwrap();
        assert_eq!(region.zone('b').to_string(), "us-east-1b");
        assert_eq!(region.zone('b').id(), "use1-az2");
        assert_eq!("ap-southeast-2a".parse::<AvailabilityZone>().unwrap().id(), "apse2-az1");
        assert_eq!("eu-central-1a".parse::<AvailabilityZone>().unwrap().id(), "euc1-az1");
        assert_eq!(region.private_domain(), "ec2.internal");
        for good in ["us-gov-west-1", "cn-north-1", "me-central-1", "us-isob-east-1"] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in ["", "us", "useast1", "us-east-", "us-east-1a", "US-EAST-1", "us--1", "é-é-1"]
        {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
        assert!("us-east-é".parse::<AvailabilityZone>().is_err());
    }

    #[test]
    fn accounts() {
        assert_eq!("123456789012".parse(), Ok(AccountId::DEFAULT));
        assert_eq!(AccountId::SYSTEM.to_string(), "000000000000");
        assert!("12345678901".parse::<AccountId>().is_err());
        assert!("+12345678901".parse::<AccountId>().is_err());
    }
}
