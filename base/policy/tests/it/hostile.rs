//! What must hold for any text at all; the fuzz target, the corpus and the properties run this.

use policy::{Caller, Context, Document, Kind, Policies, Request, decide, s3};

/// The longest text that is parsed, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Any bytes, as a document of each kind.
pub fn document(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for kind in [Kind::Identity, Kind::Resource, Kind::Trust, Kind::Boundary, Kind::Session] {
        parse_and_use(text, kind);
    }
}

/// Whatever parses can be printed, parsed again, checked and evaluated; what doesn't has a message.
pub fn parse_and_use(text: &str, kind: Kind) {
    let document = match Document::parse(text, MAX_BYTES, kind) {
        Ok(document) => document,
        Err(invalid) => return assert!(!invalid.to_string().is_empty()),
    };
    let again = Document::parse(&document.to_string(), MAX_BYTES * 8, kind);
    assert_eq!(again.as_ref(), Ok(&document));
    if let Err(invalid) = s3::check(&document, "b") {
        assert!(!invalid.to_string().is_empty());
    }
    let mut context = Context::new();
    context.set("aws:username", "al\u{ef}ce");
    let compiled = document.compile();
    let request = Request {
        caller: Caller::Anonymous,
        canonical_user: None,
        action: "s3:GetObject",
        resource: "arn:aws:s3:::b/\u{e9}",
        context: &context,
    };
    let policies = Policies { resource: Some(&compiled), ..Policies::default() };
    // The context ties the caller to nothing, so that only a public policy lets anyone in.
    let allowed = decide(&request, &policies).is_allow();
    assert!(kind != Kind::Resource || !allowed || s3::is_public(&document));
}
