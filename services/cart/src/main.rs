//! The cart service.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::<cart::Cart>()
}
