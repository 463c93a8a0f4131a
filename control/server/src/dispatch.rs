//! One call: signature → caller → operation → decode → may it? → transaction → encode.

use crate::{
    cloud::{self, Cloud, now},
    hosts::Hosts,
    identities::Links,
    issuers::Issuers,
    rates::Rates,
    record::{Came, Done, Noting, done},
    trail::Trail,
    uses::Uses,
};
use http::request::Parts;
use iam::{
    AccessKey, Account, Caller, Circumstances, Issue, Issuer, Mutate, Organization, Principal,
    Read, Request, UsedCodes, Vouch, access::members::Input,
};
use kms::{Compute, Computed, MasterKey, Work};
use protocol::{
    Answer, Payload,
    route::{self, Hints},
    sigv4::{self, Claim, SigV4Error, Verifier},
};
use relay::Source;
use session::{OpenError, Salt, SessionKey, Subject};
use shapes::{
    Fault, Operation, Protocol, Service, cloudtrail, ec2 as ec2_shapes, iam as iam_shapes,
    kms as kms_shapes, organizations as organizations_shapes, sts as sts_shapes,
};
use std::{future::Future, pin::Pin, sync::Arc};
use types::{AccountId, Region, Scope};

static SERVICES: [&Service; 6] = [
    &cloudtrail::SERVICE,
    &ec2_shapes::SERVICE,
    &iam_shapes::SERVICE,
    &kms_shapes::SERVICE,
    &organizations_shapes::SERVICE,
    &sts_shapes::SERVICE,
];

/// The operations that need no signature.
const UNSIGNED: [&str; 2] = ["AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"];
/// The region of a call that no signature gives one.
const UNSIGNED_REGION: &str = "us-east-1";

/// What all calls need.
pub struct Dispatcher {
    /// The state.
    pub cloud: Arc<Cloud>,
    /// The hosts, for what only they know.
    pub hosts: Arc<Hosts>,
    /// Whether any secret is accepted, and a 12-digit access key is the account.
    pub trust_any_key: bool,
    /// What opens the keys of KMS.
    pub master: MasterKey,
    /// What seals and opens session tokens.
    pub sessions: SessionKey,
    /// Who is told of what changes of identities.
    pub links: Arc<Links>,
    /// Fetches the keys of issuers of tokens.
    pub issuers: Issuers,
    /// Takes note of which keys are used.
    pub uses: Uses,
    /// Verifies signatures.
    pub verifier: Verifier,
    /// The codes of MFA devices that were shown.
    pub codes: UsedCodes,
    /// The audit log.
    pub trail: Trail,
    /// How often accounts may call.
    pub rates: Rates,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Done, Fault>> + Send + 'a>>;

impl Dispatcher {
    /// Answers one call. The body is complete and within its limit.
    pub async fn answer(
        &self,
        parts: &Parts,
        body: &[u8],
        source: &Source,
        request_id: &str,
    ) -> Answer {
        let query = parts.uri.query().unwrap_or("");
        let payload = match Payload::read(&parts.headers, query, body) {
            Ok(payload) => payload,
            Err(error) => {
                let fault = protocol::ec2_query::decode_fault(&error);
                return protocol::fault(&ec2_shapes::SERVICE, &fault, request_id);
            }
        };
        let signed = sigv4::Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query,
            headers: &parts.headers,
        };
        let claim = signed.claim();
        let hints = Hints {
            scope: claim.as_ref().ok().map(|claim| claim.service.as_str()),
            host: parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()),
            version: payload.version(),
            target: payload.target(),
            action: payload.action(),
        };
        let Some(service) = route::service(hints, &SERVICES) else {
            let fault = unknown_service(hints.scope);
            // In the language of whoever asks.
            let speaker = match payload {
                Payload::Form(_) => &ec2_shapes::SERVICE,
                Payload::Json { .. } => &kms_shapes::SERVICE,
            };
            return protocol::fault(speaker, &fault, request_id);
        };
        let agent = parts.headers.get(http::header::USER_AGENT);
        let circumstances = Circumstances {
            source_ip: Some(source.address.ip()),
            user_agent: agent.and_then(|agent| agent.to_str().ok()).map(ToOwned::to_owned),
            secure: source.secure,
            vpc: source.vpc.clone(),
            at: now(),
        };
        let host = hints.host.map(ToOwned::to_owned);
        let came = Came { service, circumstances, host, request_id: request_id.to_owned() };
        let needs_none = payload.action().is_some_and(|name| UNSIGNED.contains(&name));
        let (key, request) = match &claim {
            _ if needs_none && service.name == "sts" => (None, unsigned(&came)),
            Ok(claim) => (Some(&claim.access_key_id), self.request(&came, claim, body)),
            Err(error) => (None, Err(error.fault(service.protocol))),
        };
        let key = key.map(String::as_str);
        let result = match request {
            Ok(request) => {
                let noting = Noting::new(self, came, (&request, key), payload);
                let result = self.call(noting.came(), key, request, noting.payload()).await;
                noting.end(result).await
            }
            Err(fault) => {
                self.refuse(came, key, &payload, &fault);
                Err(fault)
            }
        };
        result.unwrap_or_else(|fault| protocol::fault(service, &fault, request_id))
    }

    /// Who calls, in which region, if the signature proves it.
    fn request(&self, came: &Came, claim: &Claim, body: &[u8]) -> Result<Request, Fault> {
        let caller = self.authenticate(claim, body, came.service.protocol)?;
        let caller = caller.coming(came.circumstances.clone());
        let region = claim.region.parse::<Region>().map_err(|_| {
            let text =
                format!("Credential should be scoped to a valid region, not '{}'.", claim.region);
            Fault::sender("SignatureDoesNotMatch", text).with_status(403)
        })?;
        Ok(Request { scope: Scope { account: caller.account, region }, caller })
    }

    async fn call(
        &self,
        came: &Came,
        key: Option<&str>,
        request: Request,
        payload: Option<&Payload<'_>>,
    ) -> Result<Done, Fault> {
        let payload = payload.ok_or_else(|| cloud::internal(&"the request is gone"))?;
        let (service, request_id) = (came.service, came.request_id.as_str());
        if let Protocol::Json { target, .. } = service.protocol
            && payload.target() != Some(target)
        {
            let text = format!("The operation's target does not begin with {target}.");
            return Err(Fault::sender("UnknownOperationException", text));
        }
        let name = payload.action().ok_or_else(|| {
            Fault::sender("MissingAction", "The request must contain the parameter Action.")
        })?;
        let taken = self.rates.take(&request.scope, service, name, payload)?;
        fits_the_service(&request, service, name)?;
        if let Some(key) = key {
            self.note_use(key, &request, service);
            self.set_up(&request.scope).await?;
        }
        let call = Call { dispatcher: self, request, payload, request_id };
        let running = match service.name {
            "cloudtrail" => audit::visit(name, call),
            "ec2" => ec2::visit(name, call),
            "iam" => iam::of_iam::visit(name, call),
            "kms" => kms::visit(name, call),
            "organizations" => organizations::visit(name, call),
            _ => iam::of_sts::visit(name, call),
        };
        let result = match running {
            Some(running) => running.await,
            None => Err(not_served(service, name, payload.version())),
        };
        if result.is_err() {
            self.rates.give_back(taken);
        }
        result
    }

    /// Takes note of a key's use, and of its role's.
    fn note_use(&self, key: &str, request: &Request, service: &Service) {
        if self.trust_any_key {
            return;
        }
        let role = match &request.caller.principal {
            Principal::Role(id) => Some(id.clone()),
            Principal::Root(_) | Principal::User(_) => None,
        };
        let region = request.scope.region.to_string();
        self.uses.note(&self.cloud, key.to_owned(), role, service.name, region);
    }

    fn authenticate(
        &self,
        claim: &Claim,
        body: &[u8],
        protocol: Protocol,
    ) -> Result<Caller, Fault> {
        if self.trust_any_key && claim.session_token.is_none() {
            let account = claim.access_key_id.parse().unwrap_or(AccountId::DEFAULT);
            return Ok(Caller::root(account));
        }
        let signer = self.signer(&claim.access_key_id, claim.session_token.as_deref());
        let (caller, secret) = signer.map_err(|error| {
            self.verifier.refuse(claim, &sigv4::hash(body));
            error.fault(protocol)
        })?;
        if !self.trust_any_key {
            let verified = self.verifier.verify(claim, &secret, &sigv4::hash(body), now());
            verified.map_err(|error| error.fault(protocol))?;
        }
        Ok(caller)
    }

    /// Who signs, and with which secret, if the signature proves it.
    pub(crate) fn signer(
        &self,
        id: &str,
        token: Option<&str>,
    ) -> Result<(Caller, String), SigV4Error> {
        let state = self.cloud.state();
        let Some(token) = token else {
            return iam::authenticate(&state, id).ok_or(SigV4Error::UnknownKey);
        };
        match self.sessions.open(id, token, now()) {
            Ok((session, secret)) => {
                let caller = iam::caller_of(&state, session);
                Ok((caller.ok_or(SigV4Error::InvalidToken)?, secret))
            }
            // Whoever trusts any key takes any token for it.
            Err(OpenError::Invalid) if self.trust_any_key => {
                let account = id.parse().unwrap_or(AccountId::DEFAULT);
                Ok((Caller::root(account), String::new()))
            }
            Err(OpenError::Invalid) => Err(SigV4Error::InvalidToken),
            Err(OpenError::Expired) => Err(SigV4Error::ExpiredToken),
        }
    }

    /// Gives an account its default VPC in a region that it uses for the first time.
    async fn set_up(&self, scope: &Scope) -> Result<(), Fault> {
        if ec2::vpc::defaults::is_set_up(&self.cloud.state(), scope) {
            return Ok(());
        }
        let scope = scope.clone();
        let set_up = self.cloud.mutate(false, move |tx| {
            Account::ensure(tx, scope.account, "account");
            // Another call may have been faster.
            if !ec2::vpc::defaults::is_set_up(tx, &scope) {
                ec2::vpc::defaults::set_up(tx, &scope);
            }
            Ok(())
        });
        set_up.await
    }
}

/// A call of STS whose proof is a token in it: a signature counts for nothing.
fn unsigned(came: &Came) -> Result<Request, Fault> {
    let caller = Caller::unsigned().coming(came.circumstances.clone());
    let region = UNSIGNED_REGION.parse().map_err(|_| cloud::internal(&UNSIGNED_REGION))?;
    Ok(Request { scope: Scope { account: caller.account, region }, caller })
}

/// Refuses what sessions of users and of federated users can't call at all.
fn fits_the_service(request: &Request, service: &Service, operation: &str) -> Result<(), Fault> {
    let Some(active) = &request.caller.session else { return Ok(()) };
    let federated = match &active.session.subject {
        Subject::Role { .. } => return Ok(()),
        Subject::Federated { .. } => true,
        Subject::Root | Subject::User { .. } => false,
    };
    let bare = federated || active.session.mfa_at.is_none();
    match service.name {
        "iam" if bare => Err(SigV4Error::InvalidToken.fault(service.protocol)),
        "sts" if federated && operation != "GetCallerIdentity" => {
            let text = format!("Cannot call {operation} with federated user credentials");
            Err(Fault::sender("AccessDenied", text).with_status(403))
        }
        _ => Ok(()),
    }
}

fn unknown_service(scope: Option<&str>) -> Fault {
    let names = SERVICES.iter().map(|service| service.name).collect::<Vec<_>>().join(", ");
    Fault::sender(
        "UnsupportedOperation",
        match scope {
            Some(scope) => format!("The service '{scope}' is not served here; these are: {names}."),
            None => format!("The request names no service; these are served here: {names}."),
        },
    )
}

fn not_served(service: &Service, name: &str, version: Option<&str>) -> Fault {
    let is_json = matches!(service.protocol, Protocol::Json { .. });
    if service.knows(name) {
        return Fault::sender(
            if is_json { "UnsupportedOperationException" } else { "UnsupportedOperation" },
            format!("The operation {name} of {} is not served by this cloud.", service.name),
        );
    }
    let version = version.unwrap_or(service.api_version);
    let message = match service.protocol {
        Protocol::Ec2 => format!("The action {name} is not valid for this web service."),
        Protocol::Query | Protocol::Json { .. } | Protocol::RestJson | Protocol::RestXml => {
            format!("Could not find operation {name} for version {version}")
        }
    };
    Fault::sender(if is_json { "UnknownOperationException" } else { "InvalidAction" }, message)
}

/// A call on its way to the function behind its operation.
struct Call<'a> {
    dispatcher: &'a Dispatcher,
    request: Request,
    payload: &'a Payload<'a>,
    request_id: &'a str,
}

impl Call<'_> {
    fn dry_run(&self) -> bool {
        self.payload.is_dry_run()
    }

    /// The operation's input, if the caller may do what it asks.
    fn allowed<O: Operation>(&self) -> Result<O::Input, Fault> {
        let input = protocol::decode::<O>(self.payload)?;
        if self.request.caller.is_unlimited() {
            return Ok(input);
        }
        let (state, request) = (self.dispatcher.cloud.state(), &self.request);
        let members = Input::new(&input);
        let checks = match O::SERVICE.name {
            "cloudtrail" => audit::access::checks(O::NAME, members),
            "ec2" => ec2::access::checks(&state, request, O::NAME, members),
            "iam" => iam::access::of_iam::checks(&state, request, O::NAME, members),
            "kms" => kms::access::checks(request, O::NAME, members),
            "organizations" => organizations::access::checks(&state, request, O::NAME, members),
            _ => iam::access::of_sts::checks(request, O::NAME, members),
        };
        // Nothing is done that no table knows.
        let checks = checks
            .ok_or_else(|| cloud::internal(&format_args!("{} can't be authorised", O::NAME)))?;
        if let Err(denied) = iam::access::authorise(&state, request, &checks) {
            let mut salt = Salt::default();
            cloud::effects()?.fill(&mut salt);
            return Err(denied.fault(O::SERVICE, &self.dispatcher.sessions, &salt));
        }
        Ok(input)
    }

    /// What a call answers that would have succeeded.
    fn would_succeed(&self) -> Result<(), Fault> {
        if self.dry_run() { Err(ec2::errors::dry_run()) } else { Ok(()) }
    }
}

impl<'a> iam::Visitor for Call<'a> {
    type Out = Running<'a>;

    fn read<O: Operation>(self, run: Read<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let output = run(&self.dispatcher.cloud.state(), &self.request, input)?;
            self.would_succeed()?;
            Ok(done::<O>(output, self.request_id))
        })
    }

    fn mutate<O: Operation>(self, run: Mutate<O>) -> Running<'a> {
        let input = self.allowed::<O>();
        let (dry_run, request) = (self.dry_run(), self.request.clone());
        let request_id = self.request_id.to_owned();
        // The answer is written by the caller's task: the one writer has other things to do.
        Box::pin(async move {
            let input = input?;
            let mutation =
                self.dispatcher.cloud.mutate(dry_run, move |tx| run(tx, &request, input));
            let output = mutation.await?;
            self.would_succeed()?;
            if matches!(O::SERVICE.name, "iam" | "organizations") {
                // Whoever has the answer may rely on it with every service.
                self.dispatcher.links.settled().await;
            }
            Ok(done::<O>(output, &request_id))
        })
    }
}

impl<'a> iam::Issues for Call<'a> {
    fn issue<O: Operation>(self, run: Issue<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let mut effects = cloud::effects()?;
            let Dispatcher { sessions: key, codes, .. } = self.dispatcher;
            let mut issuer = Issuer { key, effects: &mut effects, codes };
            let output = run(&self.dispatcher.cloud.state(), &self.request, input, &mut issuer)?;
            Ok(done::<O>(output, self.request_id))
        })
    }

    fn vouch<O: Operation>(self, run: Vouch<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let inquiry = run(&self.dispatcher.cloud.state(), &self.request, input)?;
            let keys = self.dispatcher.issuers.keys(&inquiry.keys).await;
            let mut effects = cloud::effects()?;
            let Dispatcher { sessions: key, codes, .. } = self.dispatcher;
            let mut issuer = Issuer { key, effects: &mut effects, codes };
            let state = self.dispatcher.cloud.state();
            let keys = keys.as_deref().map_err(|why| *why);
            let output = (inquiry.finish)(&state, keys, &mut issuer)?;
            Ok(done::<O>(output, self.request_id))
        })
    }
}

impl<'a> ec2::Visitor for Call<'a> {
    fn mutate_in_part<O: Operation>(self, run: ec2::MutateInPart<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let request = self.request.clone();
            let mutation =
                self.dispatcher.cloud.mutate(self.dry_run(), move |tx| run(tx, &request, input));
            let output = mutation.await??;
            self.would_succeed()?;
            Ok(done::<O>(output, self.request_id))
        })
    }

    fn prepare<O: Operation>(self, run: ec2::Prepare<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let (state, mut effects) = (self.dispatcher.cloud.state(), cloud::effects()?);
            let request = self.request.clone();
            let computing =
                tokio::task::spawn_blocking(move || run(&state, &request, input, &mut effects));
            let mutation = computing.await.map_err(|error| cloud::internal(&error))??;
            let output = self.dispatcher.cloud.mutate(self.dry_run(), mutation).await?;
            self.would_succeed()?;
            Ok(done::<O>(output, self.request_id))
        })
    }

    fn ask<O: Operation>(self, run: ec2::AskHost<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let ask = run(&self.dispatcher.cloud.state(), &self.request, input)?;
            self.would_succeed()?;
            let answer = self.dispatcher.hosts.ask(&ask.host, ask.question).await;
            let output = (ask.finish)(answer)?;
            Ok(done::<O>(output, self.request_id))
        })
    }
}

impl<'a> audit::Visitor for Call<'a> {
    type Out = Running<'a>;

    fn search<O: Operation>(self, run: audit::Search<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let searching = run(&self.request, now(), input)?;
            let page = self.dispatcher.trail.search(searching.query).await;
            let page = page.map_err(|error| cloud::internal(&error))?;
            Ok(done::<O>((searching.finish)(page), self.request_id))
        })
    }
}

impl<'a> kms::Visitor for Call<'a> {
    fn compute<O: Operation>(self, run: Compute<O>) -> Running<'a> {
        Box::pin(async move {
            let input = self.allowed::<O>()?;
            let (state, mut effects) = (self.dispatcher.cloud.state(), cloud::effects()?);
            let (request, master) = (self.request.clone(), self.dispatcher.master.clone());
            let computing = tokio::task::spawn_blocking(move || {
                let mut work = Work { effects: &mut effects, master: &master };
                run(&state, &request, input, &mut work)
            });
            let output = match computing.await.map_err(|error| cloud::internal(&error))?? {
                Computed::Done(output) => output,
                Computed::Change(mutation) => self.dispatcher.cloud.mutate(false, mutation).await?,
            };
            Ok(done::<O>(output, self.request_id))
        })
    }
}

/// Makes the first account and its key, if the cloud is new; gives the key.
///
/// # Errors
/// The store failed.
pub async fn first_account(cloud: &Cloud) -> Result<AccessKey, Fault> {
    let made = cloud.mutate(false, |tx| {
        let account = AccountId::DEFAULT;
        Account::ensure(tx, account, "admin");
        Organization::ensure(tx, account);
        if let Some(key) = AccessKey::of_root(tx, account).next() {
            return Ok(key.clone());
        }
        Ok(AccessKey::create(tx, account))
    });
    made.await
}
