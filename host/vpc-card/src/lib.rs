//! The instances' network: a user-space switch with one vhost-user port for each interface.
