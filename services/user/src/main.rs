//! Accounts, sessions and roles; signs the shop's access tokens.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::<user::User>()
}
