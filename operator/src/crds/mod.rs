//! The CRD in the cluster: applied by `shop-operator crds apply`, and compared with the one that this version
//! needs for as long as the operator runs.

mod apply;
mod watch;

pub use apply::{Error, Outcome, apply};
pub use watch::{Installed, Pod, follow};
