//! What is recorded of a call: for the audit log, once it is answered.

use crate::{
    cloud::now,
    dispatch::Dispatcher,
    trail::{Answered, Parameters, Refusal},
};
use audit::{Identity, Output};
use iam::{Circumstances, Request};
use protocol::{Answer, Payload, sigv4::Claim};
use shapes::{Fault, Operation, Service, Structure};

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
    let shown = audit::keeps_answer(O::SERVICE.name, O::NAME).then(|| Output {
        schema: <O::Output as Structure>::SCHEMA,
        members: Box::new(output),
    });
    Done { answer, output: shown }
}

impl Dispatcher {
    /// Records a call that was answered. What AWS's model doesn't know is no call.
    pub(crate) async fn note(
        &self,
        came: Came,
        (request, access_key_id): (Request, String),
        payload: Payload<'_>,
        result: Result<Done, Fault>,
    ) -> Result<Answer, Fault> {
        let Some(operation) = payload.action().filter(|name| came.service.knows(name)) else {
            return result.map(|done| done.answer);
        };
        let operation = operation.to_owned();
        let (result, output, fault) = match result {
            Ok(Done { answer, output }) => (Ok(answer), output, None),
            Err(fault) => (Err(fault.clone()), None, Some(fault)),
        };
        let (parameters, asked_bytes) = match payload {
            Payload::Form(form) => {
                let bytes = form.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
                (Parameters::Form(form), bytes)
            }
            Payload::Json { target, body } => {
                (Parameters::Json(target.to_owned(), body.to_vec()), body.len())
            }
        };
        let answered_bytes = match (&output, &result) {
            (Some(_), Ok(answer)) => answer.body.len(),
            (None, _) | (_, Err(_)) => 0,
        };
        let answered = Answered {
            identity: Identity::of(&self.cloud.state(), request.caller, access_key_id),
            service: came.service,
            operation,
            region: request.scope.region,
            parameters,
            output,
            fault,
            host: came.host,
            request_id: came.request_id,
            at: now(),
            size_bytes: asked_bytes + answered_bytes,
        };
        self.trail.note(answered).await;
        result
    }

    /// Records a request that was refused before it was anybody's.
    pub(crate) fn refuse(
        &self,
        came: Came,
        claim: Option<Claim>,
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
            access_key_id: claim.map(|claim| claim.access_key_id),
            code: fault.code.to_string(),
            request_id: came.request_id,
        });
    }
}
