//! A call that was answered, and the events that it makes.

use crate::{
    Identity,
    identity::seconds,
    render::{self, Style},
    secrets::{is_secret, is_secret_name},
};
use contracts::audit::{Event, HIDDEN, Resource, TlsDetails, VERSION, clipped};
use serde_json::{Value, json};
use shapes::{Fault, Kind, Members, Protocol, Schema, Service, Shape as _};
use types::{AccountId, Region, Timestamp};

/// The longest parameters, and the longest answer, that an event shows: CloudTrail's own limit.
const MAX_PART_BYTES: usize = 100 << 10;
/// Shorter values of secrets aren't looked for in messages.
const MIN_SECRET_CHARS: usize = 4;

/// An answer that an event shows.
pub struct Output {
    /// Its shape.
    pub schema: &'static Schema,
    /// The answer.
    pub members: Box<dyn Members + Send>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.schema.name)
    }
}

/// A call that was answered.
#[derive(Debug)]
pub struct Call {
    /// Who called.
    pub identity: Identity,
    /// The service called.
    pub service: &'static Service,
    /// The operation called.
    pub operation: String,
    /// The region called.
    pub region: Region,
    /// What was asked, if it could be read.
    pub input: Option<shapes::Value>,
    /// The parameters as they came, where they could not be read: names with values.
    pub unread: Vec<(String, String)>,
    /// What was answered, if the event shows it.
    pub output: Option<Output>,
    /// The error answered.
    pub fault: Option<Fault>,
    /// Whether the client was there to be answered; else nobody has heard what came of it.
    pub was_sent: bool,
    /// The host that the client asked for.
    pub host: Option<String>,
    /// The ID in the answer.
    pub request_id: String,
    /// When the call was done.
    pub at: Timestamp,
    /// How long parameters and answer were, in bytes.
    pub size_bytes: usize,
}

/// Whether an operation changes nothing, as its service has it.
#[must_use]
pub fn is_read_only(service: &str, operation: &str) -> bool {
    const READS: [&str; 8] =
        ["Describe", "Get", "List", "Lookup", "Search", "Head", "Simulate", "Decode"];
    // Keys are used, and nothing of them changes.
    const USES: [&str; 8] = [
        "Encrypt",
        "Decrypt",
        "ReEncrypt",
        "Generate",
        "Sign",
        "Verify",
        "VerifyMac",
        "DeriveSharedSecret",
    ];
    let begins = |words: &[&str]| words.iter().any(|word| operation.starts_with(word));
    service == "sts" || begins(&READS) || (service == "kms" && begins(&USES))
}

/// Whether events show what an operation answers: of those that change something, and of those that
/// give credentials.
#[must_use]
pub fn keeps_answer(service: &str, operation: &str) -> bool {
    let gives =
        service == "sts" && (operation.starts_with("Assume") || operation.ends_with("Token"));
    gives || !is_read_only(service, operation)
}

impl Call {
    /// The events of a call, each with an ID of its own: the caller's, and that of another account
    /// whose role or key it was about.
    pub fn events(&self, mut new_id: impl FnMut() -> String) -> Vec<Event> {
        let mut event = self.event(new_id());
        let Some(other) = self.other_account(&event) else { return vec![event] };
        // Whoever signs with nothing has no account, and the role's learns it all.
        if self.identity.caller.account == AccountId::SYSTEM {
            event.recipient_account_id = other;
            return vec![event];
        }
        let shared = Some(new_id());
        event.shared_event_id.clone_from(&shared);
        let mut theirs = Event { event_id: new_id(), recipient_account_id: other, ..event.clone() };
        // Another account learns who it was, and no more.
        theirs.user_identity.user_name = None;
        theirs.user_identity.session_context = None;
        theirs.user_identity.kind = "AWSAccount".to_owned();
        theirs.user_identity.arn = None;
        theirs.user_identity.access_key_id = None;
        vec![event, theirs]
    }

    fn event(&self, event_id: String) -> Event {
        let caller = &self.identity.caller;
        let circumstances = &caller.circumstances;
        let input = self.input.as_ref();
        let parameters = input.and_then(|value| self.parameters(value));
        let answer = match &self.fault {
            Some(_) => None,
            None => self.output.as_ref().map(|output| self.answer(output)),
        };
        let source_ip = circumstances.source_ip.map(|ip| ip.to_canonical().to_string());
        let tls = circumstances.secure.then(|| TlsDetails {
            client_provided_host_header: self.host.as_deref().map(clipped),
            ..TlsDetails::default()
        });
        let mut event = Event {
            event_version: VERSION.to_owned(),
            user_identity: self.identity.to_event(),
            event_time: seconds(self.at),
            event_source: format!("{}.amazonaws.com", self.service.name),
            event_name: self.operation.clone(),
            aws_region: match self.service.name {
                // Global: its events are where its endpoint is.
                "iam" => "us-east-1".to_owned(),
                _ => self.region.to_string(),
            },
            source_ip_address: source_ip.unwrap_or_else(|| "AWS Internal".to_owned()),
            user_agent: circumstances.user_agent.as_deref().map(clipped),
            error_code: self.fault.as_ref().map(|fault| self.code(fault)),
            error_message: self.fault.as_ref().map(|fault| self.message(fault)),
            request_parameters: parameters.map(|part| self.within(part)),
            response_elements: answer.map(|part| self.within(part)),
            additional_event_data: (!self.was_sent).then(|| json!({ "clientWentAway": true })),
            request_id: self.request_id.clone(),
            event_id,
            read_only: is_read_only(self.service.name, &self.operation),
            resources: Vec::new(),
            event_type: "AwsApiCall".to_owned(),
            management_event: true,
            recipient_account_id: caller.account.to_string(),
            shared_event_id: None,
            event_category: "Management".to_owned(),
            tls_details: tls,
        };
        event.resources = self.resources(&event);
        event
    }

    fn style(&self, asked: bool) -> Style {
        match (self.service.protocol, self.service.name) {
            (Protocol::Ec2, _) if asked => Style::Ec2Request,
            (Protocol::Ec2, _) => Style::Ec2Answer,
            (_, "kms") => Style::Kms,
            (
                Protocol::Query | Protocol::Json { .. } | Protocol::RestJson | Protocol::RestXml,
                _,
            ) => Style::Plain,
        }
    }

    fn parameters(&self, input: &shapes::Value) -> Option<Value> {
        let schema = self.service.served(&self.operation)?.input;
        let shapes::View::Structure(members) = input.view() else { return None };
        let mut shown = render::structure(self.style(true), schema, members);
        if self.service.name == "ec2" && self.operation == "RunInstances" {
            render::of_a_launch(&mut shown);
        }
        let empty = shown.as_object().is_none_or(serde_json::Map::is_empty);
        (!empty || self.service.name == "ec2").then_some(shown)
    }

    fn answer(&self, output: &Output) -> Value {
        let style = self.style(false);
        let mut shown = render::structure(style, output.schema, &*output.members);
        if style == Style::Ec2Answer
            && let Some(map) = shown.as_object_mut()
        {
            if map.is_empty() {
                map.insert("_return".to_owned(), true.into());
            }
            map.insert("requestId".to_owned(), self.request_id.as_str().into());
        }
        if shown.as_object().is_some_and(serde_json::Map::is_empty) { Value::Null } else { shown }
    }

    /// EC2's events say who is to blame.
    fn code(&self, fault: &Fault) -> String {
        match self.service.protocol {
            Protocol::Ec2 if fault.sender => format!("Client.{}", fault.code),
            Protocol::Ec2 => format!("Server.{}", fault.code),
            Protocol::Query | Protocol::Json { .. } | Protocol::RestJson | Protocol::RestXml => {
                fault.code.to_string()
            }
        }
    }

    /// The fault's message, unless it repeats a secret.
    fn message(&self, fault: &Fault) -> String {
        let mut secrets = Vec::new();
        if let (Some(input), Some(served)) = (&self.input, self.service.served(&self.operation)) {
            collect(served.input, input, &mut secrets);
        }
        for (name, value) in &self.unread {
            let mut words = name.split('.');
            if words.any(is_secret_name) {
                secrets.push(value.clone());
            }
        }
        let repeats = |secret: &String| {
            secret.chars().count() >= MIN_SECRET_CHARS && {
                let begin: String = secret.chars().take(32).collect();
                fault.message.contains(&begin)
            }
        };
        if secrets.iter().any(repeats) { HIDDEN.to_owned() } else { clipped(&fault.message) }
    }

    /// A part of an event, or what is said in its place if it is too long.
    fn within(&self, part: Value) -> Value {
        // Nothing grows so much in being shown.
        if self.size_bytes <= MAX_PART_BYTES / 8 {
            return part;
        }
        let size = part.to_string().len();
        if size <= MAX_PART_BYTES {
            return part;
        }
        json!({ "omitted": true, "originalSize": size, "reason": "too large" })
    }

    /// The keys and roles that the call is about, where its parameters or its answer name them.
    fn resources(&self, event: &Event) -> Vec<Resource> {
        let parameter = |name: &str| {
            let parameters = event.request_parameters.as_ref();
            parameters.and_then(|map| map.get(name)).and_then(Value::as_str).map(str::to_owned)
        };
        let (name, kind) = match self.service.name {
            "sts" => ("roleArn", "AWS::IAM::Role"),
            "kms" => ("keyId", "AWS::KMS::Key"),
            _ => return Vec::new(),
        };
        let answered = event.response_elements.as_ref().and_then(|answer| {
            let key = answer.pointer("/keyMetadata/arn").or_else(|| answer.get("keyId"));
            key.and_then(Value::as_str).map(str::to_owned)
        });
        let arn = [parameter(name), answered].into_iter().flatten().find_map(|arn| {
            let account = arn.split(':').nth(4).filter(|account| !account.is_empty())?.to_owned();
            Some((arn, account))
        });
        let made = arn.map(|(arn, account_id)| Resource { arn, account_id, kind: kind.to_owned() });
        made.into_iter().collect()
    }

    /// The account, not the caller's, whose role or key the call was about; it is told of what was
    /// done, and not of what was refused.
    fn other_account(&self, event: &Event) -> Option<String> {
        if self.fault.is_some() {
            return None;
        }
        let of = |resource: &Resource| resource.account_id.clone();
        let other = event.resources.first().map(of)?;
        (other != event.recipient_account_id).then_some(other)
    }
}

/// The texts of an input's secrets.
fn collect(schema: &'static Schema, value: &shapes::Value, secrets: &mut Vec<String>) {
    match (schema.kind, value) {
        (Kind::Structure(members), shapes::Value::Structure(values)) => {
            for (index, value) in values {
                let Some(member) = members.get(*index) else { continue };
                if is_secret(member) {
                    texts(value, secrets);
                } else {
                    collect(member.schema, value, secrets);
                }
            }
        }
        (Kind::List { element, .. }, shapes::Value::List(values)) => {
            for value in values {
                collect(element.schema, value, secrets);
            }
        }
        _ => {}
    }
}

fn texts(value: &shapes::Value, secrets: &mut Vec<String>) {
    match value {
        shapes::Value::String(text) => secrets.push(text.clone()),
        shapes::Value::List(values) => values.iter().for_each(|value| texts(value, secrets)),
        shapes::Value::Structure(values) => {
            values.iter().for_each(|(_, value)| texts(value, secrets));
        }
        shapes::Value::Boolean(_)
        | shapes::Value::Integer(_)
        | shapes::Value::Long(_)
        | shapes::Value::Float(_)
        | shapes::Value::Double(_)
        | shapes::Value::Blob(_)
        | shapes::Value::Timestamp(_)
        | shapes::Value::Map(_)
        | shapes::Value::Document(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iam::{Caller, Circumstances};
    use shapes::{Structure as _, Value as Decoded, ec2, kms, sts};
    use types::AccountId;

    fn call(service: &'static Service, operation: &str, input: Option<Decoded>) -> Call {
        let caller = Caller::root(AccountId::DEFAULT).coming(Circumstances::default());
        let state = state::State::new(&iam::tables());
        Call {
            identity: Identity::of(&state, caller, Some("AKIA1".to_owned())),
            service,
            operation: operation.to_owned(),
            region: "us-east-1".parse().expect("a region"),
            input,
            unread: Vec::new(),
            output: None,
            fault: None,
            was_sent: true,
            host: None,
            request_id: "r".to_owned(),
            at: Timestamp::from_millis(1_576_540_098_123),
            size_bytes: 0,
        }
    }

    fn ids() -> impl FnMut() -> String {
        let mut number = 0;
        move || {
            number += 1;
            format!("id-{number}")
        }
    }

    /// A member of an input by its name.
    fn input(service: &Service, operation: &str, name: &str, text: &str) -> Option<Decoded> {
        let members = service.served(operation)?.input.members();
        let index = members.iter().position(|member| member.name == name)?;
        Some(Decoded::Structure(vec![(index, Decoded::String(text.to_owned()))]))
    }

    #[test]
    fn what_was_refused_says_why_but_no_secret() {
        let input = input(&ec2::SERVICE, "RunInstances", "UserData", "hush-hush");
        let mut call = call(&ec2::SERVICE, "RunInstances", input);
        call.fault = Some(Fault::sender("InvalidParameterValue", "Value (x) is invalid"));
        let event = call.event("e".to_owned());
        assert_eq!(event.error_code.as_deref(), Some("Client.InvalidParameterValue"));
        assert_eq!(event.error_message.as_deref(), Some("Value (x) is invalid"));
        assert_eq!(event.event_time, "2019-12-16T23:48:18Z");
        call.fault = Some(Fault::sender("InvalidParameterValue", "Value (hush-hush) is invalid"));
        let event = call.event("e".to_owned());
        assert_eq!(event.error_message.as_deref(), Some(HIDDEN));
        assert!(!serde_json::to_string(&event).expect("JSON").contains("hush-hush"));
        // Nor where it couldn't be read.
        call.input = None;
        call.unread = vec![("LaunchSpecification.UserData".into(), "hush-hush".into())];
        assert_eq!(call.event("e".to_owned()).error_message.as_deref(), Some(HIDDEN));
    }

    #[test]
    fn another_accounts_role_tells_it() {
        let arn = "arn:aws:iam::111122223333:role/r";
        let input = input(&sts::SERVICE, "AssumeRole", "RoleArn", arn);
        let mut call = call(&sts::SERVICE, "AssumeRole", input);
        let events = call.events(ids());
        let of = |event: &Event| event.recipient_account_id.clone();
        assert_eq!(
            events.iter().map(of).collect::<Vec<_>>(),
            [AccountId::DEFAULT.to_string().as_str(), "111122223333"]
        );
        assert_eq!(events[0].shared_event_id, events[1].shared_event_id);
        assert_ne!(events[0].event_id, events[1].event_id);
        call.fault = Some(Fault::sender("AccessDenied", "no"));
        assert_eq!(call.events(ids()).len(), 1);
    }

    #[test]
    fn what_is_encrypted_is_not_there() {
        let members = kms::EncryptRequest::SCHEMA.members();
        let at = |name: &str| members.iter().position(|member| member.name == name).expect("there");
        let mut values = vec![
            (at("Plaintext"), Decoded::Blob(b"hush".to_vec())),
            (at("KeyId"), Decoded::String("alias/a".to_owned())),
        ];
        values.sort_by_key(|(index, _)| *index);
        let call = call(&kms::SERVICE, "Encrypt", Some(Decoded::Structure(values)));
        let event = call.event("e".to_owned());
        assert_eq!(event.request_parameters, Some(json!({ "keyId": "alias/a" })));
        assert!(event.read_only);
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let long = "x".repeat(MAX_PART_BYTES);
        let input = input(&ec2::SERVICE, "CreateKeyPair", "KeyName", &long);
        let call = Call { size_bytes: long.len(), ..call(&ec2::SERVICE, "CreateKeyPair", input) };
        let event = call.event("e".to_owned());
        let parameters = event.request_parameters.expect("parameters");
        assert_eq!(parameters["omitted"], true);
    }
}
