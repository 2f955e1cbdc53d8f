//! The gateway of a shop.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::<gateway::Gateway>()
}
