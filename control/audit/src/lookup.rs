//! `LookupEvents`: which events are asked for, and how they are answered.

use crate::{
    Position, ResourceName, Searching, errors,
    identity::{seconds, user_name},
    resources, token,
};
use contracts::audit::Event;
use iam::Request;
use shapes::{
    Fault,
    cloudtrail::{
        Event as ApiEvent, EventCategory, LookupAttribute, LookupAttributeKey, LookupEventsRequest,
        LookupEventsResponse, Resource, ops,
    },
};
use types::{AccountId, Region, Timestamp};

/// How far back lookups reach: 90 days.
const REACH_MS: i64 = 90 * 24 * 3600 * 1000;
/// The most events of a page.
const MAX_RESULTS: i32 = 50;
/// The longest value that is looked for, in characters.
const MAX_VALUE_CHARS: usize = 2000;

/// Which events are looked for.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose.
    pub account: AccountId,
    /// Of which region.
    pub region: Region,
    /// Not before this second, as events write it.
    pub from: String,
    /// Not after this second.
    pub to: String,
    /// What else they must have.
    attribute: Option<(LookupAttributeKey, String)>,
    /// The most of them.
    pub limit: usize,
    /// Before which places, if it is a further page.
    pub before: Option<[Position; 2]>,
    /// Whether nothing can be found.
    pub nothing: bool,
    digest: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, the newest first, each with the text that it has in the log.
    pub events: Vec<(Event, String)>,
    /// Leads to the next page, if there is one.
    pub next: Option<String>,
}

/// The latest management events of the account in the region.
///
/// # Errors
/// An attribute, the range of time, the number of results or the token is invalid.
pub fn lookup_events(
    request: &Request,
    now: Timestamp,
    input: LookupEventsRequest,
) -> Result<Searching<ops::LookupEvents>, Fault> {
    let LookupEventsRequest {
        lookup_attributes,
        start_time,
        end_time,
        event_category,
        max_results,
        next_token,
    } = input;
    let attribute = attribute(lookup_attributes.unwrap_or_default())?;
    let oldest = Timestamp::from_millis(now.millis() - REACH_MS);
    if start_time.zip(end_time).is_some_and(|(start, end)| start > end) {
        return Err(errors::time_range());
    }
    let from = seconds(start_time.unwrap_or(oldest).max(oldest));
    let to = seconds(end_time.unwrap_or(Timestamp::from_millis(i64::MAX)));
    let max_results = max_results.unwrap_or(MAX_RESULTS);
    if !(1..=MAX_RESULTS).contains(&max_results) {
        return Err(errors::max_results());
    }
    let scope = &request.scope;
    let digest = {
        let (name, value) =
            attribute.as_ref().map_or(("", ""), |(name, value)| (name.as_str(), value.as_str()));
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let (account, start, end) = (scope.account.to_string(), time(start_time), time(end_time));
        token::digest(&[&account, scope.region.as_str(), name, value, &start, &end])
    };
    let before = match next_token {
        None => None,
        Some(token) => Some(token::open(digest, &token).ok_or_else(errors::token)?),
    };
    let query = Query {
        account: scope.account,
        region: scope.region.clone(),
        from,
        to,
        attribute,
        limit: usize::try_from(max_results).unwrap_or_default(),
        before,
        // Insights are events of their own, which nobody makes here.
        nothing: event_category == Some(EventCategory::Insight),
        digest,
    };
    Ok(Searching { query, finish: answer })
}

fn attribute(given: Vec<LookupAttribute>) -> Result<Option<(LookupAttributeKey, String)>, Fault> {
    if given.len() > 1 {
        return Err(errors::attributes("Only one lookup attribute can be given."));
    }
    let Some(LookupAttribute { attribute_key, attribute_value }) = given.into_iter().next() else {
        return Ok(None);
    };
    let (Some(key), Some(value)) = (attribute_key, attribute_value) else {
        return Err(errors::attributes("A lookup attribute has a key and a value."));
    };
    if value.is_empty() || value.chars().count() > MAX_VALUE_CHARS {
        return Err(errors::attributes("A lookup attribute's value has 1 to 2000 characters."));
    }
    if key == LookupAttributeKey::ReadOnly && !["true", "false"].contains(&value.as_str()) {
        return Err(errors::attributes("The value of ReadOnly is true or false."));
    }
    Ok(Some((key, value)))
}

fn answer(page: Page) -> LookupEventsResponse {
    let events = page.events.into_iter().map(|(event, text)| {
        let named =
            |one: ResourceName| Resource { resource_type: one.kind, resource_name: Some(one.name) };
        ApiEvent {
            username: user_name(&event.user_identity).map(str::to_owned),
            event_time: Timestamp::parse(&event.event_time).ok(),
            resources: Some(resources::of_event(&event).into_iter().map(named).collect()),
            read_only: Some(event.read_only.to_string()),
            access_key_id: event.user_identity.access_key_id,
            event_id: Some(event.event_id),
            event_name: Some(event.event_name),
            event_source: Some(event.event_source),
            cloud_trail_event: Some(text),
        }
    });
    LookupEventsResponse { events: Some(events.collect()), next_token: page.next }
}

impl Query {
    /// Texts that the line of a matching event must hold: most lines need not be read further.
    #[must_use]
    pub fn needles(&self) -> Vec<String> {
        let mut needles = vec![
            format!("\"recipientAccountId\":\"{}\"", self.account),
            format!("\"awsRegion\":\"{}\"", self.region),
        ];
        let text = |value: &str| serde_json::to_string(value).unwrap_or_default();
        match &self.attribute {
            None => {}
            Some((LookupAttributeKey::ReadOnly, value)) => {
                needles.push(format!("\"readOnly\":{value}"));
            }
            Some((LookupAttributeKey::EventName, value)) => {
                needles.push(format!("\"eventName\":{}", text(value)));
            }
            Some((LookupAttributeKey::EventId, value)) => {
                needles.push(format!("\"eventID\":{}", text(value)));
            }
            Some((LookupAttributeKey::EventSource, value)) => {
                needles.push(format!("\"eventSource\":{}", text(value)));
            }
            Some((LookupAttributeKey::AccessKeyId | LookupAttributeKey::ResourceName, value)) => {
                // As it is written between quotes.
                needles.push(text(value));
            }
            Some((LookupAttributeKey::Username | LookupAttributeKey::ResourceType, _)) => {}
        }
        needles
    }

    /// Whether only one of the log's streams can have such events: that of changes, or of reads.
    #[must_use]
    pub fn only_reads(&self) -> Option<bool> {
        match &self.attribute {
            Some((key, value)) if *key == LookupAttributeKey::ReadOnly => Some(value == "true"),
            Some(_) | None => None,
        }
    }

    /// Whether an event is meant.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let of_time = (self.from.as_str()..=self.to.as_str()).contains(&event.event_time.as_str());
        let own = event.recipient_account_id == self.account.to_string();
        let here = event.aws_region == self.region.as_str();
        if !(of_time && own && here && event.management_event) {
            return false;
        }
        let Some((key, value)) = &self.attribute else { return true };
        let named = || resources::of_event(event);
        match key {
            LookupAttributeKey::EventId => event.event_id == *value,
            LookupAttributeKey::EventName => event.event_name == *value,
            LookupAttributeKey::ReadOnly => event.read_only.to_string() == *value,
            LookupAttributeKey::Username => user_name(&event.user_identity) == Some(value),
            LookupAttributeKey::ResourceType => {
                named().iter().any(|one| one.kind.as_deref() == Some(value))
            }
            LookupAttributeKey::ResourceName => named().iter().any(|one| one.name == *value),
            LookupAttributeKey::EventSource => event.event_source == *value,
            LookupAttributeKey::AccessKeyId => {
                event.user_identity.access_key_id.as_deref() == Some(value)
            }
        }
    }

    /// The token that leads on from these places.
    #[must_use]
    pub fn token(&self, at: [Position; 2]) -> String {
        token::seal(self.digest, at)
    }
}
