//! The services, resolved.
