//! The order service.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::<order::Order>()
}
