//! The engines, resolved.
