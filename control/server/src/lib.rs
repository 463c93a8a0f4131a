//! The control plane's shell: HTTP, dispatch, store, hosts.
