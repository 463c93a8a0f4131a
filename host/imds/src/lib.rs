//! The instance metadata service as a pure request to response function.
