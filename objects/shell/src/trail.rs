//! Events of the audit log, on their way to the server, which writes them.
//!
//! For each event that the server has taken in, it sends back a byte; until then the event stays
//! here, and goes to the next server if that one ends. So none is lost while the server is away, as
//! long as there is room; what is lost is counted.

use contracts::audit::{
    Event, MAX_EVENT_BYTES, SessionContext, SessionIssuer, TlsDetails, UserIdentity, VERSION,
    clipped,
};
use s3::{Audit, Trace};
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, net::UnixStream, sync::Notify};
use types::Timestamp;

/// The most that waits for the server, in bytes.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// How many events go out before answers are looked at.
const BATCH: usize = 64;
/// The pause before the next try to reach the server.
const RETRY: Duration = Duration::from_millis(100);
/// How long the end of the process waits for the server.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The way to the audit log.
#[derive(Debug, Default)]
pub struct Trail {
    objects: bool,
    waiting: Mutex<Waiting>,
    news: Notify,
    /// Something was taken in by the server.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
    lost: u64,
}

impl Trail {
    /// A way on which nothing waits; with events about objects, or without.
    pub fn new(objects: bool) -> Self {
        Self { objects, ..Self::default() }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends events to the server, for ever; it may come and go.
    pub async fn send_for_ever(&self, path: &Path) {
        loop {
            if let Ok(stream) = UnixStream::connect(path).await {
                let ended = self.send(stream).await;
                log::debug!("the audit log's link ended: {ended:?}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn send(&self, stream: UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut sent = 0;
        let mut answers = [0; 4 * BATCH];
        loop {
            let batch: Vec<Arc<str>> =
                self.waiting().lines.iter().skip(sent).take(BATCH).cloned().collect();
            for line in &batch {
                write.write_all(line.as_bytes()).await?;
            }
            sent += batch.len();
            if batch.is_empty() {
                tokio::select! {
                    readable = read.readable() => readable?,
                    () = self.news.notified() => {}
                }
            }
            match read.try_read(&mut answers) {
                Ok(0) => return Ok(()),
                Ok(number) => {
                    self.forget(number);
                    sent = sent.saturating_sub(number);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn forget(&self, number: usize) {
        let mut waiting = self.waiting();
        for _ in 0..number {
            let gone = waiting.lines.pop_front().map_or(0, |line| line.len());
            waiting.bytes = waiting.bytes.saturating_sub(gone);
        }
        drop(waiting);
        self.taken.notify_one();
    }

    /// Waits for a moment until the server has all.
    pub async fn settle(&self) {
        let settled = async {
            while !self.waiting().lines.is_empty() {
                self.taken.notified().await;
            }
        };
        if tokio::time::timeout(SETTLE_TIMEOUT, settled).await.is_err() {
            log::warn!("{} events of the audit log are lost", self.waiting().lines.len());
        }
    }
}

impl Audit for Trail {
    fn wants_objects(&self) -> bool {
        self.objects
    }

    fn take(&self, trace: Trace) {
        let Ok(mut line) = serde_json::to_string(&event(trace)) else { return };
        line.push('\n');
        let mut waiting = self.waiting();
        if waiting.bytes + line.len() > MAX_WAITING_BYTES || line.len() > MAX_EVENT_BYTES {
            waiting.lost += 1;
            if waiting.lost.is_power_of_two() {
                log::error!("{} events of the audit log are lost: too many wait", waiting.lost);
            }
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        drop(waiting);
        self.news.notify_one();
    }
}

fn event(trace: Trace) -> Event {
    let mut parameters = Map::new();
    for (name, value) in &trace.parameters {
        parameters.insert(clipped(name), clipped(value).into());
    }
    if let Some(bucket) = &trace.bucket {
        parameters.insert("bucketName".to_owned(), clipped(bucket).into());
    }
    if let Some(key) = &trace.key {
        parameters.insert("key".to_owned(), key.as_str().into());
    }
    parameters.insert("Host".to_owned(), clipped(&trace.host).into());
    let at =
        i64::try_from(trace.at_ms).map_or_else(|_| Timestamp::default(), Timestamp::from_millis);
    let address = trace.peer.address.map(|address| address.ip().to_canonical().to_string());
    let tls = trace.peer.secure.then(|| TlsDetails {
        client_provided_host_header: Some(clipped(&trace.host)),
        ..TlsDetails::default()
    });
    let (code, message) = trace.error.clone().unzip();
    Event {
        event_version: VERSION.to_owned(),
        user_identity: identity(&trace),
        event_time: at.to_string().get(..19).map_or_else(String::new, |text| format!("{text}Z")),
        event_source: "s3.amazonaws.com".to_owned(),
        event_name: trace.operation,
        aws_region: trace.region,
        source_ip_address: address.unwrap_or_default(),
        user_agent: trace.user_agent.as_deref().map(|agent| clipped(&format!("[{agent}]"))),
        error_code: code,
        error_message: message.as_deref().map(clipped),
        request_parameters: Some(Value::Object(parameters)),
        response_elements: None,
        additional_event_data: Some(if trace.was_sent {
            json!({ "x-amz-id-2": trace.host_id })
        } else {
            json!({ "clientWentAway": true })
        }),
        request_id: trace.request_id,
        event_id: trace.event_id,
        read_only: trace.read_only,
        resources: Vec::new(),
        event_type: "AwsApiCall".to_owned(),
        management_event: trace.management,
        recipient_account_id: trace.identity.account.clone(),
        shared_event_id: None,
        event_category: if trace.management { "Management" } else { "Data" }.to_owned(),
        tls_details: tls,
    }
}

fn identity(trace: &Trace) -> UserIdentity {
    let who = &trace.identity;
    let own = who.own.as_deref();
    let last = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
    let role = own.and_then(|own| own.role_arn.clone());
    let maker = own.and_then(|own| own.maker_arn.clone());
    let kind = match (&role, &maker) {
        (Some(_), _) => "AssumedRole",
        (None, Some(_)) => "FederatedUser",
        (None, None) if who.root => "Root",
        (None, None) => "IAMUser",
    };
    let issued = role.map(|arn| ("Role", arn)).or_else(|| {
        maker.map(|arn| (if arn.ends_with(":root") { "Root" } else { "IAMUser" }, arn))
    });
    let issuer = issued.map(|(kind, arn)| SessionIssuer {
        kind: kind.to_owned(),
        principal_id: who.user_id.split(':').next().unwrap_or_default().to_owned(),
        user_name: (kind != "Root").then(|| last(&arn)),
        arn,
        account_id: who.account.clone(),
    });
    UserIdentity {
        kind: kind.to_owned(),
        principal_id: Some(who.user_id.clone()),
        arn: Some(who.arn.clone()),
        account_id: Some(who.account.clone()),
        access_key_id: Some(who.access_key.clone()),
        user_name: (kind == "IAMUser").then(|| last(&who.arn)),
        session_context: issuer.map(|issuer| SessionContext {
            session_issuer: Some(issuer),
            ..SessionContext::default()
        }),
    }
}
