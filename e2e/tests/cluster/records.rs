//! What `scripts/test` wants to know of each scenario: how long it took, and whether it is flaky. Scenarios build upon each
//! other, so that one that fails is repeated here, in its place, and not after all of them.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::world::World;

/// Where the lines go.
#[derive(Debug)]
pub(crate) struct Records {
    file: Option<PathBuf>,
    /// So many more are repeated; where more fail, something is broken.
    repeats: Mutex<u32>,
}

impl Records {
    /// As the environment says; a run by hand keeps no records, and repeats nothing.
    pub(crate) fn from_environment() -> Self {
        let limit = std::env::var("FLAKY_LIMIT").ok().and_then(|limit| limit.parse().ok());
        let file = std::env::var_os("TEST_RECORDS").map(PathBuf::from);
        Self { file, repeats: Mutex::new(limit.unwrap_or_default()) }
    }

    /// Runs a scenario, and again at once if it fails.
    pub(crate) async fn run<T: Future<Output = Result<()>>>(
        &self,
        name: &str,
        scenario: impl Fn(World) -> T,
    ) -> Result<()> {
        let begun = Instant::now();
        let outcome = match scenario(World::new()).await {
            Err(reason) if self.may_repeat() => {
                eprintln!("\n{name} has failed, and is repeated: {reason:#}");
                // What the second attempt may change.
                let pods = World::new().kubectl.run(&["get", "pods", "-o", "wide"]).await;
                eprintln!("{}", pods.unwrap_or_else(|error| format!("{error:#}")));
                let again = scenario(World::new()).await;
                if again.is_ok() {
                    self.note(&format!("flaky e2e::{name}"))?;
                }
                again.with_context(|| format!("twice, the first time: {reason:#}"))
            }
            outcome => outcome,
        };
        self.note(&format!("time {:.1} e2e::{name}", begun.elapsed().as_secs_f64()))?;
        outcome
    }

    fn may_repeat(&self) -> bool {
        let mut repeats = self.repeats.lock().expect("nobody panics with it");
        let allowed = *repeats > 0;
        *repeats = repeats.saturating_sub(1);
        allowed
    }

    fn note(&self, line: &str) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(file, "{line}").context("no record can be written")
    }
}
