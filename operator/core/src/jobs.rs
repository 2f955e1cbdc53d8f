//! How Jobs have ended.

use jiff::Timestamp;
use serde_json::Value;

use crate::child::Seen;

/// Whether a Job has completed.
pub fn is_complete(job: &Seen) -> bool {
    has_ended(job, "Complete")
}

/// Whether a Job has failed.
pub fn is_failed(job: &Seen) -> bool {
    has_ended(job, "Failed")
}

/// When a Job ended, if it has.
pub fn ended_at(job: &Seen) -> Option<Timestamp> {
    let end = conditions(job).iter().find(|condition| {
        condition["status"] == "True"
            && matches!(condition["type"].as_str(), Some("Complete" | "Failed"))
    });
    end?["lastTransitionTime"].as_str()?.parse().ok()
}

/// What the Job itself says of its failure.
pub fn failure_message(job: &Seen) -> Option<&str> {
    let failed = conditions(job).iter().find(|condition| condition["type"] == "Failed");
    failed.and_then(|condition| condition["message"].as_str())
}

fn has_ended(job: &Seen, way: &str) -> bool {
    let is = |condition: &Value| condition["type"] == way && condition["status"] == "True";
    conditions(job).iter().any(is)
}

fn conditions(job: &Seen) -> &[Value] {
    job.status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default()
}
