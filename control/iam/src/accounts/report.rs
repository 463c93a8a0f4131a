//! The credential report: which credentials each user has, and how old they are.

use crate::{
    AccessKey, Account, Request, User,
    credentials::{LoginProfile, MfaDevice, SigningCertificate},
    errors,
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        GenerateCredentialReportRequest, GenerateCredentialReportResponse,
        GetCredentialReportRequest, GetCredentialReportResponse, ReportFormatType, ReportStateType,
    },
};
use state::{Row, State, Tx};
use std::fmt::{Display, Write as _};
use types::{AccountId, Scope, Timestamp};

/// How long a report is good, and is not made again: four hours.
const AGE_MS: i64 = 4 * 60 * 60 * 1000;

const HEADER: &str = "user,arn,user_creation_time,password_enabled,password_last_used,\
    password_last_changed,password_next_rotation,mfa_active,access_key_1_active,\
    access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
    access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
    access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
    cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";

/// An account's last report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CredentialReport {
    /// The account.
    pub account: AccountId,
    /// When it was made.
    pub made: Timestamp,
    /// Comma-separated values.
    pub content: String,
}

impl Row for CredentialReport {
    const TABLE: &'static str = "iam-credential-report";
    type Key = AccountId;
    fn key(&self) -> AccountId {
        self.account
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, _: &mut dyn FnMut(&'static str, &dyn Display)) {}
}

/// Makes the report, unless the last one is young.
///
/// # Errors
/// None.
pub fn generate_credential_report(
    tx: &mut Tx,
    request: &Request,
    input: GenerateCredentialReportRequest,
) -> Result<GenerateCredentialReportResponse, Fault> {
    let GenerateCredentialReportRequest {} = input;
    let (account, now) = (request.caller.account, tx.now());
    let last = tx.get::<CredentialReport>(&account);
    if last.is_none_or(|last| now.millis() - last.made.millis() >= AGE_MS) {
        let content = write(tx, account);
        tx.put(CredentialReport { account, made: now, content });
    }
    Ok(GenerateCredentialReportResponse {
        state: Some(ReportStateType::Complete),
        description: None,
    })
}

/// The report.
///
/// # Errors
/// None was made.
pub fn get_credential_report(
    state: &State,
    request: &Request,
    input: GetCredentialReportRequest,
) -> Result<GetCredentialReportResponse, Fault> {
    let GetCredentialReportRequest {} = input;
    let report = state.get::<CredentialReport>(&request.caller.account);
    let report = report.ok_or_else(errors::report_missing)?;
    Ok(GetCredentialReportResponse {
        content: Some(report.content.clone().into_bytes()),
        report_format: Some(ReportFormatType::TextCsv),
        generated_time: Some(report.made),
    })
}

fn write(state: &State, account: AccountId) -> String {
    let mut text = HEADER.to_owned();
    let made = state.get::<Account>(&account).map(|account| account.created).unwrap_or_default();
    let keys = AccessKey::of_root(state, account).collect::<Vec<_>>();
    let arn = format!("arn:aws:iam::{account}:root");
    let beginning = format!("<root_account>,{arn},{},not_supported", time(made));
    let password = "no_information,not_supported,not_supported,false";
    let _ = write!(text, "\n{beginning},{password}{}{}", of_keys(&keys), NO_CERTIFICATES);
    let mut users = state.find::<User>("account", account).collect::<Vec<_>>();
    users.sort_by_key(|user| crate::entity::by_name(&user.named));
    for user in users {
        let id = &user.named.id;
        let keys = state.find::<AccessKey>("user", id).map(AsRef::as_ref).collect::<Vec<_>>();
        let mfa = state.find::<MfaDevice>("user", id).next().is_some();
        let beginning = format!("{},{},{}", user.named.name, user.arn(), time(user.named.created));
        let password = match state.get::<LoginProfile>(id) {
            Some(profile) => {
                let used = user.password_last_used.map_or("no_information".to_owned(), time);
                format!("true,{used},{},N/A", time(profile.changed))
            }
            None => "false,N/A,N/A,N/A".to_owned(),
        };
        let certificates = certificates(state, user);
        let keys = of_keys(&keys);
        let _ = write!(text, "\n{beginning},{password},{mfa}{keys}{certificates}");
    }
    text
}

const NO_CERTIFICATES: &str = ",false,N/A,false,N/A";

fn of_keys(keys: &[&AccessKey]) -> String {
    let mut text = String::new();
    for at in 0..2 {
        let Some(key) = keys.get(at) else {
            text.push_str(",false,N/A,N/A,N/A,N/A");
            continue;
        };
        let used = match &key.last_used {
            Some(used) => format!("{},{},{}", time(used.at), used.region, used.service),
            None => "N/A,N/A,N/A".to_owned(),
        };
        let _ = write!(text, ",{},{},{used}", !key.inactive, time(key.created));
    }
    text
}

fn certificates(state: &State, user: &User) -> String {
    let mut found = state.find::<SigningCertificate>("user", &user.named.id);
    let mut text = String::new();
    for _ in 0..2 {
        let _ = match found.next() {
            Some(row) => write!(text, ",{},{}", !row.inactive, time(row.uploaded)),
            None => write!(text, ",false,N/A"),
        };
    }
    text
}

/// A time as reports write it: to the second, with its offset.
fn time(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}+00:00", text.split('.').next().unwrap_or_default())
}
