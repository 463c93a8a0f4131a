//! Virtual MFA devices: secrets from which a person's device makes codes by the time (RFC 6238).

use crate::{
    Request, UniqueId, User, entity, errors,
    named::{ID_ALPHABET, random_text},
    page::{Asked, Page, page},
    tags as tagging,
};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use shapes::{
    Fault,
    iam::{
        AssignmentStatusType, CreateVirtualMFADeviceRequest, CreateVirtualMFADeviceResponse,
        DeactivateMFADeviceRequest, DeactivateMFADeviceResponse, DeleteVirtualMFADeviceRequest,
        DeleteVirtualMFADeviceResponse, EnableMFADeviceRequest, EnableMFADeviceResponse,
        ListMFADeviceTagsRequest, ListMFADeviceTagsResponse, ListMFADevicesRequest,
        ListMFADevicesResponse, ListVirtualMFADevicesRequest, ListVirtualMFADevicesResponse,
        MFADevice, TagMFADeviceRequest, TagMFADeviceResponse, UntagMFADeviceRequest,
        UntagMFADeviceResponse, VirtualMFADevice,
    },
};
use state::{Row, State, Tx};
use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};
use types::{AccountId, Scope, Tags, Timestamp};

/// How many devices a user may have.
const DEVICES_PER_USER: usize = 8;
/// How long a code is good, in seconds.
const STEP_S: i64 = 30;
/// How many steps a device's clock may be off.
const DRIFT_STEPS: i64 = 10;
/// The secret's length in characters of base 32: 320 bits.
const SEED_CHARACTERS: usize = 64;

/// A virtual MFA device.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MfaDevice {
    /// The owning account.
    pub account: AccountId,
    /// Begins and ends with a slash.
    pub path: String,
    /// Unique in the account.
    pub name: String,
    /// The secret in base 32.
    pub seed: String,
    /// Whose it is, once enabled.
    pub user: Option<UniqueId>,
    /// Since when.
    pub enabled: Option<Timestamp>,
    /// The step of time of the code that enabled it: a code is good once.
    #[serde(default)]
    pub used_step: Option<i64>,
    /// Its tags.
    pub tags: Tags,
}

impl std::fmt::Debug for MfaDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A log must not hold a secret.
        f.debug_struct("MfaDevice")
            .field("serial", &self.serial())
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Row for MfaDevice {
    const TABLE: &'static str = "iam-mfa-device";
    const SEALED: bool = true;
    /// The serial number: its ARN.
    type Key = String;
    fn key(&self) -> String {
        self.serial()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.account);
        if let Some(user) = &self.user {
            add("user", user);
        }
    }
}

impl MfaDevice {
    /// `arn:aws:iam::ACCOUNT:mfa/PATH/NAME`.
    #[must_use]
    pub fn serial(&self) -> String {
        format!("arn:aws:iam::{}:mfa{}{}", self.account, self.path, self.name)
    }

    /// The step of the second of two codes that are of this device, one after the other, and of about
    /// this time.
    fn makes(&self, one: &str, two: &str, now: Timestamp) -> Option<i64> {
        let step = step_of(now);
        let secret = secret(&self.seed);
        let code = |step| u64::try_from(step).ok().and_then(|step| code(&secret, step));
        let first = (step - DRIFT_STEPS..=step + 1).find(|step| {
            code(*step).as_deref() == Some(one) && code(step + 1).as_deref() == Some(two)
        });
        first.map(|step| step + 1)
    }

    /// The step of a code that is of this device, of about this time, and later than what enabled it.
    pub(crate) fn shows(&self, given: &str, now: Timestamp) -> Option<i64> {
        let step = step_of(now);
        let secret = secret(&self.seed);
        let code = |step| u64::try_from(step).ok().and_then(|step| code(&secret, step));
        let shown = (step - 1..=step + 1).find(|step| code(*step).as_deref() == Some(given))?;
        self.used_step.is_none_or(|used| shown > used).then_some(shown)
    }

    fn to_api(&self, state: &State) -> VirtualMFADevice {
        let user = self.user.as_ref().and_then(|id| state.get::<User>(id));
        VirtualMFADevice {
            serial_number: Some(self.serial()),
            user: user.map(|user| user.to_api()),
            enable_date: self.enabled,
            ..VirtualMFADevice::default()
        }
    }
}

/// The number of a time's step since the epoch.
fn step_of(now: Timestamp) -> i64 {
    now.millis().div_euclid(1000 * STEP_S)
}

/// The codes that were shown, of each device the last: none is good twice.
///
/// They are kept in memory: a code is good for a minute and a half, and only a restart within that
/// time forgets it.
#[derive(Debug, Default)]
pub struct UsedCodes(Mutex<BTreeMap<String, i64>>);

impl UsedCodes {
    /// Takes a device's code of a step, unless it or a later one was shown.
    pub(crate) fn take(&self, serial: &str, shown: i64, now: Timestamp) -> bool {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is too old to be shown again need not be known: there are no more than devices in use.
        used.retain(|_, step| *step >= step_of(now) - 1);
        if used.get(serial).is_some_and(|last| *last >= shown) {
            return false;
        }
        used.insert(serial.to_owned(), shown);
        true
    }
}

/// The bytes of a text in base 32.
fn secret(seed: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in seed.bytes() {
        let value = ID_ALPHABET.iter().position(|known| *known == digit).unwrap_or_default();
        bits = (bits << 5) | u32::try_from(value).unwrap_or_default();
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 255).unwrap_or_default());
        }
    }
    bytes
}

/// The code of six digits of a step of time.
fn code(secret: &[u8], step: u64) -> Option<String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
    mac.update(&step.to_be_bytes());
    let sum = mac.finalize().into_bytes();
    let at = usize::from(sum.last()? & 15);
    let part: [u8; 4] = sum.get(at..at + 4)?.try_into().ok()?;
    let number = u32::from_be_bytes(part) & 0x7fff_ffff;
    Some(format!("{:06}", number % 1_000_000))
}

fn take(state: &State, request: &Request, serial: Option<String>) -> Result<MfaDevice, Fault> {
    let serial = serial.unwrap_or_default();
    let device = state.get::<MfaDevice>(&serial);
    let device = device.filter(|device| device.account == request.caller.account);
    device.map(|device| MfaDevice::clone(device)).ok_or_else(|| errors::mfa_not_found(serial))
}

/// Makes a device. Its secret is in this answer only.
///
/// # Errors
/// There is one of this path and name, or tags are invalid.
pub fn create_virtual_mfa_device(
    tx: &mut Tx,
    request: &Request,
    input: CreateVirtualMFADeviceRequest,
) -> Result<CreateVirtualMFADeviceResponse, Fault> {
    let CreateVirtualMFADeviceRequest { path, virtual_mfa_device_name, tags } = input;
    let device = MfaDevice {
        account: request.caller.account,
        path: path.unwrap_or_else(|| "/".to_owned()),
        name: virtual_mfa_device_name.unwrap_or_default(),
        seed: random_text(tx, ID_ALPHABET, SEED_CHARACTERS),
        user: None,
        enabled: None,
        used_step: None,
        tags: tagging::new(tags)?,
    };
    if tx.get::<MfaDevice>(&device.serial()).is_some() {
        return Err(errors::already("MFADevice entity at the same path and name already exists."));
    }
    let answer = VirtualMFADevice {
        base32_string_seed: Some(device.seed.clone().into_bytes()),
        tags: tagging::to_api(&device.tags),
        ..device.to_api(tx)
    };
    tx.put(device);
    Ok(CreateVirtualMFADeviceResponse { virtual_mfa_device: Some(answer) })
}

/// Takes a device from its user.
///
/// # Errors
/// The user or the device doesn't exist, or it isn't the user's.
pub fn deactivate_mfa_device(
    tx: &mut Tx,
    request: &Request,
    input: DeactivateMFADeviceRequest,
) -> Result<DeactivateMFADeviceResponse, Fault> {
    let DeactivateMFADeviceRequest { user_name, serial_number } = input;
    let user = entity::user_of(tx, request, user_name.as_deref())?.named.id.clone();
    let serial = serial_number.clone().unwrap_or_default();
    let device = take(tx, request, serial_number)?;
    if device.user != Some(user) {
        return Err(errors::mfa_not_found(serial));
    }
    tx.put(MfaDevice { user: None, enabled: None, ..device });
    Ok(DeactivateMFADeviceResponse {})
}

/// Deletes a device that is nobody's.
///
/// # Errors
/// There is no such device, or it is enabled.
pub fn delete_virtual_mfa_device(
    tx: &mut Tx,
    request: &Request,
    input: DeleteVirtualMFADeviceRequest,
) -> Result<DeleteVirtualMFADeviceResponse, Fault> {
    let DeleteVirtualMFADeviceRequest { serial_number } = input;
    let device = take(tx, request, serial_number)?;
    if device.user.is_some() {
        return Err(errors::delete_conflict("must deactivate the MFA device first."));
    }
    tx.delete::<MfaDevice>(&device.serial());
    Ok(DeleteVirtualMFADeviceResponse {})
}

/// Gives a device to a user who has it at hand: two of its codes, one after the other, say so.
///
/// # Errors
/// The user or the device doesn't exist, the device is in use, or the codes aren't its.
pub fn enable_mfa_device(
    tx: &mut Tx,
    request: &Request,
    input: EnableMFADeviceRequest,
) -> Result<EnableMFADeviceResponse, Fault> {
    let EnableMFADeviceRequest {
        user_name,
        serial_number,
        authentication_code1,
        authentication_code2,
    } = input;
    let user = entity::find::<User>(tx, request.caller.account, user_name.as_deref())?;
    let user = user.named.id.clone();
    let device = take(tx, request, serial_number)?;
    if device.user.is_some() {
        let serial = device.serial();
        return Err(errors::already(format!("MFA Device {serial} is already in use.")));
    }
    if tx.find::<MfaDevice>("user", &user).count() >= DEVICES_PER_USER {
        return Err(errors::quota("MFADevicesPerUser", DEVICES_PER_USER));
    }
    let one = authentication_code1.unwrap_or_default();
    let two = authentication_code2.unwrap_or_default();
    let Some(step) = device.makes(&one, &two, tx.now()) else {
        return Err(errors::wrong_code());
    };
    let enabled = Some(tx.now());
    tx.put(MfaDevice { user: Some(user), enabled, used_step: Some(step), ..device });
    Ok(EnableMFADeviceResponse {})
}

/// The devices of the named user, else the caller.
///
/// # Errors
/// There is no such user, or the page is invalid.
pub fn list_mfa_devices(
    state: &State,
    request: &Request,
    input: ListMFADevicesRequest,
) -> Result<ListMFADevicesResponse, Fault> {
    let ListMFADevicesRequest { user_name, marker, max_items } = input;
    let user = entity::user_or_caller(state, request, user_name.as_deref())?;
    let devices = user.map(|user| state.find::<MfaDevice>("user", &user.named.id));
    let devices = devices.into_iter().flatten();
    let Page { items, is_truncated, marker } =
        page(devices, |device| device.serial(), Asked { marker, max_items })?;
    let devices = items.into_iter().map(|device| MFADevice {
        user_name: user.map(|user| user.named.name.clone()),
        serial_number: Some(device.serial()),
        enable_date: device.enabled,
    });
    Ok(ListMFADevicesResponse {
        mfa_devices: Some(devices.collect()),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The account's devices, without their secrets.
///
/// # Errors
/// The page is invalid.
pub fn list_virtual_mfa_devices(
    state: &State,
    request: &Request,
    input: ListVirtualMFADevicesRequest,
) -> Result<ListVirtualMFADevicesResponse, Fault> {
    let ListVirtualMFADevicesRequest { assignment_status, marker, max_items } = input;
    let devices = state.find::<MfaDevice>("account", request.caller.account);
    let devices = devices.filter(|device| match assignment_status {
        Some(AssignmentStatusType::Assigned) => device.user.is_some(),
        Some(AssignmentStatusType::Unassigned) => device.user.is_none(),
        Some(AssignmentStatusType::Any) | None => true,
    });
    let Page { items, is_truncated, marker } =
        page(devices, |device| device.serial(), Asked { marker, max_items })?;
    Ok(ListVirtualMFADevicesResponse {
        virtual_mfa_devices: Some(items.into_iter().map(|device| device.to_api(state)).collect()),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// A page of a device's tags.
///
/// # Errors
/// There is no such device, or the page is invalid.
pub fn list_mfa_device_tags(
    state: &State,
    request: &Request,
    input: ListMFADeviceTagsRequest,
) -> Result<ListMFADeviceTagsResponse, Fault> {
    let ListMFADeviceTagsRequest { serial_number, marker, max_items } = input;
    let device = take(state, request, serial_number)?;
    let Page { items, is_truncated, marker } =
        tagging::list(&device.tags, Asked { marker, max_items })?;
    Ok(ListMFADeviceTagsResponse { tags: Some(items), is_truncated: Some(is_truncated), marker })
}

/// Adds tags to a device, in place of those with the same keys.
///
/// # Errors
/// There is no such device, or tags are invalid.
pub fn tag_mfa_device(
    tx: &mut Tx,
    request: &Request,
    input: TagMFADeviceRequest,
) -> Result<TagMFADeviceResponse, Fault> {
    let TagMFADeviceRequest { serial_number, tags } = input;
    let mut device = take(tx, request, serial_number)?;
    tagging::add(&mut device.tags, tags)?;
    tx.put(device);
    Ok(TagMFADeviceResponse {})
}

/// Removes tags of a device.
///
/// # Errors
/// There is no such device.
pub fn untag_mfa_device(
    tx: &mut Tx,
    request: &Request,
    input: UntagMFADeviceRequest,
) -> Result<UntagMFADeviceResponse, Fault> {
    let UntagMFADeviceRequest { serial_number, tag_keys } = input;
    let mut device = take(tx, request, serial_number)?;
    tagging::remove(&mut device.tags, tag_keys);
    tx.put(device);
    Ok(UntagMFADeviceResponse {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, the last six digits.
        let secret = b"12345678901234567890";
        assert_eq!(code(secret, 59 / 30).as_deref(), Some("287082"));
        assert_eq!(code(secret, 1_111_111_109 / 30).as_deref(), Some("081804"));
        assert_eq!(super::secret("MZXW6YTBOI"), b"foobar");
    }

    #[test]
    fn two_codes_must_follow_each_other() {
        let device = MfaDevice {
            account: AccountId::DEFAULT,
            path: "/".into(),
            name: "phone".into(),
            seed: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".into(),
            user: None,
            enabled: None,
            used_step: None,
            tags: Tags::new(),
        };
        let at = |step: u64| code(b"12345678901234567890", step).unwrap();
        let now = Timestamp::from_millis(50 * 30_000);
        assert_eq!(device.makes(&at(49), &at(50), now), Some(50));
        assert_eq!(device.makes(&at(50), &at(51), now), Some(51));
        assert_eq!(device.makes(&at(50), &at(49), now), None);
        assert_eq!(device.makes(&at(50), &at(50), now), None);
        assert_eq!(device.makes(&at(30), &at(31), now), None);
        // What enabled it, or came before, shows nothing any more.
        let enabled = MfaDevice { used_step: Some(50), ..device };
        assert_eq!(enabled.shows(&at(50), now), None);
        assert_eq!(enabled.shows(&at(49), now), None);
        assert_eq!(enabled.shows(&at(51), now), Some(51));
    }

    #[test]
    fn a_code_is_good_once() {
        let codes = UsedCodes::default();
        let now = Timestamp::from_millis(50 * 30_000);
        assert!(codes.take("a", 50, now));
        assert!(!codes.take("a", 50, now));
        assert!(!codes.take("a", 49, now));
        assert!(codes.take("b", 49, now));
        assert!(codes.take("a", 51, now));
        let later = Timestamp::from_millis(60 * 30_000);
        assert!(codes.take("c", 60, later));
        assert_eq!(codes.0.lock().unwrap().len(), 1);
    }
}
