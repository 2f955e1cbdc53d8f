//! The payment service as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::<payment::Payment>()
}
