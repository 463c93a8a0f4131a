//! Attributes of instances, and what their consoles said.

use super::{Instance, InstanceState, MetadataOptions, describe};
use crate::{
    ebs::volumes::Volume,
    errors,
    operations::Ask,
    resource::find,
    vpc::{network_interfaces, network_interfaces::NetworkInterface, security_groups},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use contracts::link::{Answer, Question};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        AttributeBooleanValue, AttributeValue, BlobAttributeValue,
        DescribeInstanceAttributeRequest, EnclaveOptions, GetConsoleOutputRequest,
        GetConsoleOutputResult, HttpTokensState, InstanceAttribute, InstanceAttributeName,
        InstanceBlockDeviceMappingSpecification, InstanceMetadataEndpointState,
        InstanceMetadataOptionsRequest, InstanceMetadataProtocolState, InstanceMetadataTagsState,
        ModifyInstanceAttributeRequest, ModifyInstanceAttributeResponse,
        ModifyInstanceMetadataOptionsRequest, ModifyInstanceMetadataOptionsResult,
    },
};
use state::{State, Tx};

fn required(id: Option<String>) -> Result<String, Fault> {
    id.ok_or_else(|| errors::missing("InstanceId"))
}

fn flag(value: bool) -> Option<AttributeBooleanValue> {
    Some(AttributeBooleanValue { value: Some(value) })
}

fn text(value: impl Into<String>) -> Option<AttributeValue> {
    Some(AttributeValue { value: Some(value.into()) })
}

/// One attribute of an instance.
///
/// # Errors
/// The instance doesn't exist.
pub fn describe_instance_attribute(
    state: &State,
    request: &Request,
    input: DescribeInstanceAttributeRequest,
) -> Result<InstanceAttribute, Fault> {
    let DescribeInstanceAttributeRequest { dry_run: _, instance_id, attribute } = input;
    let row = find::<Instance>(state, &request.scope, &required(instance_id)?)?;
    let attribute = attribute.ok_or_else(|| errors::missing("Attribute"))?;
    let card = network_interfaces::of_instance(state, row.id).into_iter().next();
    let mut answer =
        InstanceAttribute { instance_id: Some(row.id.to_string()), ..InstanceAttribute::default() };
    match attribute {
        InstanceAttributeName::InstanceType => answer.instance_type = text(&row.instance_type),
        InstanceAttributeName::Kernel => answer.kernel_id = Some(AttributeValue::default()),
        InstanceAttributeName::Ramdisk => answer.ramdisk_id = Some(AttributeValue::default()),
        InstanceAttributeName::UserData => {
            answer.user_data = Some(AttributeValue { value: row.user_data.clone() });
        }
        InstanceAttributeName::DisableApiTermination => {
            answer.disable_api_termination = flag(row.termination_protection);
        }
        InstanceAttributeName::DisableApiStop => {
            answer.disable_api_stop = flag(row.stop_protection)
        }
        InstanceAttributeName::InstanceInitiatedShutdownBehavior => {
            answer.instance_initiated_shutdown_behavior =
                text(if row.shutdown_terminates { "terminate" } else { "stop" });
        }
        InstanceAttributeName::RootDeviceName => {
            answer.root_device_name = text(&row.root_device_name);
        }
        InstanceAttributeName::BlockDeviceMapping => {
            answer.block_device_mappings = Some(describe::disks_to_api(state, &row));
        }
        InstanceAttributeName::ProductCodes => answer.product_codes = Some(Vec::new()),
        InstanceAttributeName::SourceDestCheck => {
            answer.source_dest_check = flag(card.is_none_or(|card| card.source_dest_check));
        }
        InstanceAttributeName::GroupSet => {
            let groups = card.map(|card| describe::groups_to_api(state, &card.groups));
            answer.groups = Some(groups.unwrap_or_default());
        }
        InstanceAttributeName::EbsOptimized => answer.ebs_optimized = flag(row.ebs_optimized),
        InstanceAttributeName::SriovNetSupport => {
            answer.sriov_net_support = Some(AttributeValue::default());
        }
        InstanceAttributeName::EnaSupport => answer.ena_support = flag(true),
        InstanceAttributeName::EnclaveOptions => {
            answer.enclave_options = Some(EnclaveOptions { enabled: Some(false) });
        }
    }
    Ok(answer)
}

/// `Attribute` and `Value`, the older way of naming one attribute; its own parameter goes first.
struct Given {
    attribute: Option<InstanceAttributeName>,
    value: Option<String>,
}

impl Given {
    fn named(&self, name: InstanceAttributeName) -> Option<&String> {
        self.value.as_ref().filter(|_| self.attribute == Some(name))
    }

    fn bool(
        &self,
        own: Option<AttributeBooleanValue>,
        name: InstanceAttributeName,
    ) -> Result<Option<bool>, Fault> {
        match own {
            Some(AttributeBooleanValue { value }) => Ok(value),
            None => self.named(name).map(|value| to_bool(value, name.as_str())).transpose(),
        }
    }

    fn text(&self, own: Option<AttributeValue>, name: InstanceAttributeName) -> Option<String> {
        match own {
            Some(AttributeValue { value }) => value,
            None => self.named(name).cloned(),
        }
    }

    fn bytes(&self, own: Option<BlobAttributeValue>) -> Result<Option<Vec<u8>>, Fault> {
        match own {
            Some(BlobAttributeValue { value }) => Ok(Some(value.unwrap_or_default())),
            None => self
                .named(InstanceAttributeName::UserData)
                .map(|value| decode_user_data(value))
                .transpose(),
        }
    }
}

fn to_bool(value: &str, parameter: &str) -> Result<bool, Fault> {
    value
        .to_ascii_lowercase()
        .parse()
        .map_err(|_| errors::invalid_value(value, parameter, "Expecting true or false."))
}

/// Changes attributes of an instance.
///
/// # Errors
/// The instance doesn't exist, must be stopped for the change, or a value can't be.
pub fn modify_instance_attribute(
    tx: &mut Tx,
    request: &Request,
    input: ModifyInstanceAttributeRequest,
) -> Result<ModifyInstanceAttributeResponse, Fault> {
    let ModifyInstanceAttributeRequest {
        source_dest_check,
        disable_api_stop,
        dry_run: _,
        instance_id,
        attribute,
        value,
        block_device_mappings,
        disable_api_termination,
        instance_type,
        kernel,
        ramdisk,
        user_data,
        instance_initiated_shutdown_behavior,
        groups,
        ebs_optimized,
        sriov_net_support,
        ena_support,
    } = input;
    use InstanceAttributeName as Name;
    errors::refuse(&[
        ("Kernel", kernel.is_some() || attribute == Some(Name::Kernel)),
        ("Ramdisk", ramdisk.is_some() || attribute == Some(Name::Ramdisk)),
        (
            "SriovNetSupport",
            sriov_net_support.is_some() || attribute == Some(Name::SriovNetSupport),
        ),
    ])?;
    let row = find::<Instance>(tx, &request.scope, &required(instance_id)?)?;
    let mut instance = Instance::clone(&row);
    let given = Given { attribute, value };
    if let Some(on) = given.bool(disable_api_termination, Name::DisableApiTermination)? {
        instance.termination_protection = on;
    }
    if let Some(on) = given.bool(disable_api_stop, Name::DisableApiStop)? {
        instance.stop_protection = on;
    }
    if let Some(on) = given.bool(ebs_optimized, Name::EbsOptimized)? {
        must_be_stopped(&instance, "ebsOptimized")?;
        instance.ebs_optimized = on;
    }
    if given.bool(ena_support, Name::EnaSupport)? == Some(false) {
        return Err(errors::unsupported("EnaSupport"));
    }
    let behavior = Name::InstanceInitiatedShutdownBehavior;
    if let Some(behavior) = given.text(instance_initiated_shutdown_behavior, behavior) {
        instance.shutdown_terminates = terminates(&behavior)?;
    }
    if let Some(name) = given.text(instance_type, Name::InstanceType) {
        must_be_stopped(&instance, "instanceType")?;
        resize(&mut instance, &name)?;
    }
    if let Some(bytes) = given.bytes(user_data)? {
        must_be_stopped(&instance, "userData")?;
        super::run::check_user_data(&bytes)?;
        instance.user_data = (!bytes.is_empty()).then(|| STANDARD.encode(bytes));
    }
    let check = given.bool(source_dest_check, Name::SourceDestCheck)?;
    change_card(tx, request, &instance, check, groups)?;
    for mapping in block_device_mappings.unwrap_or_default() {
        change_disk(tx, &instance, mapping)?;
    }
    tx.put(instance);
    Ok(ModifyInstanceAttributeResponse {})
}

/// Whether a guest's own shutdown terminates the instance.
fn terminates(behavior: &str) -> Result<bool, Fault> {
    match behavior {
        "stop" => Ok(false),
        "terminate" => Ok(true),
        other => {
            let why = "Expecting stop or terminate.";
            Err(errors::invalid_value(other, "instanceInitiatedShutdownBehavior", why))
        }
    }
}

fn decode_user_data(value: &str) -> Result<Vec<u8>, Fault> {
    STANDARD.decode(value).map_err(|_| super::run::malformed_user_data())
}

fn must_be_stopped(instance: &Instance, attribute: &str) -> Result<(), Fault> {
    if instance.state == InstanceState::Stopped {
        return Ok(());
    }
    let id = instance.id;
    Err(errors::incorrect_instance_state(format!(
        "The instance '{id}' is not in the 'stopped' state: {attribute} can't be modified now."
    )))
}

fn resize(instance: &mut Instance, name: &str) -> Result<(), Fault> {
    let kind = super::run::instance_type(name, &instance.architecture)?;
    name.clone_into(&mut instance.instance_type);
    instance.cores = kind.default_cores;
    instance.threads_per_core = kind.default_threads_per_core;
    instance.memory_mib = kind.memory_mib;
    instance.cpu_credits = super::run::default_credits(name, kind.burstable);
    // Whether it fits is decided when it starts.
    Ok(())
}

fn change_card(
    tx: &mut Tx,
    request: &Request,
    instance: &Instance,
    check: Option<bool>,
    groups: Option<Vec<String>>,
) -> Result<(), Fault> {
    if check.is_none() && groups.is_none() {
        return Ok(());
    }
    let cards = network_interfaces::of_instance(tx, instance.id);
    let [card] = cards.as_slice() else {
        return Err(Fault::sender(
            "InvalidInstanceID",
            format!(
                "There are multiple interfaces attached to instance '{}'. Please specify an \
                 interface ID for the operation instead.",
                instance.id
            ),
        ));
    };
    let groups = match groups {
        Some(ids) => Some(security_groups::resolve(tx, &request.scope, card.vpc, &ids, &[])?),
        None => None,
    };
    tx.update::<NetworkInterface>(&card.id, |row| {
        if let Some(check) = check {
            row.source_dest_check = check;
        }
        if let Some(groups) = groups {
            row.groups = groups;
        }
    });
    Ok(())
}

fn change_disk(
    tx: &mut Tx,
    instance: &Instance,
    mapping: InstanceBlockDeviceMappingSpecification,
) -> Result<(), Fault> {
    let InstanceBlockDeviceMappingSpecification { device_name, ebs, virtual_name, no_device } =
        mapping;
    if virtual_name.is_some() {
        return Err(errors::unsupported("BlockDeviceMapping.VirtualName"));
    }
    if no_device.is_some() {
        return Err(errors::unsupported("BlockDeviceMapping.NoDevice"));
    }
    let name = device_name.ok_or_else(|| errors::missing("BlockDeviceMapping.DeviceName"))?;
    let on = |row: &Volume| row.attachment.as_ref().is_some_and(|at| at.device_name == name);
    let volume = tx.find::<Volume>("instance", instance.id).find(|row| on(row)).map(|row| row.id);
    let volume = volume.ok_or_else(|| {
        Fault::sender(
            "InvalidInstanceAttributeValue",
            format!("No device is currently mapped at {name}"),
        )
    })?;
    let Some(ebs) = ebs else { return Ok(()) };
    if ebs.volume_id.is_some_and(|id| id != volume.to_string()) {
        return Err(errors::combination(format!("Another volume is mapped at {name}")));
    }
    if let Some(delete) = ebs.delete_on_termination {
        tx.update::<Volume>(&volume, |row| {
            if let Some(attachment) = &mut row.attachment {
                attachment.delete_on_termination = delete;
            }
        });
    }
    Ok(())
}

/// Options of the metadata service changed as asked.
///
/// # Errors
/// A value can't be, or isn't served here.
pub(super) fn metadata_options(
    mut options: MetadataOptions,
    input: InstanceMetadataOptionsRequest,
) -> Result<MetadataOptions, Fault> {
    let InstanceMetadataOptionsRequest {
        http_tokens,
        http_put_response_hop_limit,
        http_endpoint,
        http_protocol_ipv6,
        instance_metadata_tags,
    } = input;
    if let Some(tokens) = http_tokens {
        options.token_required = match tokens {
            HttpTokensState::Optional => false,
            HttpTokensState::Required => true,
        };
    }
    if let Some(limit) = http_put_response_hop_limit {
        options.hop_limit =
            u8::try_from(limit).ok().filter(|limit| (1..=64).contains(limit)).ok_or_else(|| {
                let why = "Expecting a value between 1 and 64.";
                errors::invalid_value(limit, "httpPutResponseHopLimit", why)
            })?;
    }
    if let Some(endpoint) = http_endpoint {
        options.enabled = match endpoint {
            InstanceMetadataEndpointState::Disabled => false,
            InstanceMetadataEndpointState::Enabled => true,
        };
    }
    if let Some(protocol) = http_protocol_ipv6 {
        options.ipv6 = match protocol {
            InstanceMetadataProtocolState::Disabled => false,
            InstanceMetadataProtocolState::Enabled => true,
        };
    }
    if let Some(tags) = instance_metadata_tags {
        options.tags = match tags {
            InstanceMetadataTagsState::Disabled => false,
            InstanceMetadataTagsState::Enabled => true,
        };
    }
    Ok(options)
}

/// Changes the metadata service of an instance; it holds at once.
///
/// # Errors
/// The instance doesn't exist, or a value can't be.
pub fn modify_instance_metadata_options(
    tx: &mut Tx,
    request: &Request,
    input: ModifyInstanceMetadataOptionsRequest,
) -> Result<ModifyInstanceMetadataOptionsResult, Fault> {
    let ModifyInstanceMetadataOptionsRequest {
        instance_id,
        http_tokens,
        http_put_response_hop_limit,
        http_endpoint,
        dry_run: _,
        http_protocol_ipv6,
        instance_metadata_tags,
    } = input;
    let row = find::<Instance>(tx, &request.scope, &required(instance_id)?)?;
    let mut instance = Instance::clone(&row);
    if instance.state == InstanceState::Terminated {
        return Err(errors::incorrect_instance_state(format!(
            "The instance '{}' is terminated.",
            instance.id
        )));
    }
    let change = InstanceMetadataOptionsRequest {
        http_tokens,
        http_put_response_hop_limit,
        http_endpoint,
        http_protocol_ipv6,
        instance_metadata_tags,
    };
    instance.metadata = metadata_options(instance.metadata.clone(), change)?;
    let answer = ModifyInstanceMetadataOptionsResult {
        instance_id: Some(instance.id.to_string()),
        instance_metadata_options: Some(describe::metadata_to_api(&instance)),
    };
    tx.put(instance);
    Ok(answer)
}

/// What the instance wrote to its serial port last: 64 KiB, kept over stops.
///
/// # Errors
/// The instance doesn't exist, or its host can't tell now.
pub fn get_console_output(
    state: &State,
    request: &Request,
    input: GetConsoleOutputRequest,
) -> Result<Ask<GetConsoleOutputResult>, Fault> {
    // The output here is always the latest.
    let GetConsoleOutputRequest { instance_id, latest: _, dry_run: _ } = input;
    let row = find::<Instance>(state, &request.scope, &required(instance_id)?)?;
    let id = row.id;
    Ok(Ask {
        host: row.host.clone(),
        question: Question::Console(id),
        finish: Box::new(move |answer| match answer {
            Ok(Answer::Console { output, at }) => Ok(GetConsoleOutputResult {
                instance_id: Some(id.to_string()),
                timestamp: Some(at),
                output: Some(output),
            }),
            Err(why) => Err(Fault::receiver(
                "InternalError",
                format!("The host of '{id}' can't give its console output now: {why}"),
            )),
        }),
    })
}
