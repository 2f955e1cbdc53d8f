//! What the services say to each other, and what the operator must know of it: ports, topics,
//! environment variables, events, protos, money and ids. Nothing here does I/O.

pub mod env;
pub mod ports;
pub mod topics;
