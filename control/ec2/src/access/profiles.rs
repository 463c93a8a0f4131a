//! What giving an instance a profile asks: the instance with the new profile, and to pass on its role.

use super::{Asked, resources::Place};
use iam::access::{Check, members::Input};

/// The ARN of the profile that a call specifies, if it specifies one.
pub(super) fn specified(place: &Place<'_>, input: Input<'_>) -> Option<String> {
    let account = place.scope.account;
    input.text("IamInstanceProfile.Arn").or_else(|| {
        let name = input.text("IamInstanceProfile.Name")?;
        let found = place.state.find::<iam::InstanceProfile>("name", iam::place(account, &name));
        let arn = found.map(|profile| profile.arn()).next();
        Some(arn.unwrap_or_else(|| format!("arn:aws:iam::{account}:instance-profile/{name}")))
    })
}

/// Whoever gives an instance a profile passes its role on.
pub(super) fn pass_role(place: &Place<'_>, input: Input<'_>) -> Option<Check> {
    let profile = specified(place, input)?;
    iam::access::pass_profile(place.state, place.scope.account, &profile)
}

/// Adds the new profile to what is asked of the instance, and the right to pass its role on.
pub(super) fn ask(place: &Place<'_>, asked: &mut Asked, input: Input<'_>) {
    if let Some(profile) = specified(place, input) {
        for check in &mut asked.checks {
            check.set("ec2:NewInstanceProfile", profile.as_str());
        }
    }
    asked.checks.extend(pass_role(place, input));
}
