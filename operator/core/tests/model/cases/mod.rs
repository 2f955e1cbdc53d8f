//! What once hurt a shop.

mod data_loss;
mod deletion;
mod migrations;
mod topics;
