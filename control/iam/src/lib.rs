//! Accounts, credentials and STS.
