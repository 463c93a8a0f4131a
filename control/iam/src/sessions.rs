//! Callers who sign with temporary credentials.

use crate::{Account, ActiveSession, Caller, Principal, UniqueId, roles::Role, users::User};
use session::{Session, Subject};
use state::State;
use std::sync::Arc;

/// Who acts in a session; none if its user or role is gone or its account closed, which ends the session.
#[must_use]
pub fn caller_of(state: &State, session: Session) -> Option<Caller> {
    let account = session.account;
    if !Account::is_open(state, account) {
        return None;
    }
    let user = |id: &str| state.get::<User>(&UniqueId::from_text(id));
    let (principal, arn, user_id) = match &session.subject {
        Subject::Root => {
            let root = Caller::root(account);
            (root.principal, root.arn, root.user_id)
        }
        Subject::User { id } => {
            (Principal::User(UniqueId::from_text(id)), user(id)?.arn(), id.clone())
        }
        Subject::Role { id, .. } => {
            let id = UniqueId::from_text(id);
            state.get::<Role>(&id)?;
            (Principal::Role(id), session.arn()?, session.user_id()?)
        }
        Subject::Federated { user: None, .. } => {
            (Principal::Root(account), session.arn()?, session.user_id()?)
        }
        Subject::Federated { user: Some(id), .. } => {
            user(id)?;
            let principal = Principal::User(UniqueId::from_text(id));
            (principal, session.arn()?, session.user_id()?)
        }
    };
    let session = Some(Arc::new(ActiveSession::from(session)));
    Some(Caller { session, ..Caller::lasting(account, arn, user_id, principal) })
}
