//! What must never stand in a log: what the model calls sensitive, and what it forgot.

use shapes::Member;

/// Members whose values are secrets, or good for as long as one, in small letters.
const NAMES: &[&str] = &[
    "authenticationcode1",
    "authenticationcode2",
    "base32stringseed",
    "clientsecret",
    "encryptedkeymaterial",
    "keymaterial",
    "keystorepassword",
    "newpassword",
    "oldpassword",
    "password",
    "passworddata",
    "plaintext",
    "presharedkey",
    "privatekey",
    "privatekeyciphertextblob",
    "privatekeyplaintext",
    "qrcodepng",
    "rawsecretaccesskey",
    "samlassertion",
    "secret",
    "secretaccesskey",
    "serviceapikeyvalue",
    "servicecredentialsecret",
    "servicepassword",
    "sessiontoken",
    "sharedsecret",
    "tokencode",
    "userdata",
    "webidentitytoken",
];

/// Whether a member of this name is a secret, whatever the model says.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.binary_search(&name.as_str()).is_ok()
}

/// Whether a member's value is hidden.
pub(crate) fn is_secret(member: &Member) -> bool {
    member.sensitive || is_secret_name(member.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert!(NAMES.is_sorted());
        for name in ["UserData", "SecretAccessKey", "tokenCode", "KeyMaterial", "PrivateKey"] {
            assert!(is_secret_name(name), "{name}");
        }
        assert!(!is_secret_name("KeyName"));
    }

    #[test]
    fn the_models_marks_are_known() {
        let run = shapes::ec2::SERVICE.served("RunInstances").expect("served").input;
        let user_data = run.members().iter().find(|member| member.name == "UserData");
        assert!(user_data.is_some_and(|member| member.sensitive));
        let encrypt = shapes::kms::SERVICE.served("Encrypt").expect("served").input;
        let plaintext = encrypt.members().iter().find(|member| member.name == "Plaintext");
        assert!(plaintext.is_some_and(|member| member.sensitive));
    }
}
