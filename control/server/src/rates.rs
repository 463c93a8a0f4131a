//! How often an account may call: token buckets for each account, region and action, as EC2
//! documents them.
//!
//! AWS's figures are those of a cloud that millions share. Ours are these, multiplied by a factor
//! that the cloud is started with; 1 is AWS.

use protocol::Payload;
use shapes::{Fault, Service};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;
use types::{AccountId, Region, Scope};

/// The factor of a cloud that isn't told otherwise: one of AWS's accounts times so many.
pub const DEFAULT_FACTOR: f64 = 2000.0;
/// The most buckets that are kept. One that is full again is as good as none.
const MAX_BUCKETS: usize = 65_536;

/// How much a bucket holds, and how much of it comes back each second.
type Figures = (f64, f64);

/// EC2's actions that have figures of their own, of those served here or likely to be.
const EC2: &[(&str, Figures)] = &[
    ("AcceptVpcPeeringConnection", (50.0, 5.0)),
    ("AssignIpv6Addresses", (100.0, 5.0)),
    ("AssignPrivateIpAddresses", (100.0, 5.0)),
    ("AssociateIamInstanceProfile", (100.0, 5.0)),
    ("AuthorizeSecurityGroupIngress", (50.0, 5.0)),
    ("CopyImage", (100.0, 1.0)),
    ("CreateDefaultSubnet", (1.0, 1.0)),
    ("CreateDefaultVpc", (1.0, 1.0)),
    ("CreateKeyPair", (50.0, 5.0)),
    ("CreateLaunchTemplateVersion", (100.0, 5.0)),
    ("CreateNatGateway", (10.0, 1.0)),
    ("CreateNetworkInterface", (100.0, 5.0)),
    ("CreateSnapshot", (100.0, 5.0)),
    ("CreateSnapshots", (100.0, 5.0)),
    ("CreateTags", (100.0, 10.0)),
    ("CreateVolume", (100.0, 5.0)),
    ("CreateVpcEndpoint", (4.0, 0.3)),
    ("CreateVpcPeeringConnection", (50.0, 5.0)),
    ("DeleteNatGateway", (10.0, 1.0)),
    ("DeleteNetworkInterface", (100.0, 5.0)),
    ("DeleteSnapshot", (100.0, 5.0)),
    ("DeleteTags", (100.0, 10.0)),
    ("DeleteVolume", (100.0, 5.0)),
    ("DeleteVpcEndpoints", (4.0, 0.3)),
    ("DeleteVpcPeeringConnection", (50.0, 5.0)),
    ("DeregisterImage", (100.0, 5.0)),
    ("DescribeAggregateIdFormat", (10.0, 10.0)),
    ("DescribeIdFormat", (10.0, 10.0)),
    ("DescribeIdentityIdFormat", (10.0, 10.0)),
    ("DescribeMovingAddresses", (1.0, 1.0)),
    ("DescribeSecurityGroupReferences", (20.0, 5.0)),
    ("DescribeStaleSecurityGroups", (20.0, 5.0)),
    ("DisassociateIamInstanceProfile", (100.0, 5.0)),
    ("ModifyImageAttribute", (100.0, 5.0)),
    ("ModifyInstanceMetadataDefaults", (2.0, 2.0)),
    ("ModifyInstanceMetadataOptions", (100.0, 5.0)),
    ("ModifyLaunchTemplate", (100.0, 5.0)),
    ("ModifyNetworkInterfaceAttribute", (100.0, 5.0)),
    ("ModifySnapshotAttribute", (100.0, 5.0)),
    ("ModifyVpcEndpoint", (4.0, 0.3)),
    ("MoveAddressToVpc", (1.0, 1.0)),
    ("RejectVpcPeeringConnection", (50.0, 5.0)),
    ("RevokeSecurityGroupIngress", (50.0, 5.0)),
    ("RunInstances", (5.0, 2.0)),
    ("StartInstances", (5.0, 2.0)),
    ("TerminateInstances", (100.0, 5.0)),
    ("UnassignPrivateIpAddresses", (100.0, 5.0)),
];
/// Actions whose answers are long unless they are filtered or come in pages.
const UNFILTERED: &[&str] = &[
    "DescribeInstanceStatus",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSnapshots",
    "DescribeSpotInstanceRequests",
    "DescribeVolumes",
];
/// Actions that are also limited by how many instances they are about.
const INSTANCES: &[(&str, Figures)] = &[
    ("RunInstances", (1000.0, 2.0)),
    ("StartInstances", (1000.0, 2.0)),
    ("StopInstances", (1000.0, 20.0)),
    ("TerminateInstances", (1000.0, 20.0)),
];

/// What a bucket is for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    account: AccountId,
    region: Region,
    action: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Calls,
    Unfiltered,
    Instances,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    figures: Figures,
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let (most, each_second) = self.figures;
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * each_second).min(most);
        self.at = now;
    }
}

/// What a call took of buckets of instances.
#[derive(Debug, Default)]
pub struct Taken(Vec<(Key, f64)>);

/// The buckets.
#[derive(Debug)]
pub struct Rates {
    /// None: calls are not limited.
    factor: Option<f64>,
    buckets: Mutex<HashMap<Key, Bucket>>,
}

impl Rates {
    /// Limits of AWS's figures times a factor; none without one.
    #[must_use]
    pub fn new(factor: Option<f64>) -> Self {
        Self { factor: factor.filter(|factor| factor.is_finite()), buckets: Mutex::default() }
    }

    /// Lets a call go on, if its account hasn't made too many; what it took for instances is to be
    /// given back if it fails.
    ///
    /// # Errors
    /// The service's fault: the call is one too many.
    pub fn take(
        &self,
        scope: &Scope,
        service: &'static Service,
        operation: &str,
        payload: &Payload<'_>,
    ) -> Result<Taken, Fault> {
        let Some(factor) = self.factor else { return Ok(Taken::default()) };
        // What isn't served costs nothing.
        let Some(served) = service.served(operation) else { return Ok(Taken::default()) };
        let key = |kind| Key {
            account: scope.account,
            region: scope.region.clone(),
            action: served.name,
            kind,
        };
        let (kind, figures) = of_calls(service, operation, payload);
        let mut wanted = vec![(key(kind), figures, 1.0)];
        if let Some((figures, number)) = of_instances(service, operation, payload) {
            wanted.push((key(Kind::Instances), figures, number));
        }
        let mut taken = self.take_all(wanted, factor).ok_or_else(|| too_many(service))?;
        taken.retain(|(key, _)| key.kind == Kind::Instances);
        Ok(Taken(taken))
    }

    /// Gives back what a call took that failed: no instance came of it.
    pub fn give_back(&self, taken: Taken) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, number) in taken.0 {
            if let Some(bucket) = buckets.get_mut(&key) {
                bucket.tokens += number;
            }
        }
    }

    /// Takes tokens of all buckets, or of none.
    fn take_all(&self, wanted: Vec<(Key, Figures, f64)>, factor: f64) -> Option<Vec<(Key, f64)>> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<(Key, f64)> = Vec::new();
        for (key, (most, each_second), number) in wanted {
            if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
                make_room(&mut buckets, now);
            }
            let figures = ((most * factor).max(1.0), each_second * factor);
            let bucket = buckets
                .entry(Key { region: key.region.clone(), ..key })
                .or_insert(Bucket { tokens: figures.0, at: now, figures });
            bucket.refill(now);
            // A call about more than a bucket holds takes all of a full one.
            let number = number.min(figures.0);
            if bucket.tokens < number {
                for (key, number) in taken {
                    if let Some(bucket) = buckets.get_mut(&key) {
                        bucket.tokens += number;
                    }
                }
                return None;
            }
            bucket.tokens -= number;
            taken.push((key, number));
        }
        Some(taken)
    }
}

/// Drops buckets that are full again; all of them, if that makes no room.
fn make_room(buckets: &mut HashMap<Key, Bucket>, now: Instant) {
    buckets.retain(|_, bucket| {
        bucket.refill(now);
        bucket.tokens < bucket.figures.0
    });
    if buckets.len() >= MAX_BUCKETS {
        buckets.clear();
    }
}

fn reads(operation: &str) -> bool {
    ["Describe", "Get", "List", "Search"].iter().any(|word| operation.starts_with(word))
}

fn of_calls(service: &Service, operation: &str, payload: &Payload<'_>) -> (Kind, Figures) {
    let figures = match service.name {
        "ec2" => {
            if UNFILTERED.contains(&operation) && !is_filtered(payload) {
                return (Kind::Unfiltered, (50.0, 10.0));
            }
            match EC2.binary_search_by(|(name, _)| (*name).cmp(operation)) {
                Ok(at) => EC2.get(at).map_or((50.0, 5.0), |(_, figures)| *figures),
                Err(_) if reads(operation) => (100.0, 20.0),
                Err(_) => (50.0, 5.0),
            }
        }
        // AWS's quotas: 600 calls a second.
        "sts" => (600.0, 600.0),
        "kms" => of_kms(operation),
        "cloudtrail" => (2.0, 2.0),
        // Those of IAM and Organizations are not published; these are what callers report.
        _ if reads(operation) => (100.0, 15.0),
        _ => (50.0, 5.0),
    };
    (Kind::Calls, figures)
}

/// AWS KMS's quotas, of each second.
fn of_kms(operation: &str) -> Figures {
    let each_second = match operation {
        "Encrypt" | "Decrypt" | "ReEncrypt" | "GenerateRandom" | "GenerateMac" | "VerifyMac" => {
            10_000.0
        }
        name if name.starts_with("GenerateDataKey") => 10_000.0,
        "Sign" | "Verify" | "DeriveSharedSecret" => 1000.0,
        "DescribeKey" | "GetPublicKey" => 2000.0,
        "GetKeyPolicy" | "GetKeyRotationStatus" => 1000.0,
        "ListKeys" | "ListAliases" => 500.0,
        "ListGrants" | "ListRetirableGrants" => 100.0,
        "CreateGrant" | "RevokeGrant" => 50.0,
        "RetireGrant" => 30.0,
        name if reads(name) => 100.0,
        _ => 5.0,
    };
    (each_second, each_second)
}

fn is_filtered(payload: &Payload<'_>) -> bool {
    let Payload::Form(form) = payload else { return true };
    form.iter().any(|(name, _)| {
        let begin = name.split('.').next().unwrap_or(name);
        begin.starts_with("Filter")
            || begin == "MaxResults"
            || begin == "NextToken"
            || begin.ends_with("Id")
            || begin.ends_with("Ids")
    })
}

/// How many instances a call is about.
fn of_instances(
    service: &Service,
    operation: &str,
    payload: &Payload<'_>,
) -> Option<(Figures, f64)> {
    if service.name != "ec2" {
        return None;
    }
    let (_, figures) = INSTANCES.iter().find(|(name, _)| *name == operation)?;
    let Payload::Form(form) = payload else { return None };
    let number = match form.get("MaxCount") {
        Some(count) => count.parse::<u32>().unwrap_or(1).max(1),
        None => {
            let ids = form.iter().filter(|(name, _)| name.starts_with("InstanceId."));
            u32::try_from(ids.count()).unwrap_or(u32::MAX).max(1)
        }
    };
    Some((*figures, f64::from(number)))
}

fn too_many(service: &Service) -> Fault {
    match service.name {
        "ec2" => Fault::sender("RequestLimitExceeded", "Request limit exceeded.").with_status(503),
        "kms" => Fault::sender(
            "ThrottlingException",
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your \
             calls.",
        ),
        "cloudtrail" => Fault::sender("ThrottlingException", "Rate exceeded"),
        "organizations" => Fault::sender(
            "TooManyRequestsException",
            "You have sent too many requests in too short a period of time.",
        ),
        _ => Fault::sender("Throttling", "Rate exceeded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::form::Form;
    use std::time::Duration;

    fn scope(account: u32, region: &str) -> Scope {
        let account = format!("{account:012}").parse().expect("an account");
        Scope { account, region: region.parse().expect("a region") }
    }

    fn call(rates: &Rates, scope: &Scope, body: &str) -> Result<Taken, Fault> {
        let form = Form::parse(body.as_bytes()).expect("a form");
        let operation = form.action().expect("an action").to_owned();
        rates.take(scope, &shapes::ec2::SERVICE, &operation, &Payload::Form(form))
    }

    /// How many of these calls go through at once.
    fn burst(rates: &Rates, scope: &Scope, body: &str) -> usize {
        (0..3000).take_while(|_| call(rates, scope, body).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_are_as_ec2_documents_them() {
        let (rates, here) = (Rates::new(Some(1.0)), scope(1, "us-east-1"));
        assert!(EC2.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(burst(&rates, &here, "Action=DescribeVpcs"), 100);
        let fault = call(&rates, &here, "Action=DescribeVpcs").expect_err("too many");
        assert_eq!((fault.code.as_ref(), fault.status), ("RequestLimitExceeded", 503));
        assert_eq!(fault.message, "Request limit exceeded.");
        // Each action, account and region has its own.
        assert_eq!(burst(&rates, &here, "Action=DescribeSubnets"), 100);
        assert_eq!(burst(&rates, &scope(2, "us-east-1"), "Action=DescribeVpcs"), 100);
        assert_eq!(burst(&rates, &scope(1, "eu-west-1"), "Action=DescribeVpcs"), 100);
        // Filtered calls take of the larger bucket.
        assert_eq!(burst(&rates, &here, "Action=DescribeInstances"), 50);
        assert_eq!(burst(&rates, &here, "Action=DescribeInstances&MaxResults=5"), 100);
        assert_eq!(burst(&rates, &here, "Action=CreateVpc"), 50);
        assert_eq!(burst(&rates, &here, "Action=CreateTags"), 100);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(burst(&rates, &here, "Action=DescribeVpcs"), 10);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(burst(&rates, &here, "Action=DescribeVpcs"), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn launches_are_limited_by_instances_too() {
        let (rates, here) = (Rates::new(Some(1.0)), scope(1, "us-east-1"));
        assert_eq!(burst(&rates, &here, "Action=RunInstances&MaxCount=300"), 3);
        // What was refused took nothing.
        assert_eq!(burst(&rates, &here, "Action=RunInstances&MaxCount=100"), 1);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(call(&rates, &here, "Action=RunInstances&MaxCount=101").is_err());
        assert!(call(&rates, &here, "Action=RunInstances&MaxCount=100").is_ok());
        // More than a bucket holds can still be had, once it is full.
        tokio::time::advance(Duration::from_secs(600)).await;
        let taken = call(&rates, &here, "Action=RunInstances&MaxCount=5000").expect("full");
        assert!(call(&rates, &here, "Action=RunInstances&MaxCount=2").is_err());
        // A launch that fails gives back what it took.
        rates.give_back(taken);
        assert!(call(&rates, &here, "Action=RunInstances&MaxCount=1000").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn services_say_it_in_their_own_words() {
        let (rates, here) = (Rates::new(Some(1.0)), scope(1, "us-east-1"));
        let json = Payload::Json { target: "x.y", body: b"{}" };
        for (service, operation, code) in [
            (&shapes::iam::SERVICE, "CreateUser", "Throttling"),
            (&shapes::sts::SERVICE, "GetCallerIdentity", "Throttling"),
            (&shapes::kms::SERVICE, "CreateKey", "ThrottlingException"),
            (&shapes::cloudtrail::SERVICE, "LookupEvents", "ThrottlingException"),
            (&shapes::organizations::SERVICE, "CreateAccount", "TooManyRequestsException"),
        ] {
            let taken = (0..1000).find_map(|_| rates.take(&here, service, operation, &json).err());
            let fault = taken.expect("too many");
            assert_eq!((fault.code.as_ref(), fault.status), (code, 400), "{operation}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_factor_and_the_number_of_buckets() {
        let here = scope(1, "us-east-1");
        assert_eq!(burst(&Rates::new(None), &here, "Action=CreateVpc"), 3000);
        assert_eq!(burst(&Rates::new(Some(3.0)), &here, "Action=CreateVpc"), 150);
        let rates = Rates::new(Some(1.0));
        for account in 0..u32::try_from(MAX_BUCKETS).expect("few") + 10 {
            call(&rates, &scope(account, "us-east-1"), "Action=DescribeVpcs").expect("the first");
        }
        let buckets = rates.buckets.lock().expect("unbroken");
        assert!(buckets.len() <= MAX_BUCKETS, "{}", buckets.len());
    }
}
