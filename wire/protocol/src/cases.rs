//! Runs protocol cases: one JSON object a line, with a model of its own.
//!
//! A `parse` case gives a request and the input it means. A `serialize` case gives an output or an error
//! and a body that means it: the body need not be ours to the letter (other white space, another order,
//! another offset of a timestamp), so both are read as a client would, by the model, and must mean the same.

mod client;
mod json;
mod model;

use serde_json::{Map, Value as Json, json};
use shapes::{Fault, JsonVersion, Protocol, Service, Value};

use crate::form::Form;
use crate::{Answer, Payload, aws_json, aws_query, ec2_query};
use model::Model;

/// The protocols that cases can be run for, by the model's names.
pub const PROTOCOLS: &[&str] = &["ec2", "query", "json"];

const REQUEST_ID: &str = "59dbff89-35bd-4eac-99ed-be587EXAMPLE";
const NAMESPACE: &str = "https://example.com/";

/// What came of the cases.
#[derive(Debug, Default)]
pub struct Report {
    pub passed: usize,
    /// Name and reason.
    pub failed: Vec<(String, String)>,
    /// Cases of other protocols.
    pub left_out: usize,
}

/// Runs the cases of these protocols.
#[must_use]
pub fn run(lines: &str, protocols: &[&str]) -> Report {
    let mut report = Report::default();
    for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Json>(line) {
            Err(error) => report.failed.push((format!("line {}", number + 1), error.to_string())),
            Ok(case) if !protocols.contains(&text(&case, "protocol")) => report.left_out += 1,
            Ok(case) => match run_case(&case) {
                Ok(()) => report.passed += 1,
                Err(reason) => report.failed.push((text(&case, "id").to_owned(), reason)),
            },
        }
    }
    report
}

fn text<'a>(object: &'a Json, name: &str) -> &'a str {
    object.get(name).and_then(Json::as_str).unwrap_or("")
}

fn run_case(case: &Json) -> Result<(), String> {
    let protocol = match text(case, "protocol") {
        "ec2" => Protocol::Ec2,
        "query" => Protocol::Query,
        "json" => Protocol::Json {
            version: match text(&case["model"]["metadata"], "jsonVersion") {
                "1.0" => JsonVersion::V1_0,
                _ => JsonVersion::V1_1,
            },
            target: "",
        },
        other => return Err(format!("the protocol {other} is not implemented")),
    };
    match text(case, "kind") {
        "parse" => parse(protocol, case),
        "serialize" if case.get("error").is_some() => serialize_error(protocol, case),
        "serialize" => serialize(protocol, case),
        other => Err(format!("there is no kind of case {other}")),
    }
}

fn parse(protocol: Protocol, case: &Json) -> Result<(), String> {
    let request = &case["request"];
    let schema = Model::new(case).operation("input")?;
    let body = text(request, "body");
    if let Protocol::Json { .. } = protocol {
        // One case is about its URL alone, and has no headers.
        if let Some(target) = request["headers"]["X-Amz-Target"].as_str() {
            let payload = Payload::Json { target, body: body.as_bytes() };
            expect("action", &json!(payload.action()), &case["operation"]["name"])?;
            expect("target", &json!(payload.target()), &case["model"]["metadata"]["targetPrefix"])?;
        }
        let decoded = aws_json::decode(schema, body.as_bytes());
        let decoded = model::to_json(schema, &decoded.map_err(|error| error.to_string())?);
        let expected = model::normal(schema, &case["expect"]["params"]);
        return expect("input", &decoded, &expected);
    }
    let query = text(request, "uri").split_once('?').map_or("", |(_, query)| query);
    let form = Form::parse(if body.is_empty() { query } else { body }.as_bytes())
        .map_err(|error| error.to_string())?;
    expect("action", &json!(form.action()), &case["operation"]["name"])?;
    expect("version", &json!(form.version()), &case["model"]["metadata"]["apiVersion"])?;
    let decoded = match protocol {
        Protocol::Ec2 => ec2_query::decode(schema, &form),
        Protocol::Query | Protocol::Json { .. } | Protocol::RestJson | Protocol::RestXml => {
            aws_query::decode(schema, &form)
        }
    };
    let decoded = model::to_json(schema, &decoded.map_err(|error| error.to_string())?);
    let expected = model::normal(schema, &case["expect"]["params"]);
    expect("input", &decoded, &without_unsaid(&expected, &decoded))
}

/// What is expected but for empty lists and maps that were not found: a query says that a list is
/// empty by `List=`, but most clients say nothing, and EC2's cannot say it at all.
fn without_unsaid(expected: &Json, found: &Json) -> Json {
    let Json::Object(members) = expected else { return expected.clone() };
    let said =
        members.iter().filter(|(name, value)| found.get(*name).is_some() || !is_empty(value));
    said.map(|(name, value)| (name.clone(), without_unsaid(value, &found[name])))
        .collect::<Map<_, _>>()
        .into()
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Object(members) => members.is_empty(),
        Json::Array(elements) => elements.is_empty(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

fn serialize(protocol: Protocol, case: &Json) -> Result<(), String> {
    let schema = Model::new(case).operation("output")?;
    let result = model::from_json(schema, &case["result"])?;
    let operation = text(&case["operation"], "name");
    let service = service(protocol);
    let Value::Structure(members) = &result else {
        return Err("the result is no structure".into());
    };
    let answer = match protocol {
        Protocol::Ec2 => ec2_query::encode(&service, operation, schema, members, REQUEST_ID),
        Protocol::Json { version, .. } => aws_json::encode(version, schema, members),
        Protocol::Query | Protocol::RestJson | Protocol::RestXml => {
            aws_query::encode(&service, operation, schema, members, REQUEST_ID)
        }
    };
    expect_envelope(&answer, &case["expect"]["response"])?;
    let expected = model::normal(schema, &case["result"]);
    let read = |body: &str| match protocol {
        Protocol::Json { .. } => Ok((json::output(schema, body)?, REQUEST_ID.to_owned())),
        Protocol::Ec2 | Protocol::Query | Protocol::RestJson | Protocol::RestXml => {
            client::output(protocol, operation, schema, body)
        }
    };
    let (ours, request_id) = read(&answer.body)?;
    expect("output", &ours, &expected)?;
    expect("request ID", &json!(request_id), &json!(REQUEST_ID))?;
    match case["expect"]["response"]["body"].as_str() {
        Some(example) => expect("output of the example", &read(example)?.0, &expected),
        None => Ok(()),
    }
}

fn serialize_error(protocol: Protocol, case: &Json) -> Result<(), String> {
    let error = &case["error"];
    let shape = &case["operation"]["errors"][0]["shape"];
    let model = Model::new(case);
    let schema = model.named(shape.as_str().ok_or("the operation has no error")?)?;
    let facts = &case["model"]["shapes"][shape.as_str().unwrap_or("")]["error"];
    let status = facts["httpStatusCode"].as_u64().and_then(|status| status.try_into().ok());
    let usual = if case["model"]["shapes"][shape.as_str().unwrap_or("")]["fault"] == true {
        500
    } else {
        400
    };
    let fault = Fault::sender(text(error, "code").to_owned(), text(error, "message"))
        .with_status(status.unwrap_or(usual));
    let fields = model::from_json(schema, &error["fields"])?;
    let Value::Structure(members) = &fields else { return Err("the error is no structure".into()) };
    let detail = Some((schema, members as &dyn shapes::Members));
    let answer = match protocol {
        Protocol::Ec2 => ec2_query::error(&fault, detail, REQUEST_ID),
        Protocol::Json { version, .. } => aws_json::error(version, &fault, detail),
        Protocol::Query | Protocol::RestJson | Protocol::RestXml => {
            aws_query::error(&service(protocol), &fault, detail, REQUEST_ID)
        }
    };
    expect_envelope(&answer, &case["expect"]["response"])?;
    let read = |body: &str, header: Option<&str>| match protocol {
        Protocol::Json { .. } => json::error(schema, body, header),
        Protocol::Ec2 | Protocol::Query | Protocol::RestJson | Protocol::RestXml => {
            client::error(protocol, schema, body)
        }
    };
    let ours = read(&answer.body, None)?;
    expect("code", &json!(ours.code), &error["code"])?;
    expect("message", &json!(ours.message), &error["message"])?;
    expect("fields", &ours.fields, &model::normal(schema, &error["fields"]))?;
    expect("request ID", &json!(ours.request_id), &json!(REQUEST_ID))?;
    let response = &case["expect"]["response"];
    let header = response["headers"]["X-Amzn-Errortype"].as_str();
    let example = read(text(response, "body"), header)?;
    expect("code of the example", &json!(example.code), &error["code"])?;
    expect("type", &json!(ours.kind), &json!(example.kind))
}

fn service(protocol: Protocol) -> Service {
    Service {
        name: "example",
        protocol,
        api_version: "2020-01-08",
        namespace: NAMESPACE,
        operations: &[],
        served: &[],
    }
}

/// Compares the status and the media type, whose parameters are free.
fn expect_envelope(answer: &Answer, response: &Json) -> Result<(), String> {
    expect("status", &json!(answer.status), &response["status_code"])?;
    let media_type = |text: &str| text.split(';').next().unwrap_or("").to_owned();
    match response["headers"]["Content-Type"].as_str() {
        Some(expected) => expect(
            "media type",
            &json!(media_type(answer.content_type)),
            &json!(media_type(expected)),
        ),
        None => Ok(()),
    }
}

fn expect(what: &str, found: &Json, expected: &Json) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} is {found} where {expected} is expected"))
}
