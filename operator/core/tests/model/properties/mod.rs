//! What holds of every Shop, whatever happens.

mod crash;
mod data;
mod leaves;
mod rollouts;
mod stable;
mod stale;
