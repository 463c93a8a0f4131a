//! Instances: their rows, states, and the two functions that change those.
//!
//! ```text
//!  launch          observed: running
//!  ──────▶ pending ─────────────────▶ running ──┐ owner: stop, or guest: power off
//!             ▲                                 ▼
//!             │ owner: start                stopping
//!          stopped ◀────────────────────────────┘ observed: off
//!
//!  any but terminated ── owner: terminate ──▶ shutting-down ── observed: off ──▶ terminated
//! ```

mod attributes;
mod describe;
mod lifecycle;
mod machine;
mod observe;
mod run;

pub use attributes::{
    describe_instance_attribute, get_console_output, modify_instance_attribute,
    modify_instance_metadata_options,
};
pub use describe::{describe_instance_status, describe_instances, to_api};
pub use lifecycle::{
    monitor_instances, reboot_instances, start_instances, stop_closed, stop_instances,
    terminate_instances, unmonitor_instances,
};
pub use machine::machine;
pub use observe::{forget_terminated, machine_observed, restart_ended};
pub use run::run_instances;

use crate::resource::Resource;
use contracts::machine::Power;
use serde::{Deserialize, Serialize};
use shapes::ec2::{InstanceStateName, ResourceType};
use state::Row;
use std::fmt::Display;
use types::{
    AvailabilityZone, ImageId, InstanceId, ReservationId, Scope, SubnetId, Tags, Timestamp, VpcId,
};

/// How long a guest may take to shut down when asked, before it is powered off.
pub const STOP_GRACE_MS: u32 = 120_000;
/// How long a terminated instance stays visible.
pub const TERMINATED_VISIBLE_MS: i64 = 3_600_000;
/// How often a crashed instance is started again within a day (EC2's automatic recovery: 3).
pub const MAX_RECOVERIES: usize = 3;

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    pub scope: Scope,
    pub reservation: ReservationId,
    pub launch_index: u32,
    pub image: ImageId,
    pub instance_type: String,
    pub architecture: String,
    pub key_name: Option<String>,
    /// The public key in OpenSSH's form, as it was at launch.
    pub public_key: Option<String>,
    pub state: InstanceState,
    /// Why it is in its state: AWS's code and message.
    pub state_reason: Option<(String, String)>,
    /// As AWS shows it: empty, or `User initiated (2026-11-22 13:37:00 GMT)`.
    pub transition_reason: String,
    /// The last start.
    pub launch_time: Timestamp,
    /// Whether it ever ran.
    pub has_run: bool,
    /// Whether it runs now: its VM was seen running and not ended since.
    pub vm_running: bool,
    /// Whether this incarnation's VM has ended.
    pub ended: bool,
    /// Whether its first interface is lent a public address at each start.
    pub lends_public: bool,
    /// Since when a terminated instance is.
    pub terminated_at: Option<Timestamp>,
    pub zone: AvailabilityZone,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    /// The host that it runs on, or last ran on.
    pub host: String,
    /// Counts its starts.
    pub incarnation: u64,
    /// Counts the reboots of this incarnation.
    pub reboots: u32,
    /// When it was last started again after a crash.
    pub recoveries: Vec<Timestamp>,
    /// How long the guest has for the shutdown under way.
    pub grace_ms: u32,
    pub root_device_name: String,
    /// Raw, as base64.
    pub user_data: Option<String>,
    pub shutdown_terminates: bool,
    pub termination_protection: bool,
    pub stop_protection: bool,
    pub ebs_optimized: bool,
    pub detailed_monitoring: bool,
    pub metadata: MetadataOptions,
    /// `standard` or `unlimited` of burstable types, else empty.
    pub cpu_credits: String,
    pub cores: u32,
    pub threads_per_core: u32,
    pub memory_mib: u64,
    pub auto_recovery: bool,
    /// `ip-name` or `resource-name`.
    pub hostname_type: String,
    pub resource_name_dns_a: bool,
    #[serde(default)]
    pub resource_name_dns_aaaa: bool,
    pub client_token: String,
    pub tags: Tags,
}

/// Options of an instance's metadata service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    pub enabled: bool,
    pub token_required: bool,
    pub hop_limit: u8,
    pub tags: bool,
    /// Whether it answers at its IPv6 address, too.
    #[serde(default)]
    pub ipv6: bool,
}

/// An instance's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

/// What an owner may ask of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Start,
    Stop,
    Reboot,
    Terminate,
}

/// The answer to an owner's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It moves on to this state.
    Becomes(InstanceState),
    /// It already is so, or soon will be.
    Already,
    /// It can't be from this state.
    Refused,
}

impl InstanceState {
    /// What an owner's wish does.
    #[must_use]
    pub fn request(self, ask: Ask) -> Asked {
        use Asked::{Already, Becomes, Refused};
        match (self, ask) {
            (Self::Stopped, Ask::Start) => Becomes(Self::Pending),
            (Self::Pending | Self::Running, Ask::Start) => Already,
            (Self::Stopping | Self::ShuttingDown | Self::Terminated, Ask::Start) => Refused,

            (Self::Running, Ask::Stop) => Becomes(Self::Stopping),
            (Self::Stopping | Self::Stopped, Ask::Stop) => Already,
            (Self::Pending | Self::ShuttingDown | Self::Terminated, Ask::Stop) => Refused,

            (Self::Running, Ask::Reboot) => Becomes(Self::Running),
            (Self::Pending | Self::ShuttingDown | Self::Terminated, Ask::Reboot) => Already,
            (Self::Stopping | Self::Stopped, Ask::Reboot) => Refused,

            (Self::Pending | Self::Running | Self::Stopping, Ask::Terminate) => {
                Becomes(Self::ShuttingDown)
            }
            (Self::Stopped, Ask::Terminate) => Becomes(Self::Terminated),
            (Self::ShuttingDown | Self::Terminated, Ask::Terminate) => Already,
        }
    }

    /// Whether the instance holds a share of its host.
    #[must_use]
    pub fn holds_capacity(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::ShuttingDown | Self::Stopping => true,
            Self::Terminated | Self::Stopped => false,
        }
    }

    /// The power that its machine shall have; none if it shall have no machine.
    #[must_use]
    pub fn power(self, grace_ms: u32) -> Option<Power> {
        match self {
            Self::Pending | Self::Running => Some(Power::On),
            Self::ShuttingDown | Self::Stopping => Some(Power::Off { grace_ms }),
            // Off, and its console output is kept.
            Self::Stopped => Some(Power::Off { grace_ms: 0 }),
            Self::Terminated => None,
        }
    }

    /// AWS's name.
    #[must_use]
    pub fn name(self) -> InstanceStateName {
        match self {
            Self::Pending => InstanceStateName::Pending,
            Self::Running => InstanceStateName::Running,
            Self::ShuttingDown => InstanceStateName::ShuttingDown,
            Self::Terminated => InstanceStateName::Terminated,
            Self::Stopping => InstanceStateName::Stopping,
            Self::Stopped => InstanceStateName::Stopped,
        }
    }

    /// AWS's number.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// The state as an answer has it.
    #[must_use]
    pub fn to_api(self) -> shapes::ec2::InstanceState {
        shapes::ec2::InstanceState { code: Some(self.code()), name: Some(self.name()) }
    }
}

impl Instance {
    /// Virtual processors.
    #[must_use]
    pub fn vcpus(&self) -> u32 {
        self.cores * self.threads_per_core
    }
}

impl Row for Instance {
    const TABLE: &'static str = "instance";
    /// For its user data, which people put passwords into.
    const SEALED: bool = true;
    type Key = InstanceId;
    fn key(&self) -> InstanceId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("host", &self.host);
        add("reservation", &self.reservation);
        add("vpc", &self.vpc);
        if self.state == InstanceState::Terminated {
            add("state", &"terminated");
        }
    }
}

impl Resource for Instance {
    const TYPE: ResourceType = ResourceType::Instance;
    const NOUN: &'static str = "instance ID";
    const CODE: &'static str = "InvalidInstanceID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
