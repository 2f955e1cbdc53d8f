//! Tells shoppers what has become of their orders.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::<notification::Notification>()
}
