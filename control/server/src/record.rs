//! What is recorded of a call: for the audit log, once it is answered.

use crate::{
    cloud::now,
    dispatch::Dispatcher,
    trail::{Answered, Parameters, Refusal},
};
use audit::{Identity, Output};
use iam::{Circumstances, Request};
use protocol::{Answer, Payload};
use shapes::{Fault, Operation, Service, Structure};
use types::Region;

/// A call as it came.
pub struct Came {
    pub service: &'static Service,
    pub circumstances: Circumstances,
    /// The host that the client asked for.
    pub host: Option<String>,
    pub request_id: String,
}

/// A call that was done: its answer, and what of it the audit log shows.
#[derive(Debug)]
pub struct Done {
    pub answer: Answer,
    pub output: Option<Output>,
}

/// The answer of a call that was done.
pub fn done<O: Operation>(output: O::Output, request_id: &str) -> Done {
    let answer = protocol::encode::<O>(&output, request_id);
    let shown = audit::keeps_answer(O::SERVICE.name, O::NAME)
        .then(|| Output { schema: <O::Output as Structure>::SCHEMA, members: Box::new(output) });
    Done { answer, output: shown }
}

/// A call that is being answered, and will be recorded: also if its client goes away before, since
/// what it asked is done nevertheless.
pub struct Noting<'a> {
    dispatcher: &'a Dispatcher,
    came: Came,
    identity: Identity,
    region: Region,
    /// None once the call is recorded.
    payload: Option<Payload<'a>>,
}

impl<'a> Noting<'a> {
    pub fn new(
        dispatcher: &'a Dispatcher,
        came: Came,
        (request, key): (&Request, Option<&str>),
        payload: Payload<'a>,
    ) -> Self {
        let state = dispatcher.cloud.state();
        let key = key.map(str::to_owned);
        let identity = Identity::of(&state, request.caller.clone(), key);
        let region = request.scope.region.clone();
        Self { dispatcher, came, identity, region, payload: Some(payload) }
    }

    pub fn came(&self) -> &Came {
        &self.came
    }

    /// What the call carries.
    pub fn payload(&self) -> Option<&Payload<'a>> {
        self.payload.as_ref()
    }

    /// Records the call with what came of it.
    pub async fn end(mut self, result: Result<Done, Fault>) -> Result<Answer, Fault> {
        let (result, output, fault) = match result {
            Ok(Done { answer, output }) => (Ok(answer), output, None),
            Err(fault) => (Err(fault.clone()), None, Some(fault)),
        };
        let shown_bytes = match (&output, &result) {
            (Some(_), Ok(answer)) => answer.body.len(),
            (None, _) | (_, Err(_)) => 0,
        };
        if let Some(mut answered) = self.answered() {
            answered.size_bytes += shown_bytes;
            (answered.output, answered.fault, answered.was_sent) = (output, fault, true);
            self.dispatcher.trail.note(answered).await;
        }
        result
    }

    /// The call as it is to be recorded, once. What AWS's model doesn't know is no call.
    fn answered(&mut self) -> Option<Answered> {
        let payload = self.payload.take()?;
        let operation = payload.action().filter(|name| self.came.service.knows(name))?.to_owned();
        let (parameters, size_bytes) = match payload {
            Payload::Form(form) => {
                let bytes = form.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
                (Parameters::Form(form), bytes)
            }
            Payload::Json { target, body } => {
                (Parameters::Json(target.to_owned(), body.to_vec()), body.len())
            }
        };
        Some(Answered {
            identity: self.identity.clone(),
            service: self.came.service,
            operation,
            region: self.region.clone(),
            parameters,
            output: None,
            fault: None,
            was_sent: false,
            host: self.came.host.clone(),
            request_id: self.came.request_id.clone(),
            at: now(),
            size_bytes,
        })
    }
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        if let Some(answered) = self.answered() {
            self.dispatcher.trail.note_now(answered);
        }
    }
}

impl Dispatcher {
    /// Records a request that was refused before it was anybody's.
    pub(crate) fn refuse(
        &self,
        came: Came,
        key: Option<&str>,
        payload: &Payload<'_>,
        fault: &Fault,
    ) {
        let Circumstances { source_ip, user_agent, at, .. } = came.circumstances;
        self.trail.refuse(Refusal {
            at,
            address: source_ip.map(|ip| ip.to_canonical().to_string()).unwrap_or_default(),
            user_agent,
            service: Some(came.service.name),
            operation: payload.action().map(str::to_owned),
            access_key_id: key.map(str::to_owned),
            code: fault.code.to_string(),
            request_id: came.request_id,
        });
    }
}
