//! `fogbank account`: the cloud's accounts, each isolated from the others.

use crate::{admin, paths::Paths, status};
use anyhow::Context as _;
use clap::Subcommand;
use server::AdminRequest;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an account: a default VPC in each region, users and roles of its own
    Create {
        /// Its name, which no other account has
        name: String,
        /// An address that no other account has
        #[arg(long)]
        email: Option<String>,
    },
    /// List all accounts
    List,
    /// Print what points AWS tools at an account: eval "$(fogbank account credentials NAME)"
    Credentials {
        /// Its name or its ID
        account: String,
        /// By HTTPS, as of 'fogbank env'
        #[arg(long)]
        tls: bool,
    },
    /// Close an account: its keys and sessions sign no longer, and its instances stop
    Close {
        /// Its name or its ID
        account: String,
    },
    /// Open an account again that was closed
    Reopen {
        /// Its name or its ID
        account: String,
    },
}

/// Runs a command about accounts.
pub fn run(paths: &Paths, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { name, email } => {
            let request = AdminRequest::CreateAccount { name: name.clone(), email };
            let reply = admin::ask(paths, &request)?;
            let made = reply.accounts.iter().find(|account| account.name == name);
            out!("{}", made.context("the server doesn't list the new account")?.id);
        }
        Command::List => {
            for account in admin::ask(paths, &AdminRequest::Status)?.accounts {
                let state = if account.closed { "closed" } else { "open" };
                let email = account.email.unwrap_or_default();
                out!("{}  {state:<6}  {}  {email}", account.id, account.name);
            }
        }
        Command::Credentials { account, tls } => {
            let reply = admin::ask(paths, &AdminRequest::AccountKey { account })?;
            let key = reply.key.context("the server gave no key")?;
            status::print_env(paths, tls, &key.id, &key.secret)?;
        }
        Command::Close { account } => {
            admin::ask(paths, &AdminRequest::CloseAccount { account, closed: true })?;
        }
        Command::Reopen { account } => {
            admin::ask(paths, &AdminRequest::CloseAccount { account, closed: false })?;
        }
    }
    Ok(())
}
