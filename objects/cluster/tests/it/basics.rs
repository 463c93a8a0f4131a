//! What the cluster promises, one thing at a time.
