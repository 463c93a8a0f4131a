//! Makes its host's desired state so and reports what it observes.
