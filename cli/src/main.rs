//! The fogbank command.

/// Prints a line; a reader that has gone away (`| head`) is no error.
macro_rules! out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod account;
mod admin;
mod client;
mod doctor;
mod egress;
mod image;
mod log_file;
mod paths;
mod process;
mod roles;
mod settings;
mod ssh;
mod status;
mod store;
mod supervisor;
mod trust;
mod tunnel;
mod up;
mod uplink;

use clap::{Parser, Subcommand};
use log_file::LogFile;
use paths::Paths;
use std::{path::PathBuf, process::ExitCode};

/// An EC2 that you run yourself: AWS's APIs over real virtual machines on this machine.
///
/// A first look:
///
///   fogbank up --detach          start a cloud
///   eval "$(fogbank env)"        point the aws CLI at it
///   aws ec2 describe-images --owners amazon
///   aws s3 mb s3://photos        make a bucket
///   fogbank status               see how it is
///   fogbank down                 shut it down; the next 'up' starts the instances that ran
#[derive(Debug, Parser)]
#[command(name = "fogbank", version, verbatim_doc_comment, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The cloud's data folder: clouds with different folders and --listen run side by side
    /// [default: /var/lib/fogbank as root, else the XDG data folder]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cloud; the first time, build the two quick-start images
    ///
    /// Options given here are kept for later starts, except --trust-any-key.
    Up(up::Options),
    /// Shut the cloud down: guests are asked to, and start again with the next 'up'
    Down,
    /// Print what points AWS tools at the cloud: eval "$(fogbank env)"
    Env {
        /// By HTTPS: tools trust the cloud's own certificate authority by `AWS_CA_BUNDLE`
        #[arg(long)]
        tls: bool,
    },
    /// Print user data (cloud-init's) that makes an instance trust the cloud's certificate authority
    ///
    /// AWS's tools inside of the instance then need no setting: aws s3 ls, boto3.client("ec2") …
    UserData,
    /// Print the certificate that instances' identity documents are checked by
    IdentityCertificate,
    /// Show the cloud's processes, hosts, instances and images
    Status,
    /// Log in to an instance by its ID, or run a command on it; it needs no public IP address
    Ssh(ssh::Options),
    /// Print a configuration by which ssh, scp and rsync reach instances by their IDs
    ///
    /// fogbank ssh-config >> ~/.ssh/config; ssh i-0123456789abcdef0
    SshConfig,
    /// Connect standard input and output with a TCP port of an instance, as an EC2 Instance
    /// Connect Endpoint does: ssh's ProxyCommand
    OpenTunnel(tunnel::Options),
    /// Check what this machine has and lacks for running a cloud
    Doctor,
    /// The quick-start images
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// The object store: how it is, where an object lies, its storage nodes
    ///
    /// Objects themselves are reached by S3, at the cloud's endpoint: aws s3 ls, boto3, rclone …
    #[command(arg_required_else_help = true)]
    Objects {
        #[command(subcommand)]
        command: store::Command,
    },
    /// Accounts: make, list and close them, and act for one of them
    #[command(arg_required_else_help = true)]
    Account {
        #[command(subcommand)]
        command: account::Command,
    },
    /// Wipe all accounts' resources within a second; images stay
    Reset {
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Run all of the project's tests (from its folder: ./fogbank test)
    Test,
    /// Run a benchmark beside its peer (from the project's folder: ./fogbank bench NAME)
    Bench {
        /// launch, api or density
        name: String,
    },
    #[command(hide = true)]
    Supervise,
    #[command(hide = true)]
    Role { role: roles::Role },
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// List the quick-start images
    List,
    /// Build quick-start images from Debian's packages
    Build {
        /// tiny or debian-12; both if none is named
        names: Vec<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let process = match &cli.command {
        Command::Supervise => Some("supervisor"),
        Command::Role { role } => Some(role.name()),
        Command::Up(_)
        | Command::Down
        | Command::Env { .. }
        | Command::UserData
        | Command::IdentityCertificate
        | Command::Status
        | Command::Ssh(_)
        | Command::SshConfig
        | Command::OpenTunnel(_)
        | Command::Doctor
        | Command::Image { .. }
        | Command::Reset { .. }
        | Command::Objects { .. }
        | Command::Account { .. }
        | Command::Test
        | Command::Bench { .. } => None,
    };
    log_to(process, cli.data.clone());
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            match process {
                None => eprintln!("fogbank: {error:#}"),
                Some(_) => log::error!("{error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// What a command says goes to standard error; what a process of the cloud says, to its log.
fn log_to(process: Option<&str>, data: Option<PathBuf>) {
    let level = if process.is_none() { "warn" } else { "info" };
    let mut logger =
        env_logger::Builder::from_env(env_logger::Env::new().filter_or("FOGBANK_LOG", level));
    let file = process.and_then(|process| {
        let paths = Paths::new(data).ok()?;
        LogFile::of_stderr(paths.log(process))
    });
    if let Some(file) = file {
        logger.target(env_logger::Target::Pipe(Box::new(file)));
    }
    logger.init();
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let paths = Paths::new(cli.data)?;
    match cli.command {
        Command::Up(options) => up::up(&paths, &options)?,
        Command::Down => up::down(&paths)?,
        Command::Env { tls } => status::env(&paths, tls)?,
        Command::UserData => trust::user_data(&paths)?,
        Command::IdentityCertificate => trust::identity_certificate(&paths)?,
        Command::Status => return status::status(&paths),
        Command::Ssh(options) => ssh::ssh(&paths, &options)?,
        Command::SshConfig => ssh::ssh_config(&paths)?,
        Command::OpenTunnel(options) => tunnel::open(&paths, &options)?,
        Command::Doctor => return Ok(doctor::doctor(&paths)),
        Command::Image { command: ImageCommand::List } => image::list(&paths),
        Command::Image { command: ImageCommand::Build { names } } => {
            paths.make()?;
            for recipe in &image::ALL {
                let named =
                    |name: &String| image::Recipe::named(name).map(|at| at.name == recipe.name);
                let wanted = names.iter().map(named).collect::<Result<Vec<_>, _>>()?;
                if names.is_empty() || wanted.contains(&true) {
                    recipe.provide(&paths)?;
                }
            }
            image::list(&paths);
        }
        Command::Objects { command } => return store::run(&paths, command),
        Command::Account { command } => account::run(&paths, command)?,
        Command::Reset { yes } => status::reset(&paths, yes)?,
        Command::Test | Command::Bench { .. } => anyhow::bail!(
            "tests and benchmarks run from the project's folder: ./fogbank test, ./fogbank bench NAME"
        ),
        Command::Supervise => up::supervise(&paths)?,
        Command::Role { role } => roles::run(role, &paths)?,
    }
    Ok(ExitCode::SUCCESS)
}
