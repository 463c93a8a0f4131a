//! The rules of versioning, as pure functions: the versions there are and what is asked, to what
//! changes and what is answered.

use super::{
    LockMode, Versioning,
    version::{Etag, Lock, VersionKey},
};

/// A version, as far as the rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub key: VersionKey,
    pub null: bool,
    /// None for a delete marker.
    pub etag: Option<Etag>,
    pub lock: Lock,
}

/// Which ETags a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `*`
    Any,
    /// Without quotes.
    Etag(String),
}

impl Match {
    /// Whether an existing object's ETag is among them.
    #[must_use]
    pub fn holds(&self, etag: &Etag) -> bool {
        match self {
            Self::Any => true,
            Self::Etag(wanted) => *wanted == etag.to_string(),
        }
    }
}

/// Conditions of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub if_match: Option<Match>,
    pub if_none_match: Option<Match>,
}

/// Why a write is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `If-Match` on a key that isn't there.
    Missing,
    /// The named condition does not hold.
    Condition(&'static str),
    /// Retention or a legal hold.
    Locked,
}

/// What a write changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The new version or delete marker, and whether it is the null version.
    pub add: Option<(VersionKey, bool)>,
    pub remove: Option<VersionKey>,
}

/// The instant and the dice of a write.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now_ns: u64,
    pub random: [u8; 8],
}

impl Conditions {
    /// Whether a write on top of `current` (an object, not a delete marker) may go on.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, current: Option<&Etag>) -> Result<(), Refusal> {
        if let Some(wanted) = &self.if_match {
            let etag = current.ok_or(Refusal::Missing)?;
            if !wanted.holds(etag) {
                return Err(Refusal::Condition("If-Match"));
            }
        }
        match (&self.if_none_match, current) {
            (Some(unwanted), Some(etag)) if unwanted.holds(etag) => {
                Err(Refusal::Condition("If-None-Match"))
            }
            _ => Ok(()),
        }
    }
}

/// A PUT. `null` is the null version, looked for where versioning is not enabled.
///
/// # Errors
/// Why not.
pub fn put(
    versioning: Versioning,
    newest: Option<Seen>,
    null: Option<Seen>,
    conditions: &Conditions,
    moment: Moment,
) -> Result<Plan, Refusal> {
    conditions.check(newest.and_then(|seen| seen.etag).as_ref())?;
    add(versioning, newest, null, moment)
}

/// A DELETE that names no version.
///
/// # Errors
/// Why not.
pub fn delete(
    versioning: Versioning,
    newest: Option<Seen>,
    null: Option<Seen>,
    conditions: &Conditions,
    moment: Moment,
) -> Result<Plan, Refusal> {
    conditions.check(newest.and_then(|seen| seen.etag).as_ref())?;
    match versioning {
        Versioning::Off => {
            if let Some(seen) = null {
                unlocked(&seen.lock, moment.now_ns, false)?;
            }
            Ok(Plan { add: None, remove: null.map(|seen| seen.key) })
        }
        Versioning::Enabled | Versioning::Suspended => add(versioning, newest, null, moment),
    }
}

/// A DELETE of one version; none if it isn't there.
///
/// # Errors
/// Why not.
pub fn delete_version(
    version: Option<Seen>,
    conditions: &Conditions,
    bypass: bool,
    now_ns: u64,
) -> Result<Plan, Refusal> {
    conditions.check(version.and_then(|seen| seen.etag).as_ref())?;
    if let Some(seen) = version {
        unlocked(&seen.lock, now_ns, bypass)?;
    }
    Ok(Plan { add: None, remove: version.map(|seen| seen.key) })
}

fn add(
    versioning: Versioning,
    newest: Option<Seen>,
    null: Option<Seen>,
    moment: Moment,
) -> Result<Plan, Refusal> {
    let key = VersionKey::after(newest.map(|seen| seen.key), moment.now_ns, moment.random);
    match versioning {
        Versioning::Enabled => Ok(Plan { add: Some((key, false)), remove: None }),
        Versioning::Off | Versioning::Suspended => {
            if let Some(seen) = null {
                unlocked(&seen.lock, moment.now_ns, false)?;
            }
            Ok(Plan { add: Some((key, true)), remove: null.map(|seen| seen.key) })
        }
    }
}

/// Whether a version may be removed.
fn unlocked(lock: &Lock, now_ns: u64, bypass: bool) -> Result<(), Refusal> {
    if lock.legal_hold == Some(true) {
        return Err(Refusal::Locked);
    }
    match lock.retention {
        Some(retention) if retention.until_ms > now_ns / 1_000_000 => match retention.mode {
            LockMode::Governance if bypass => Ok(()),
            LockMode::Governance | LockMode::Compliance => Err(Refusal::Locked),
        },
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::version::Retention;

    const NOW: Moment = Moment { now_ns: 50_000_000, random: [9; 8] };

    fn key(order: u64) -> VersionKey {
        VersionKey::after(None, order, [0; 8])
    }

    fn etag(byte: u8) -> Etag {
        Etag { md5: [byte; 16], parts: None }
    }

    fn seen(order: u64, null: bool, object: bool) -> Option<Seen> {
        let etag = object.then_some(etag(1));
        Some(Seen { key: key(order), null, etag, lock: Lock::default() })
    }

    #[test]
    fn writes_add_and_replace_as_the_versioning_says() {
        use Versioning::{Enabled, Off, Suspended};
        let free = Conditions::default();
        let new = VersionKey::after(None, NOW.now_ns, NOW.random);
        type Row = (Versioning, Option<Seen>, Option<Seen>, Plan, Plan);
        let plan = |add, remove| Plan { add, remove };
        // versioning, newest, null -> of a put, of a delete
        let table: &[Row] = &[
            (Off, None, None, plan(Some((new, true)), None), plan(None, None)),
            (
                Off,
                seen(5, true, true),
                seen(5, true, true),
                plan(Some((new, true)), Some(key(5))),
                plan(None, Some(key(5))),
            ),
            (Enabled, None, None, plan(Some((new, false)), None), plan(Some((new, false)), None)),
            (
                Enabled,
                seen(5, true, true),
                None,
                plan(Some((new, false)), None),
                plan(Some((new, false)), None),
            ),
            (
                Suspended,
                seen(5, false, true),
                None,
                plan(Some((new, true)), None),
                plan(Some((new, true)), None),
            ),
            (
                Suspended,
                seen(7, false, true),
                seen(5, true, true),
                plan(Some((new, true)), Some(key(5))),
                plan(Some((new, true)), Some(key(5))),
            ),
            (
                Suspended,
                seen(5, true, false),
                seen(5, true, false),
                plan(Some((new, true)), Some(key(5))),
                plan(Some((new, true)), Some(key(5))),
            ),
        ];
        for (row, (versioning, newest, null, of_put, of_delete)) in table.iter().enumerate() {
            assert_eq!(put(*versioning, *newest, *null, &free, NOW), Ok(*of_put), "{row}");
            assert_eq!(delete(*versioning, *newest, *null, &free, NOW), Ok(*of_delete), "{row}");
        }
    }

    #[test]
    fn conditions_look_at_the_current_object() {
        let hex = |byte: u8| Match::Etag(hex::encode([byte; 16]));
        let cond = |if_match, if_none_match| Conditions { if_match, if_none_match };
        let failed = |name| Err(Refusal::Condition(name));
        let table = [
            (cond(None, None), None, Ok(())),
            (cond(Some(Match::Any), None), None, Err(Refusal::Missing)),
            (cond(Some(hex(1)), None), None, Err(Refusal::Missing)),
            (cond(Some(Match::Any), None), Some(1), Ok(())),
            (cond(Some(hex(1)), None), Some(1), Ok(())),
            (cond(Some(hex(2)), None), Some(1), failed("If-Match")),
            (cond(None, Some(Match::Any)), None, Ok(())),
            (cond(None, Some(Match::Any)), Some(1), failed("If-None-Match")),
            (cond(None, Some(hex(1))), Some(1), failed("If-None-Match")),
            (cond(None, Some(hex(2))), Some(1), Ok(())),
            (cond(Some(hex(1)), Some(hex(1))), Some(1), failed("If-None-Match")),
        ];
        for (row, (conditions, current, expected)) in table.into_iter().enumerate() {
            assert_eq!(conditions.check(current.map(etag).as_ref()), expected, "{row}");
        }
    }

    #[test]
    fn locks_hold() {
        use LockMode::{Compliance, Governance};
        let until = |mode, until_ms| Some(Retention { mode, until_ms });
        let table = [
            (None, None, false, true),
            (None, Some(true), true, false),
            (None, Some(false), false, true),
            (until(Governance, 51), None, false, false),
            (until(Governance, 51), None, true, true),
            (until(Governance, 51), Some(true), true, false),
            (until(Governance, 50), None, false, true),
            (until(Compliance, 51), None, true, false),
            (until(Compliance, 49), None, false, true),
        ];
        for (row, (retention, legal_hold, bypass, free)) in table.into_iter().enumerate() {
            let lock = Lock { retention, legal_hold };
            let version = Some(Seen { key: key(1), null: false, etag: Some(etag(1)), lock });
            let answer = delete_version(version, &Conditions::default(), bypass, NOW.now_ns);
            let expected = if free {
                Ok(Plan { add: None, remove: Some(key(1)) })
            } else {
                Err(Refusal::Locked)
            };
            assert_eq!(answer, expected, "{row}");
        }
    }
}
