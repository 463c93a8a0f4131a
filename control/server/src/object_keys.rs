//! Data keys for the object store, which KMS makes and opens on behalf of the store's callers.

use crate::{
    cloud::{self, now},
    dispatch::Dispatcher,
};
use anyhow::Context as _;
use contracts::keys::{Answer, Ask, Line, MAX_LINE, Plaintext, Want};
use iam::{Caller, Circumstances, Request};
use kms::{Service, Work};
use shapes::Fault;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::Semaphore,
};
use types::{AccountId, Region, Scope};

/// The most connections at a time; others wait to be taken.
const MAX_CONNECTIONS: usize = 128;

/// Serves the object store's questions about keys, for ever.
///
/// # Errors
/// The socket can't be made.
pub async fn serve(path: &Path, dispatcher: Arc<Dispatcher>) -> anyhow::Result<()> {
    let listener = relay::listen(path).with_context(|| format!("listen on {}", path.display()))?;
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = room.clone().acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("a link of the object store's keys was lost: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let dispatcher = dispatcher.clone();
        tokio::spawn(async move {
            if let Err(error) = answer_all(&dispatcher, stream).await {
                log::warn!("a link of the object store's keys ended: {error:#}");
            }
            drop(place);
        });
    }
}

async fn answer_all(dispatcher: &Arc<Dispatcher>, stream: UnixStream) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut read).take(MAX_LINE).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(());
        }
        let ask = serde_json::from_slice(&line).context("read what the object store asks")?;
        let answer = answer(dispatcher, ask).await.unwrap_or_else(|fault| Answer::Refused {
            ours: fault.status >= 500,
            code: fault.code.into_owned(),
            message: fault.message,
        });
        write.write_all(&Line::of(&answer)?.0).await?;
    }
}

/// Who asks. The object store has verified the signature; the key may be gone since.
fn caller(dispatcher: &Dispatcher, ask: &Ask) -> Result<Caller, Fault> {
    let (id, token) = (&ask.access_key_id, ask.session_token.as_deref());
    let caller = if dispatcher.trust_any_key && token.is_none() {
        Caller::root(id.parse().unwrap_or(AccountId::DEFAULT))
    } else {
        let gone = |_| {
            let text = "The security token included in the request is invalid.";
            Fault::sender("AccessDeniedException", text)
        };
        dispatcher.signer(id, token).map_err(gone)?.0
    };
    Ok(caller.coming(Circumstances {
        source_ip: ask.source_ip,
        user_agent: ask.user_agent.clone(),
        secure: ask.secure,
        // A call that a service makes comes from no VPC.
        vpc: None,
        at: now(),
    }))
}

async fn answer(dispatcher: &Arc<Dispatcher>, ask: Ask) -> Result<Answer, Fault> {
    let caller = caller(dispatcher, &ask)?;
    let region = ask.region.parse::<Region>();
    let region = region.map_err(|error| cloud::internal(&format_args!("{error:?}")))?;
    let request = Request { scope: Scope { account: caller.account, region }, caller };
    if let Want::Generate { key_id } = &ask.want {
        provide(dispatcher, &request, key_id.as_deref()).await?;
    }
    let (state, master) = (dispatcher.cloud.state(), dispatcher.master.clone());
    let mut effects = cloud::effects()?;
    let computing = tokio::task::spawn_blocking(move || {
        let mut work = Work { effects: &mut effects, master: &master };
        let context = &ask.context;
        match &ask.want {
            Want::Generate { key_id } => {
                let key_id = key_id.as_deref();
                kms::generate_data_key(&state, &request, Service::S3, key_id, context, &mut work)
                    .and_then(|made| {
                        let plaintext = plaintext(&made.plaintext)?;
                        let kms::DataKey { ciphertext, key_arn, .. } = made;
                        Ok(Answer::Made { plaintext, ciphertext, key_arn })
                    })
            }
            Want::Open { ciphertext } => {
                kms::decrypt(&state, &request, Service::S3, ciphertext, context, &mut work)
                    .and_then(|opened| Ok(Answer::Opened { plaintext: plaintext(&opened)? }))
            }
        }
    });
    computing.await.map_err(|error| cloud::internal(&error))?
}

fn plaintext(bytes: &[u8]) -> Result<Plaintext, Fault> {
    let key = bytes.try_into().map_err(|_| cloud::internal(&"a data key of another length"))?;
    Ok(Plaintext(key))
}

/// Makes the account's own key for S3 where that is what is asked for, and isn't there yet.
async fn provide(
    dispatcher: &Dispatcher,
    request: &Request,
    key_id: Option<&str>,
) -> Result<(), Fault> {
    let alias = Service::S3.alias();
    let Scope { account, region } = &request.scope;
    let is_own = |id: &str| id == alias || id == format!("arn:aws:kms:{region}:{account}:{alias}");
    if key_id.is_some_and(|id| !is_own(id)) {
        return Ok(());
    }
    let (state, master) = (dispatcher.cloud.state(), dispatcher.master.clone());
    let mut effects = cloud::effects()?;
    let mut work = Work { effects: &mut effects, master: &master };
    let Some(made) = kms::provide(&state, &request.scope, Service::S3, &mut work)? else {
        return Ok(());
    };
    let put = dispatcher.cloud.mutate(false, move |tx| {
        made.put(tx);
        Ok(())
    });
    put.await
}

#[cfg(test)]
mod tests;
