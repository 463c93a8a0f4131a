//! What must hold for any bytes at all; the fuzz targets and the corpus run these.

use http::{HeaderMap, HeaderName, HeaderValue};
use protocol::form::Form;
use protocol::sigv4::{Request, Verifier, hash};
use protocol::{Payload, decode, encode};
use shapes::{Fault, ec2, kms, sts};
use types::Timestamp;

/// A query is decoded or refused.
pub fn query(bytes: &[u8]) {
    let Ok(form) = Form::parse(bytes) else { return };
    let form = form.into();
    let _ = decode::<ec2::ops::RunInstances>(&form);
    let _ = decode::<ec2::ops::DescribeInstances>(&form);
    let _ = decode::<ec2::ops::ModifyInstanceAttribute>(&form);
    let _ = decode::<ec2::ops::AuthorizeSecurityGroupIngress>(&form);
    let _ = decode::<sts::ops::GetCallerIdentity>(&form);
}

/// JSON is decoded or refused, and what is decoded can be said again.
pub fn json(bytes: &[u8]) {
    let payload = Payload::Json { target: "TrentService.Any", body: bytes };
    let _ = decode::<kms::ops::CreateKey>(&payload);
    let _ = decode::<kms::ops::CreateGrant>(&payload);
    let _ = decode::<kms::ops::ImportKeyMaterial>(&payload);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let entry = kms::AliasListEntry { alias_name: Some(text.clone()), ..Default::default() };
    let output = kms::ListAliasesResponse { aliases: Some(vec![entry]), ..Default::default() };
    let answer = encode::<kms::ops::ListAliases>(&output, "id").body;
    let read: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(read["Aliases"][0]["AliasName"], text);
    let fault = Fault::sender(text.clone(), text.clone());
    let answer = protocol::fault(&kms::SERVICE, &fault, "id").body;
    let read: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(read["__type"], text);
}

/// Any text makes a document that parses, and is what a client reads but for what XML cannot carry.
pub fn xml(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let group = ec2::GroupIdentifier { group_name: Some(text.clone()), group_id: None };
    let output = ec2::Reservation { groups: Some(vec![group]), ..ec2::Reservation::default() };
    let answer = encode::<ec2::ops::RunInstances>(&output, &text).body;
    assert_eq!(texts(&answer), [carried(&text), carried(&text)]);
    let fault = Fault::sender(text.clone(), text.clone());
    let answer = protocol::fault(&sts::SERVICE, &fault, &text).body;
    let expected = ["Sender".to_owned(), carried(&text), carried(&text), carried(&text)];
    assert_eq!(texts(&answer), expected.map(|text| text));
}

/// The texts of the elements that have no others in them.
fn texts(document: &str) -> Vec<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(document);
    reader.config_mut().check_end_names = true;
    let (mut texts, mut text, mut leaf) = (Vec::new(), String::new(), false);
    loop {
        match reader.read_event().expect("a document that is well-formed") {
            Event::Start(_) => (text, leaf) = (String::new(), true),
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(part) => match part.resolve_char_ref().expect("a character") {
                Some(character) => text.push(character),
                None => text.push_str(
                    quick_xml::escape::resolve_predefined_entity(&part).expect("a known entity"),
                ),
            },
            Event::End(_) => {
                texts.extend(leaf.then(|| text.clone()));
                leaf = false;
            }
            Event::Eof => return texts,
            Event::Decl(_) => {}
            other => panic!("{other:?} is not for us to write"),
        }
    }
}

fn carried(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{FFFD}' }).collect()
}

/// A request is refused: nobody guesses a signature. Its lines are path, query, then headers.
pub fn sigv4(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (path, query) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')).take(100) {
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value) {
            headers.append(name, value);
        }
    }
    let request = Request { method: "POST", path, query, headers: &headers };
    if let Ok(claim) = request.claim() {
        let now = Timestamp::from_millis(1_440_938_160_000);
        assert!(Verifier::new().verify(&claim, "secret", &hash(b""), now).is_err());
    }
}
