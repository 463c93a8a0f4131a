//! Who may sign, and what for, as the server tells it: kept in memory, and good for as long as the server
//! is away.

mod principals;

use contracts::identity::{FromObjects, Identities, Identity, ToObjects, Used};
use contracts::link::MAX_LINE;
use principals::Principals;
use s3::{Identity as Signer, TokenError};
use session::{OpenError, SessionKey};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixStream, unix::OwnedReadHalf},
    sync::{mpsc, watch},
};
use types::{AccountId, Timestamp};

/// How long a request with an unknown key waits for the server to say what is new.
const SYNC_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before the next try to reach the server.
const RETRY: Duration = Duration::from_millis(100);

/// How often the use of a key is told to the server.
const USE_PERIOD: Duration = Duration::from_secs(15 * 60);
/// The most keys of which it is known when their use was told; all are told again after that.
const MAX_USED: usize = 4096;
/// The most uses that wait to be told; more are not.
const MAX_USES: usize = 256;

/// The most sessions that are kept; their tokens come with each request.
const MAX_SESSIONS: usize = 4096;
/// The name of the sessions in which the store itself acts.
const SESSION_NAME: &str = "s3-replication";
/// How long they last, and how long before their end the next one is made, in milliseconds.
const ACTING_MS: i64 = 3_600_000;
const ACTING_LEFT_MS: i64 = 300_000;

#[derive(Debug, Default)]
struct Table {
    keys: HashMap<String, Identity>,
    principals: Principals,
    sessions: HashMap<String, Presented>,
    /// The access keys of the sessions in which the store itself acts, by the role's ID.
    acting: HashMap<String, String>,
    session_key: Option<SessionKey>,
    closed: BTreeSet<AccountId>,
    organization: Option<String>,
    trust_any_key: bool,
}

/// A session whose token came with a request.
#[derive(Clone)]
struct Presented {
    token: String,
    secret: String,
    session: Arc<session::Session>,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Table {
    /// Who signs with a key; none if nobody may (any more).
    fn signer(&self, access_key: &str) -> Option<Signer> {
        if let Some(presented) = self.sessions.get(access_key) {
            let Presented { token, secret, session } = presented;
            if session.expires <= now() || self.closed.contains(&session.account) {
                return None;
            }
            let (who, own) = self.principals.in_session(session)?;
            let key =
                Identity { access_key_id: access_key.to_owned(), secret: secret.clone(), ..who };
            return Some(Signer { session_token: Some(token.clone()), ..self.signs(&key, own) });
        }
        let key = self.keys.get(access_key)?;
        let own = match &key.principal {
            None => None,
            Some(id) => Some(self.principals.own(id)?),
        };
        Some(self.signs(key, own))
    }

    fn signs(&self, identity: &Identity, own: Option<s3::Own>) -> Signer {
        Signer { organization: self.organization.clone(), ..signer(identity, own) }
    }

    /// Keeps a session; all others come again with their tokens.
    fn keep(&mut self, access_key: &str, presented: Presented) {
        if self.sessions.len() >= MAX_SESSIONS {
            let now = now();
            self.sessions.retain(|_, known| known.session.expires > now);
            if self.sessions.len() >= MAX_SESSIONS {
                self.sessions.clear();
            }
        }
        self.sessions.insert(access_key.to_owned(), presented);
    }

    /// Who the store is while it acts by a role, in a session that it makes for itself.
    fn acts_by(&mut self, arn: &str, salt: &session::Salt) -> Option<Signer> {
        let now = now();
        let (id, account, name) = {
            let role = self.principals.trusting(arn, now)?;
            (role.id.clone(), role.account, role.name.clone())
        };
        let known = self.acting.get(&id).and_then(|key| Some((key, self.sessions.get(key)?)));
        let known =
            known.filter(|(_, known)| known.session.expires > now.plus_millis(ACTING_LEFT_MS));
        if let Some((access_key, _)) = known {
            return self.signer(access_key);
        }
        let (subject_id, session_name) = (id.clone(), SESSION_NAME.to_owned());
        let session = session::Session {
            account,
            subject: session::Subject::Role { id: subject_id, name, session_name },
            issued: now,
            expires: now.plus_millis(ACTING_MS),
            policy: None,
            policy_arns: Vec::new(),
            tags: Default::default(),
            transitive: Default::default(),
            source_identity: None,
            mfa_at: None,
            provider: None,
            instance: None,
        };
        let sealed = self.session_key.as_ref()?.seal(&session, salt)?;
        let session::Credentials { access_key_id, secret, token } = sealed;
        self.keep(&access_key_id, Presented { token, secret, session: Arc::new(session) });
        if self.acting.len() >= MAX_SESSIONS {
            self.acting.clear();
        }
        self.acting.insert(id, access_key_id.clone());
        self.signer(&access_key_id)
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The known identities.
#[derive(Debug)]
pub struct Known {
    table: RwLock<Table>,
    /// Whether the server has told all once.
    told: watch::Sender<bool>,
    /// The number of the last question, and of the last one that was answered.
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
    /// When keys were last used, as far as the server was told.
    used: Mutex<HashMap<String, Instant>>,
    uses: mpsc::Sender<Used>,
    told_uses: tokio::sync::Mutex<mpsc::Receiver<Used>>,
}

impl Default for Known {
    fn default() -> Self {
        let (uses, told_uses) = mpsc::channel(MAX_USES);
        Self {
            used: Mutex::default(),
            uses,
            told_uses: tokio::sync::Mutex::new(told_uses),
            table: RwLock::default(),
            told: watch::Sender::new(false),
            asked: watch::Sender::new(0),
            answered: watch::Sender::new(0),
        }
    }
}

impl Known {
    /// Waits until the server has told who may sign.
    pub async fn ready(&self) {
        // We hold the sender, so that waiting doesn't fail.
        let _ = self.told.subscribe().wait_for(|told| *told).await;
    }

    /// Follows what the server tells, for ever; it may come and go.
    pub async fn follow(&self, path: &Path) {
        let mut away = false;
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => {
                    away = false;
                    let ended = self.listen(stream).await;
                    let why = ended.err().map(|error| format!(": {error:#}")).unwrap_or_default();
                    log::warn!("the server's link ended{why}");
                }
                Err(error) if !away => {
                    away = true;
                    log::info!("the server isn't there: {error}");
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen(&self, stream: UnixStream) -> anyhow::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut asked = self.asked.subscribe();
        let mut fenced = None;
        // Who asked before has to be answered, too.
        asked.mark_changed();
        let mut line = Vec::new();
        // There is one server.
        let mut uses = self.told_uses.lock().await;
        loop {
            tokio::select! {
                Some(used) = uses.recv() => {
                    let mut note = serde_json::to_vec(&FromObjects::Used(used))?;
                    note.push(b'\n');
                    write.write_all(&note).await?;
                }
                changed = asked.changed() => {
                    changed?;
                    let number = *asked.borrow_and_update();
                    let mut question = serde_json::to_vec(&FromObjects::Sync(number))?;
                    question.push(b'\n');
                    write.write_all(&question).await?;
                }
                message = message(&mut read, &mut line) => match message? {
                    Some(ToObjects::Identities(identities)) => self.take(identities),
                    Some(ToObjects::Synced(number)) => {
                        self.answered.send_replace(number);
                    }
                    Some(ToObjects::Fence(number)) => fenced = Some(number),
                    None => return Ok(()),
                }
            }
            if let Some(number) = fenced.take() {
                let mut answer = serde_json::to_vec(&FromObjects::Fenced(number))?;
                answer.push(b'\n');
                write.write_all(&answer).await?;
            }
        }
    }

    fn take(&self, identities: Identities) {
        let Identities {
            revision: _,
            reset,
            ready,
            trust_any_key,
            put,
            subjects,
            policies,
            remove,
            session_key,
            closed,
            organization,
        } = identities;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.trust_any_key = trust_any_key;
        table.closed = closed;
        if organization.is_some() {
            table.organization = organization;
        }
        if reset {
            table.keys.clear();
            table.principals = Principals::default();
        }
        if let Some(bytes) = session_key {
            table.session_key = Some(SessionKey::new(bytes));
        }
        for key in remove {
            table.keys.remove(&key);
            table.principals.remove(&key);
        }
        for policy in policies {
            table.principals.put_policy(policy);
        }
        for subject in subjects {
            table.principals.put(subject);
        }
        for identity in put {
            table.keys.insert(identity.access_key_id.clone(), identity);
        }
        drop(table);
        if ready {
            self.told.send_replace(true);
        }
    }

    fn get(&self, access_key: &str) -> Option<Arc<Signer>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let known = table.signer(access_key);
        if !table.trust_any_key || known.as_ref().is_some_and(|one| one.session_token.is_some()) {
            return known.map(Arc::new);
        }
        // As the other services take it: 12 digits are the account, anything else the first one.
        let account = access_key.parse().unwrap_or(AccountId::DEFAULT);
        let secret = known.map_or_else(String::new, |known| known.secret);
        let root = Identity::root(access_key.to_owned(), secret, account);
        Some(Arc::new(table.signs(&root, None)))
    }

    /// Waits until all that the server had committed by now is known.
    async fn sync(&self) {
        let mut answered = self.answered.subscribe();
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let synced = answered.wait_for(|answered| *answered >= number);
        let _ = tokio::time::timeout(SYNC_TIMEOUT, synced).await;
    }
}

#[async_trait::async_trait]
impl s3::Identities for Known {
    async fn find(&self, access_key: &str) -> Option<Arc<Signer>> {
        if let Some(known) = self.get(access_key) {
            return Some(known);
        }
        // It may have been made a moment ago.
        self.sync().await;
        self.get(access_key)
    }

    async fn role(&self, arn: &str) -> Option<Arc<Signer>> {
        let acts = || {
            let salt = rand::random();
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            table.acts_by(arn, &salt).map(Arc::new)
        };
        if let Some(known) = acts() {
            return Some(known);
        }
        self.sync().await;
        acts()
    }

    async fn has_principal(&self, arn: &str) -> bool {
        let has = || {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.principals.has(arn)
        };
        if has() {
            return true;
        }
        self.sync().await;
        has()
    }

    fn present(&self, access_key: &str, token: &str) -> Result<(), TokenError> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let trusted = table.trust_any_key;
        if table.sessions.get(access_key).is_some_and(|known| known.token == token) {
            return Ok(());
        }
        let key = table.session_key.clone();
        drop(table);
        let opened = match &key {
            Some(key) => key.open(access_key, token, now()),
            None => Err(OpenError::Invalid),
        };
        let (session, secret) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Invalid) if trusted => return Ok(()),
            Err(OpenError::Invalid) => return Err(TokenError::Invalid),
            Err(OpenError::Expired) => return Err(TokenError::Expired),
        };
        let presented = Presented { token: token.to_owned(), secret, session: Arc::new(session) };
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.keep(access_key, presented);
        Ok(())
    }

    fn used(&self, identity: &Signer, region: &str) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.get(&identity.access_key).is_some_and(|at| at.elapsed() < USE_PERIOD) {
            return;
        }
        if used.len() >= MAX_USED {
            used.clear();
        }
        let note = Used {
            access_key_id: identity.access_key.clone(),
            user_id: identity.user_id.clone(),
            region: region.to_owned(),
        };
        // Else it is told with the next request.
        if self.uses.try_send(note).is_ok() {
            used.insert(identity.access_key.clone(), Instant::now());
        }
    }

    fn trust_any_key(&self) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).trust_any_key
    }
}

fn signer(identity: &Identity, own: Option<s3::Own>) -> Signer {
    let Identity { access_key_id, secret, account, arn, user_id, canonical_id, root, principal: _ } =
        identity;
    Signer {
        access_key: access_key_id.clone(),
        secret: secret.clone(),
        session_token: None,
        account: account.to_string(),
        arn: arn.clone(),
        user_id: user_id.clone(),
        canonical_id: canonical_id.clone(),
        display_name: account.to_string(),
        organization: None,
        root: *root,
        own: own.map(Arc::new),
    }
}

/// Reads a line into `text`, which keeps what came of it when this is dropped.
async fn message(
    read: &mut BufReader<OwnedReadHalf>,
    text: &mut Vec<u8>,
) -> anyhow::Result<Option<ToObjects>> {
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    read.take(limit).read_until(b'\n', text).await?;
    if text.is_empty() {
        return Ok(None);
    }
    anyhow::ensure!(text.ends_with(b"\n"), "a line is cut off or too long");
    let message = serde_json::from_slice(text)?;
    text.clear();
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3::Identities as _;
    use tokio::net::UnixListener;

    async fn say(stream: &mut BufReader<UnixStream>, message: &ToObjects) {
        let mut line = serde_json::to_vec(message).unwrap();
        line.push(b'\n');
        stream.get_mut().write_all(&line).await.unwrap();
    }

    fn key(id: &str, secret: &str) -> Identity {
        Identity::root(id.to_owned(), secret.to_owned(), AccountId::DEFAULT)
    }

    /// The next question's number.
    async fn question(server: &mut BufReader<UnixStream>) -> u64 {
        let mut line = String::new();
        server.read_line(&mut line).await.unwrap();
        let FromObjects::Sync(number) = serde_json::from_str(&line).unwrap() else {
            panic!("no question: {line}");
        };
        number
    }

    #[tokio::test]
    async fn a_key_just_made_is_found_and_the_last_ones_stay_while_the_server_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identities.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let known = Arc::new(Known::default());
        let following = tokio::spawn({
            let (known, path) = (known.clone(), path.clone());
            async move { known.follow(&path).await }
        });
        let mut server = BufReader::new(listener.accept().await.unwrap().0);
        let put = vec![key("A", "one")];
        let first = Identities { reset: true, ready: true, put, ..Default::default() };
        say(&mut server, &ToObjects::Identities(first)).await;
        known.ready().await;
        assert_eq!(known.find("A").await.unwrap().secret, "one");
        assert_eq!(question(&mut server).await, 0, "of those who asked before");

        let finding = tokio::spawn({
            let known = known.clone();
            async move { known.find("B").await }
        });
        let number = question(&mut server).await;
        let more = Identities {
            put: vec![key("B", "two")],
            remove: vec!["A".to_owned()],
            ..Default::default()
        };
        say(&mut server, &ToObjects::Identities(more)).await;
        say(&mut server, &ToObjects::Synced(number)).await;
        assert_eq!(finding.await.unwrap().unwrap().secret, "two");

        drop(server);
        assert_eq!(known.find("B").await.unwrap().secret, "two");
        let mut server = BufReader::new(listener.accept().await.unwrap().0);
        let number = question(&mut server).await;
        say(&mut server, &ToObjects::Synced(number)).await;
        let finding = tokio::spawn({
            let known = known.clone();
            async move { known.find("A").await }
        });
        let number = question(&mut server).await;
        say(&mut server, &ToObjects::Synced(number)).await;
        assert!(finding.await.unwrap().is_none());
        following.abort();
    }

    #[tokio::test]
    async fn any_key_is_somebodys_where_any_is_trusted() {
        let known = Known::default();
        let trust = Identities { reset: true, trust_any_key: true, ..Default::default() };
        known.take(trust);
        assert!(known.trust_any_key());
        assert_eq!(known.find("111122223333").await.unwrap().account, "111122223333");
        assert_eq!(known.find("test").await.unwrap().account, AccountId::DEFAULT.to_string());
    }

    fn role() -> contracts::identity::Subject {
        contracts::identity::Subject {
            id: "AROA1".to_owned(),
            account: AccountId::DEFAULT,
            arn: "arn:aws:iam::123456789012:role/ops".to_owned(),
            name: "ops".to_owned(),
            tags: [("team".to_owned(), "blue".to_owned())].into(),
            inline: Vec::new(),
            attached: vec!["arn:aws:iam::aws:policy/All".to_owned()],
            boundary: None,
            trust: Some(
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
                "Principal":{"Service":"s3.amazonaws.com"},"Action":"sts:AssumeRole"}}"#
                    .to_owned(),
            ),
        }
    }

    #[tokio::test]
    async fn the_store_acts_by_roles_that_let_it() {
        let known = Known::default();
        let master = SessionKey::new([9; 32]);
        let role = role();
        let all = Identities {
            reset: true,
            ready: true,
            session_key: Some(*master.bytes()),
            subjects: vec![role.clone()],
            ..Default::default()
        };
        known.take(all);
        let acting = known.role(&role.arn).await.unwrap();
        assert_eq!(acting.arn, "arn:aws:sts::123456789012:assumed-role/ops/s3-replication");
        let token = acting.session_token.clone().unwrap();
        assert!(master.open(&acting.access_key, &token, now()).is_ok(), "the server takes it");
        let again = known.role(&role.arn).await.unwrap();
        assert_eq!(again.access_key, acting.access_key);
        let untrusting = contracts::identity::Subject { trust: None, ..role.clone() };
        known.take(Identities { subjects: vec![untrusting], ..Default::default() });
        assert!(known.table.write().unwrap().acts_by(&role.arn, &[3; 16]).is_none());
    }

    #[tokio::test]
    async fn sessions_and_users_have_what_they_were_told() {
        use contracts::identity::Managed;
        let known = Known::default();
        let master = SessionKey::new([9; 32]);
        let role = role();
        let text = r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned();
        let all = Identities {
            reset: true,
            ready: true,
            session_key: Some(*master.bytes()),
            subjects: vec![role.clone()],
            policies: vec![Managed { arn: role.attached[0].clone(), text }],
            ..Default::default()
        };
        known.take(all);
        assert!(known.has_principal(&role.arn).await);
        let issued = now();
        let session = session::Session {
            account: AccountId::DEFAULT,
            subject: session::Subject::Role {
                id: "AROA1".to_owned(),
                name: "ops".to_owned(),
                session_name: "me".to_owned(),
            },
            issued,
            expires: issued.plus_millis(60_000),
            policy: None,
            policy_arns: Vec::new(),
            tags: [("team".to_owned(), "red".to_owned())].into(),
            transitive: [].into(),
            source_identity: None,
            mfa_at: None,
            provider: None,
            instance: None,
        };
        let sealed = master.seal(&session, &[1; 16]).unwrap();
        let id = sealed.access_key_id.as_str();
        assert_eq!(known.present("AKIA1", &sealed.token), Err(TokenError::Invalid));
        assert_eq!(known.present(id, "nonsense"), Err(TokenError::Invalid));
        known.present(id, &sealed.token).unwrap();
        let found = known.get(id).unwrap();
        assert_eq!((&found.secret, &found.session_token), (&sealed.secret, &Some(sealed.token)));
        assert_eq!(found.arn, "arn:aws:sts::123456789012:assumed-role/ops/me");
        let own = found.own.clone().unwrap();
        assert_eq!(own.identity.len(), 1);
        assert_eq!(own.role_arn.as_deref(), Some(role.arn.as_str()));
        let team = own.keys.iter().rev().find(|(key, _)| key == "aws:PrincipalTag/team");
        assert_eq!(team.unwrap().1, "red");
        let over = session::Session { expires: issued, ..session };
        let sealed = master.seal(&over, &[2; 16]).unwrap();
        let presented = known.present(&sealed.access_key_id, &sealed.token);
        assert_eq!(presented, Err(TokenError::Expired));

        known.take(Identities { remove: vec!["AROA1".to_owned()], ..Default::default() });
        assert!(known.get(id).is_none(), "the role's session ends with it");
        assert!(!known.table.read().unwrap().principals.has(&role.arn));
    }
}
