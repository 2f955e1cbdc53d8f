//! What once hurt a shop.

mod conditions;
mod data_loss;
mod deletion;
mod migrations;
mod ownership;
mod pods;
mod rollouts;
mod topics;
