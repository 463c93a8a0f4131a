//! Regions and their zones: every name of AWS's form is a region, with three zones.

use crate::{errors, filters::Filters};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        self as api, AvailabilityZoneOptInStatus, AvailabilityZoneState,
        DescribeAvailabilityZonesRequest, DescribeAvailabilityZonesResult, DescribeRegionsRequest,
        DescribeRegionsResult,
    },
};
use state::State;
use types::{AvailabilityZone, Region, Tags};

/// How an account comes to have one of AWS's regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Always,
    OptIn,
}
use Access::{Always, OptIn};

/// AWS's commercial regions, in the order of their names.
const REGIONS: &[(&str, &str, Access)] = &[
    ("af-south-1", "Africa (Cape Town)", OptIn),
    ("ap-east-1", "Asia Pacific (Hong Kong)", OptIn),
    ("ap-east-2", "Asia Pacific (Taipei)", OptIn),
    ("ap-northeast-1", "Asia Pacific (Tokyo)", Always),
    ("ap-northeast-2", "Asia Pacific (Seoul)", Always),
    ("ap-northeast-3", "Asia Pacific (Osaka)", Always),
    ("ap-south-1", "Asia Pacific (Mumbai)", Always),
    ("ap-south-2", "Asia Pacific (Hyderabad)", OptIn),
    ("ap-southeast-1", "Asia Pacific (Singapore)", Always),
    ("ap-southeast-2", "Asia Pacific (Sydney)", Always),
    ("ap-southeast-3", "Asia Pacific (Jakarta)", OptIn),
    ("ap-southeast-4", "Asia Pacific (Melbourne)", OptIn),
    ("ap-southeast-5", "Asia Pacific (Malaysia)", OptIn),
    ("ap-southeast-6", "Asia Pacific (New Zealand)", OptIn),
    ("ap-southeast-7", "Asia Pacific (Thailand)", OptIn),
    ("ca-central-1", "Canada (Central)", Always),
    ("ca-west-1", "Canada West (Calgary)", OptIn),
    ("eu-central-1", "Europe (Frankfurt)", Always),
    ("eu-central-2", "Europe (Zurich)", OptIn),
    ("eu-north-1", "Europe (Stockholm)", Always),
    ("eu-south-1", "Europe (Milan)", OptIn),
    ("eu-south-2", "Europe (Spain)", OptIn),
    ("eu-west-1", "Europe (Ireland)", Always),
    ("eu-west-2", "Europe (London)", Always),
    ("eu-west-3", "Europe (Paris)", Always),
    ("il-central-1", "Israel (Tel Aviv)", OptIn),
    ("me-central-1", "Middle East (UAE)", OptIn),
    ("me-south-1", "Middle East (Bahrain)", OptIn),
    ("mx-central-1", "Mexico (Central)", OptIn),
    ("sa-east-1", "South America (Sao Paulo)", Always),
    ("us-east-1", "US East (N. Virginia)", Always),
    ("us-east-2", "US East (Ohio)", Always),
    ("us-west-1", "US West (N. California)", Always),
    ("us-west-2", "US West (Oregon)", Always),
];

fn known(name: &str) -> Option<&'static (&'static str, &'static str, Access)> {
    REGIONS.iter().find(|(known, ..)| *known == name)
}

/// What an account has to do for a region: nothing for the one that it calls.
fn opt_in_status(name: &str, called: &Region) -> AvailabilityZoneOptInStatus {
    match known(name) {
        Some((.., OptIn)) if called.as_str() == name => AvailabilityZoneOptInStatus::OptedIn,
        Some((.., OptIn)) => AvailabilityZoneOptInStatus::NotOptedIn,
        Some((.., Always)) | None => AvailabilityZoneOptInStatus::OptInNotRequired,
    }
}

/// The regions that an account has, or all of AWS's.
///
/// # Errors
/// A region doesn't exist, or a filter is invalid.
pub fn describe_regions(
    _: &State,
    request: &Request,
    input: DescribeRegionsRequest,
) -> Result<DescribeRegionsResult, Fault> {
    let DescribeRegionsRequest { region_names, all_regions, dry_run: _, filters } = input;
    let filters = Filters::new(filters, &["endpoint", "opt-in-status", "region-name"])?;
    let called = &request.scope.region;
    let mut names = REGIONS.iter().map(|(name, ..)| *name).collect::<Vec<_>>();
    if known(called.as_str()).is_none() {
        names.push(called.as_str());
        names.sort_unstable();
    }
    let named = region_names.unwrap_or_default();
    let unknown = named.iter().filter(|name| !names.contains(&name.as_str()));
    let unknown = unknown.map(String::as_str).collect::<Vec<_>>();
    if !unknown.is_empty() {
        return Err(errors::invalid_regions(unknown.join(", ")));
    }
    let regions = names.into_iter().filter_map(|name| {
        let status = opt_in_status(name, called);
        let endpoint = format!("ec2.{name}.amazonaws.com");
        let wanted = match named.is_empty() {
            true => all_regions == Some(true) || status != AvailabilityZoneOptInStatus::NotOptedIn,
            false => named.iter().any(|named| named == name),
        };
        let accepted = filters.accept(&Tags::new(), |filter, wanted| match filter {
            "endpoint" => wanted.is(&endpoint),
            "opt-in-status" => wanted.is(status),
            _ => wanted.is(name),
        });
        (wanted && accepted).then(|| api::Region {
            opt_in_status: Some(status.to_string()),
            region_name: Some(name.to_owned()),
            endpoint: Some(endpoint),
            ..Default::default()
        })
    });
    Ok(DescribeRegionsResult { regions: Some(regions.collect()) })
}

const ZONE_FILTERS: &[&str] = &[
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

/// The zones of the region that is called.
///
/// # Errors
/// A zone doesn't exist, or a filter is invalid.
pub fn describe_availability_zones(
    _: &State,
    request: &Request,
    input: DescribeAvailabilityZonesRequest,
) -> Result<DescribeAvailabilityZonesResult, Fault> {
    let DescribeAvailabilityZonesRequest {
        zone_names,
        zone_ids,
        // There are no Local or Wavelength Zones.
        all_availability_zones: _,
        dry_run: _,
        filters,
    } = input;
    let filters = Filters::new(filters, ZONE_FILTERS)?;
    let mut zones = request.scope.region.zones().to_vec();
    if let Some(names) = zone_names.filter(|names| !names.is_empty()) {
        narrow(&mut zones, &names, ToString::to_string)
            .map_err(|unknown| errors::invalid_zones(unknown.join(", ")))?;
    }
    if let Some(ids) = zone_ids.filter(|ids| !ids.is_empty()) {
        narrow(&mut zones, &ids, AvailabilityZone::id)
            .map_err(|unknown| errors::invalid_zone_ids(unknown.join(", ")))?;
    }
    let zones = zones.iter().map(zone_to_api).filter(|zone| {
        let is = |value: &Option<String>, wanted: crate::filters::Wanted<'_>| {
            value.as_ref().is_some_and(|value| wanted.is(value))
        };
        filters.accept(&Tags::new(), |name, wanted| match name {
            "group-long-name" => is(&zone.group_long_name, wanted),
            "group-name" => is(&zone.group_name, wanted),
            "opt-in-status" => wanted.any(zone.opt_in_status),
            "region-name" => is(&zone.region_name, wanted),
            "state" => wanted.any(zone.state),
            "zone-id" => is(&zone.zone_id, wanted),
            "zone-name" => is(&zone.zone_name, wanted),
            "zone-type" => is(&zone.zone_type, wanted),
            // Zones here have neither messages nor parents.
            _ => false,
        })
    });
    Ok(DescribeAvailabilityZonesResult { availability_zones: Some(zones.collect()) })
}

/// Keeps the zones that are named; fails with the names that are no zone's.
fn narrow(
    zones: &mut Vec<AvailabilityZone>,
    names: &[String],
    name_of: impl Fn(&AvailabilityZone) -> String,
) -> Result<(), Vec<String>> {
    let unknown = names.iter().filter(|name| !zones.iter().any(|zone| name_of(zone) == **name));
    let unknown = unknown.cloned().collect::<Vec<_>>();
    zones.retain(|zone| names.contains(&name_of(zone)));
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

fn zone_to_api(zone: &AvailabilityZone) -> api::AvailabilityZone {
    let region = zone.region().as_str();
    api::AvailabilityZone {
        opt_in_status: Some(AvailabilityZoneOptInStatus::OptInNotRequired),
        messages: Some(Vec::new()),
        region_name: Some(region.to_owned()),
        zone_name: Some(zone.to_string()),
        zone_id: Some(zone.id()),
        group_name: Some(format!("{region}-zg-1")),
        network_border_group: Some(region.to_owned()),
        zone_type: Some("availability-zone".to_owned()),
        group_long_name: Some(format!("{} 1", known(region).map_or(region, |(_, long, _)| long))),
        state: Some(AvailabilityZoneState::Available),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{filter, request, state};

    fn regions(called: &str, input: DescribeRegionsRequest) -> Result<Vec<String>, Fault> {
        let mut request = request();
        request.scope.region = called.parse().unwrap();
        let result = describe_regions(&state(), &request, input)?;
        let regions = result.regions.unwrap().into_iter();
        Ok(regions
            .map(|row| format!("{} {}", row.region_name.unwrap(), row.opt_in_status.unwrap()))
            .collect())
    }

    #[test]
    fn regions_of_an_account() {
        let own = regions("us-east-1", DescribeRegionsRequest::default()).unwrap();
        assert_eq!(own.len(), 17);
        assert!(own.contains(&"us-east-1 opt-in-not-required".to_owned()));
        let own = regions("ap-east-1", DescribeRegionsRequest::default()).unwrap();
        assert!(own.contains(&"ap-east-1 opted-in".to_owned()));
        let own = regions("us-gov-west-1", DescribeRegionsRequest::default()).unwrap();
        assert!(own.contains(&"us-gov-west-1 opt-in-not-required".to_owned()));
        let all_regions = Some(true);
        let input = DescribeRegionsRequest { all_regions, ..Default::default() };
        assert_eq!(regions("us-east-1", input).unwrap().len(), REGIONS.len());
        assert!(REGIONS.is_sorted_by_key(|(name, ..)| *name));

        let filters = Some(vec![filter("endpoint", &["*us-west-2*"])]);
        let input = DescribeRegionsRequest { filters, ..Default::default() };
        assert_eq!(regions("us-east-1", input).unwrap(), ["us-west-2 opt-in-not-required"]);
        let region_names = Some(vec!["us-moon-1".to_owned(), "us-east-1".to_owned()]);
        let input = DescribeRegionsRequest { region_names, ..Default::default() };
        let fault = regions("us-east-1", input).unwrap_err();
        assert_eq!(fault.message, "Invalid region names: [us-moon-1]");
    }

    #[test]
    fn zones_of_a_region() {
        let zones = |input| {
            let result = describe_availability_zones(&state(), &request(), input)?;
            let zones = result.availability_zones.unwrap().into_iter();
            Ok::<_, Fault>(zones.filter_map(|zone| zone.zone_name).collect::<Vec<_>>())
        };
        let all = ["us-east-1a", "us-east-1b", "us-east-1c"];
        assert_eq!(zones(Default::default()).unwrap(), all);
        let filters = Some(vec![
            filter("state", &["available"]),
            filter("opt-in-status", &["opt-in-not-required"]),
            filter("zone-id", &["use1-az2"]),
            filter("group-long-name", &["US East (N. Virginia) 1"]),
        ]);
        let input = DescribeAvailabilityZonesRequest { filters, ..Default::default() };
        assert_eq!(zones(input).unwrap(), ["us-east-1b"]);
        let zone_ids = Some(vec!["use1-az3".to_owned()]);
        let input = DescribeAvailabilityZonesRequest { zone_ids, ..Default::default() };
        assert_eq!(zones(input).unwrap(), ["us-east-1c"]);
        let zone_names = Some(vec!["us-east-1z".to_owned()]);
        let input = DescribeAvailabilityZonesRequest { zone_names, ..Default::default() };
        let fault = zones(input).unwrap_err();
        assert_eq!(fault.message, "Invalid availability zone: [us-east-1z]");
    }
}
