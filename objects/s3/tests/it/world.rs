//! A store in memory with three accounts, a clock that can be set forward, and a client.

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use node::{MemoryNode, Node};
use s3::{AdjustableClock, FixedIdentities, Gateway, Identity, Peer, Service, Settings};
use s3s::Body;
use std::{path::PathBuf, sync::Arc};

/// A store.
pub struct World {
    pub gateway: Gateway,
    pub clock: Arc<AdjustableClock>,
    service: Service,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The error's code, or nothing.
    pub fn code(&self) -> &str {
        self.element("Code").unwrap_or_default()
    }

    /// The content of the first element of a name.
    pub fn element(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Fails unless the answer is a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:#?}");
        self
    }

    /// Fails unless the answer is this error.
    #[track_caller]
    pub fn fails(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{self:#?}");
        self
    }
}

/// The canonical ID of an account of the tests.
pub fn canonical(who: &str) -> String {
    let digit = match who {
        "other" => "2",
        _ => "1",
    };
    digit.repeat(64)
}

fn identity(name: &str, account: &str, arn: &str, root: bool) -> Arc<Identity> {
    Arc::new(Identity {
        access_key: name.to_owned(),
        secret: "secret".to_owned(),
        session_token: None,
        account: account.to_owned(),
        arn: format!("arn:aws:iam::{account}:{arn}"),
        user_id: format!("AIDA{name}"),
        canonical_id: canonical(name),
        organization: None,
        display_name: name.to_owned(),
        root,
        own: None,
    })
}

impl World {
    /// An empty store.
    pub fn new() -> Self {
        Self::over(Arc::new(MemoryNode::default()))
    }

    /// A store over a node, which is empty.
    pub fn over(node: Arc<dyn Node>) -> Self {
        Self::with(node, |gateway| gateway)
    }

    /// An empty store, with events for the targets of a file.
    pub fn with_targets(file: PathBuf) -> Self {
        let node = Arc::new(MemoryNode::default());
        Self::with(node, |gateway| gateway.with_notification_targets(file))
    }

    /// An empty store, with data keys.
    pub fn with_keys(keys: Arc<dyn s3::keys::DataKeys>) -> Self {
        Self::with(Arc::new(MemoryNode::default()), |gateway| gateway.with_keys(keys))
    }

    fn with(node: Arc<dyn Node>, change: impl FnOnce(Gateway) -> Gateway) -> Self {
        let identities = FixedIdentities {
            identities: vec![
                identity("owner", "111111111111", "root", true),
                identity("user", "111111111111", "user/user", false),
                identity("other", "222222222222", "root", true),
                identity("replicator", "111111111111", "role/replicator", false),
            ],
            trust_any_key: true,
        };
        let clock = Arc::new(AdjustableClock::default());
        let settings = Settings {
            region: "us-east-1".to_owned(),
            domains: vec!["localhost".to_owned()],
            master_key: [7; 32],
            clock: clock.clone(),
        };
        let cluster = cluster::Cluster::over(vec![node]);
        let gateway = change(Gateway::new(cluster, Arc::new(identities), settings));
        Self { service: Service::new(gateway.clone()), gateway, clock }
    }

    /// Makes a request: `who` is an access key, or empty. The target is `METHOD HOST/PATH` or
    /// `METHOD /PATH`.
    pub async fn call(
        &self,
        who: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<String>,
    ) -> Answer {
        let (method, target) = target.split_once(' ').expect("METHOD and target");
        let at = target.find('/').expect("a path");
        let (host, path) = target.split_at(at);
        let body: String = body.into();
        let mut request = Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(path)
            .header("host", if host.is_empty() { "127.0.0.1" } else { host })
            .header("content-length", body.len());
        if !who.is_empty() {
            request = request.header("authorization", format!("AWS {who}:x"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).expect("a request");
        let peer = Peer { address: Some(([192, 0, 2, 1], 5000).into()), vpc: None, secure: false };
        let (head, body) = self.service.answer(request, peer).await.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The owner's request, without headers.
    pub async fn own(&self, target: &str, body: impl Into<String>) -> Answer {
        self.call("owner", target, &[], body).await
    }

    /// A bucket of the owner whose access control lists count, and that may be public.
    pub async fn open_bucket(&self, name: &str) {
        let headers = [("x-amz-object-ownership", "ObjectWriter")];
        self.call("owner", &format!("PUT /{name}"), &headers, "").await.ok();
        self.own(&format!("DELETE /{name}?publicAccessBlock"), "").await.ok();
    }
}
