//! What each operation of EC2 asks: the resources that it names, with their condition keys.
//!
//! The table follows AWS's service authorization reference. A resource that is there is looked up, so
//! that its tags and properties can be asked for; one that the call makes is `TYPE/*` and has the tags of
//! the call's specifications. Who tags what is made needs `ec2:CreateTags` for it, too.

mod profiles;
mod resources;
mod run;
mod table;

use iam::{
    Request,
    access::{Check, members::Input},
};
use resources::Place;
use state::State;
use table::{Part, Type};

/// What an operation asks; none if the table doesn't know it.
#[must_use]
pub fn checks(
    state: &State,
    request: &Request,
    operation: &'static str,
    input: Input<'_>,
) -> Option<Vec<Check>> {
    let parts = table::parts(operation)?;
    let place = Place { state, scope: &request.scope };
    let mut asked = Asked { operation, action: format!("ec2:{operation}"), checks: Vec::new() };
    if operation == "RunInstances" {
        run::ask(&place, &mut asked, input);
        return Some(asked.checks);
    }
    for part in parts {
        match *part {
            Part::Any => asked.any(&place),
            Part::Each(kind, path) => {
                for id in input.texts(path) {
                    asked.resource(place.named(kind, &id));
                }
            }
            Part::New(kind) => asked.new_resource(&place, kind, input, |_| {}),
            Part::Tagged(path) => {
                for id in input.texts(path) {
                    let mut check = place.by_id(&id);
                    tags_of_call(&mut check, input);
                    asked.resource(check);
                }
            }
        }
    }
    if matches!(operation, "AssociateIamInstanceProfile" | "ReplaceIamInstanceProfileAssociation") {
        profiles::ask(&place, &mut asked, input);
    }
    if asked.checks.is_empty() {
        // The call names nothing: it fails, or it is about all.
        asked.any(&place);
    }
    Some(asked.checks)
}

/// The tags that `CreateTags` and `DeleteTags` are called with.
fn tags_of_call(check: &mut Check, input: Input<'_>) {
    let tags = input.tags("Tags");
    check.set_request_tags(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
}

/// What an operation asks, as it is gathered.
struct Asked {
    operation: &'static str,
    action: String,
    checks: Vec<Check>,
}

impl Asked {
    /// The action itself, about no resource.
    fn any(&mut self, place: &Place<'_>) {
        self.resource(place.check("*".to_owned()));
    }

    /// The action on a resource.
    fn resource(&mut self, mut check: Check) {
        check.action = self.action.clone().into();
        self.checks.push(check);
    }

    /// The action on a resource that the call makes, and the right to tag it.
    fn new_resource(
        &mut self,
        place: &Place<'_>,
        kind: Type,
        input: Input<'_>,
        describe: impl FnOnce(&mut Check),
    ) {
        let mut check = place.made(kind, input);
        describe(&mut check);
        let tags = specified(kind, input);
        // A rule is asked about where it is tagged; else its group stands for it.
        if kind == Type::SecurityGroupRule && tags.is_empty() {
            return;
        }
        check.set_request_tags(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        if !tags.is_empty() {
            let mut tagging = check.clone();
            tagging.action = "ec2:CreateTags".into();
            tagging.set("ec2:CreateAction", self.operation);
            self.checks.push(tagging);
        }
        self.resource(check);
    }
}

/// The tags that a call gives to what it makes of this type.
fn specified(kind: Type, input: Input<'_>) -> Vec<(String, String)> {
    let specifications = input.structures("TagSpecifications").into_iter();
    let of_kind = specifications
        .filter(|one| one.text("ResourceType").is_some_and(|text| text == kind.as_str()));
    of_kind.flat_map(|one| one.tags("Tags")).collect()
}

#[cfg(test)]
mod tests;
