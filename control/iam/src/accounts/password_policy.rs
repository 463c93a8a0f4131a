//! What users' passwords must be like.

use crate::{Account, Request, accounts, errors};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        DeleteAccountPasswordPolicyRequest, DeleteAccountPasswordPolicyResponse,
        GetAccountPasswordPolicyRequest, GetAccountPasswordPolicyResponse, PasswordPolicy,
        UpdateAccountPasswordPolicyRequest, UpdateAccountPasswordPolicyResponse,
    },
};
use state::{State, Tx};

/// The signs that count as symbols.
const SYMBOLS: &str = "!@#$%^&*()_+-=[]{}|'";

/// What passwords must be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRules {
    /// How long they are at least.
    pub min_length: i32,
    /// Whether they need a symbol.
    pub symbols: bool,
    /// Whether they need a digit.
    pub numbers: bool,
    /// Whether they need a capital letter.
    pub uppercase: bool,
    /// Whether they need a small letter.
    pub lowercase: bool,
    /// Whether users may change theirs.
    pub users_may_change: bool,
    /// After how many days they expire; none = never.
    pub max_age_days: Option<i32>,
    /// How many earlier ones are refused.
    pub reuse_prevention: Option<i32>,
    /// Whether one that expired can't be changed by its user.
    pub hard_expiry: Option<bool>,
}

impl PasswordRules {
    /// Checks a password.
    ///
    /// # Errors
    /// `PasswordPolicyViolation`, which says what is missing.
    pub(crate) fn check(rules: Option<&Self>, password: &str) -> Result<(), Fault> {
        let has = |class: fn(char) -> bool| password.chars().any(class);
        let kinds = [
            (has(|c| c.is_ascii_uppercase()), "one uppercase letter"),
            (has(|c| c.is_ascii_lowercase()), "one lowercase letter"),
            (has(|c| c.is_ascii_digit()), "one number"),
            (has(|c| SYMBOLS.contains(c)), "one symbol"),
        ];
        let least = rules.map_or(8, |rules| rules.min_length);
        if i32::try_from(password.chars().count()).unwrap_or(i32::MAX) < least {
            let message = format!("Password should have a minimum length of {least}");
            return Err(errors::password_policy(message));
        }
        let Some(rules) = rules else {
            // AWS's default: three of the four kinds.
            if kinds.iter().filter(|(has, _)| *has).count() < 3 {
                return Err(errors::password_policy(
                    "Password should have at least three of: uppercase letters, lowercase \
                     letters, numbers, symbols",
                ));
            }
            return Ok(());
        };
        let needed = [rules.uppercase, rules.lowercase, rules.numbers, rules.symbols];
        for (needed, (has, what)) in needed.into_iter().zip(kinds) {
            if needed && !has {
                let message = format!("Password should have at least {what}");
                return Err(errors::password_policy(message));
            }
        }
        Ok(())
    }
}

/// Takes the account's rules away: AWS's default holds again.
///
/// # Errors
/// There are none.
pub fn delete_account_password_policy(
    tx: &mut Tx,
    request: &Request,
    input: DeleteAccountPasswordPolicyRequest,
) -> Result<DeleteAccountPasswordPolicyResponse, Fault> {
    let DeleteAccountPasswordPolicyRequest {} = input;
    let mut account = accounts::take(tx, request);
    if account.password_policy.take().is_none() {
        return Err(errors::no_entity(
            "The account policy with name PasswordPolicy cannot be found.",
        ));
    }
    tx.put(account);
    Ok(DeleteAccountPasswordPolicyResponse {})
}

/// The account's rules.
///
/// # Errors
/// There are none.
pub fn get_account_password_policy(
    state: &State,
    request: &Request,
    input: GetAccountPasswordPolicyRequest,
) -> Result<GetAccountPasswordPolicyResponse, Fault> {
    let GetAccountPasswordPolicyRequest {} = input;
    let id = request.caller.account;
    let account = state.get::<Account>(&id);
    let rules = account.and_then(|account| account.password_policy.as_ref()).ok_or_else(|| {
        errors::no_entity(format!("The Password Policy with domain name {id} cannot be found."))
    })?;
    Ok(GetAccountPasswordPolicyResponse {
        password_policy: Some(PasswordPolicy {
            minimum_password_length: Some(rules.min_length),
            require_symbols: Some(rules.symbols),
            require_numbers: Some(rules.numbers),
            require_uppercase_characters: Some(rules.uppercase),
            require_lowercase_characters: Some(rules.lowercase),
            allow_users_to_change_password: Some(rules.users_may_change),
            expire_passwords: Some(rules.max_age_days.is_some()),
            max_password_age: rules.max_age_days,
            password_reuse_prevention: rules.reuse_prevention,
            hard_expiry: rules.hard_expiry,
        }),
    })
}

/// Sets the account's rules; what isn't given is as if there had been none.
///
/// # Errors
/// None.
pub fn update_account_password_policy(
    tx: &mut Tx,
    request: &Request,
    input: UpdateAccountPasswordPolicyRequest,
) -> Result<UpdateAccountPasswordPolicyResponse, Fault> {
    let UpdateAccountPasswordPolicyRequest {
        minimum_password_length,
        require_symbols,
        require_numbers,
        require_uppercase_characters,
        require_lowercase_characters,
        allow_users_to_change_password,
        max_password_age,
        password_reuse_prevention,
        hard_expiry,
    } = input;
    let rules = PasswordRules {
        min_length: minimum_password_length.unwrap_or(6),
        symbols: require_symbols.unwrap_or_default(),
        numbers: require_numbers.unwrap_or_default(),
        uppercase: require_uppercase_characters.unwrap_or_default(),
        lowercase: require_lowercase_characters.unwrap_or_default(),
        users_may_change: allow_users_to_change_password.unwrap_or_default(),
        max_age_days: max_password_age,
        reuse_prevention: password_reuse_prevention,
        hard_expiry,
    };
    let account = accounts::take(tx, request);
    tx.put(Account { password_policy: Some(rules), ..account });
    Ok(UpdateAccountPasswordPolicyResponse {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_keep_the_rules() {
        let rules = PasswordRules {
            min_length: 10,
            symbols: true,
            numbers: false,
            uppercase: true,
            lowercase: false,
            users_may_change: false,
            max_age_days: None,
            reuse_prevention: None,
            hard_expiry: None,
        };
        let check = |password| PasswordRules::check(Some(&rules), password);
        assert!(check("ABCDEFGHI!").is_ok());
        assert!(check("ABCDEFGH!").unwrap_err().message.contains("minimum length of 10"));
        assert!(check("abcdefghi!").unwrap_err().message.contains("uppercase"));
        assert!(check("ABCDEFGHIJ").unwrap_err().message.contains("symbol"));
        assert!(PasswordRules::check(None, "abcdefg1").is_err());
        assert!(PasswordRules::check(None, "Abcdefg1").is_ok());
    }
}
