//! What the crate's tests share.

mod encryption;
mod imports;
mod lifecycle;
mod policies;
mod regions;
mod rotation;
mod signing;

use crate::{Computed, MasterKey, Work, keys::create};
use iam::{Caller, Named, Permissions, Principal, Request, UniqueId, User};
use shapes::{
    Fault,
    kms::{CreateKeyRequest, KeySpec, KeyUsageType},
};
use state::{Effects, State, Tx};
use types::{AccountId, Region, Scope, Timestamp};

/// A cloud at a time that tests move.
pub struct World {
    pub state: State,
    pub now: Timestamp,
    pub master: MasterKey,
    seed: u8,
}

/// An operation that computes.
type Run<I, O> = fn(&State, &Request, I, &mut Work<'_>) -> Result<Computed<O>, Fault>;

pub const DAY_MS: i64 = 86_400_000;

impl World {
    pub fn new() -> Self {
        let mut tables = crate::tables();
        tables.extend(iam::tables());
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut tx = Tx::new(&State::new(&tables), Effects::new(now, [0; 32]));
        for name in ["ann", "bob"] {
            let mut named = Named::new(&mut tx, AccountId::DEFAULT, "AIDA", None, name.to_owned());
            named.id = user_id(name);
            tx.put(User {
                named,
                permissions: Permissions::default(),
                groups: [].into(),
                tags: [].into(),
                password_last_used: None,
            });
        }
        Self { state: tx.finish().0, now, master: MasterKey::new([42; 32]), seed: 0 }
    }

    fn effects(&mut self) -> Effects {
        self.seed += 1;
        Effects::new(self.now, [self.seed; 32])
    }

    /// Runs an operation that computes.
    pub fn compute<I, O>(
        &mut self,
        run: Run<I, O>,
        request: &Request,
        input: I,
    ) -> Result<O, Fault> {
        let (mut effects, master) = (self.effects(), self.master.clone());
        let mut work = Work { effects: &mut effects, master: &master };
        match run(&self.state, request, input, &mut work)? {
            Computed::Done(output) => Ok(output),
            Computed::Change(mutation) => self.commit(mutation),
        }
    }

    /// Runs an operation that changes the state.
    pub fn mutate<I, O>(
        &mut self,
        run: fn(&mut Tx, &Request, I) -> Result<O, Fault>,
        request: &Request,
        input: I,
    ) -> Result<O, Fault> {
        self.commit(|tx| run(tx, request, input))
    }

    pub fn commit<O>(&mut self, run: impl FnOnce(&mut Tx) -> Result<O, Fault>) -> Result<O, Fault> {
        let effects = self.effects();
        let mut tx = Tx::new(&self.state, effects);
        let output = run(&mut tx)?;
        self.state = tx.finish().0;
        Ok(output)
    }

    /// Lets days pass, and does what is due then.
    pub fn pass(&mut self, days: i64) {
        self.now = self.now.plus_millis(days * DAY_MS);
        let master = self.master.clone();
        self.commit(|tx| {
            crate::tick(tx, &master);
            Ok(())
        })
        .unwrap();
    }

    /// A symmetric key's ID.
    pub fn key(&mut self) -> String {
        self.key_of(CreateKeyRequest::default())
    }

    pub fn key_of(&mut self, input: CreateKeyRequest) -> String {
        let made = self.compute(create::create_key, &request(), input).unwrap();
        made.key_metadata.unwrap().key_id.unwrap()
    }

    pub fn key_for(&mut self, spec: KeySpec, usage: KeyUsageType) -> String {
        self.key_of(CreateKeyRequest {
            key_spec: Some(spec),
            key_usage: Some(usage),
            ..CreateKeyRequest::default()
        })
    }
}

/// A call by the default account's root in us-east-1.
pub fn request() -> Request {
    request_in("us-east-1")
}

pub fn request_in(region: &str) -> Request {
    request_of(AccountId::DEFAULT, region)
}

pub fn request_of(account: AccountId, region: &str) -> Request {
    let region: Region = region.parse().unwrap();
    Request { caller: Caller::root(account), scope: Scope { account, region } }
}

fn user_id(name: &str) -> UniqueId {
    UniqueId::from_text(&format!("AIDA{name}"))
}

/// A call by a user of the default account, `ann` or `bob`, whom no policy of its own allows anything.
pub fn request_by(name: &str) -> Request {
    let (id, account) = (user_id(name), AccountId::DEFAULT);
    let arn = format!("arn:aws:iam::{account}:user/{name}");
    let caller = Caller::lasting(account, arn, id.to_string(), Principal::User(id));
    Request { caller, ..request() }
}

pub fn code<T>(result: Result<T, Fault>) -> String {
    result.err().expect("a fault").code.into_owned()
}

pub fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}
