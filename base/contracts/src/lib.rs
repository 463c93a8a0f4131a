//! What the planes say to each other: desired state, observations, card configuration.
