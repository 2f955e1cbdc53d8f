//! Whose topics in an external Kafka cluster are: of two Shops, and of a Shop and of something else.

mod claim;
mod record;

pub use claim::{Rival, competes, holder, prefix, rivals};
pub use record::Record;
