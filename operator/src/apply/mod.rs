//! Server-side apply.

pub mod drift;
