//! How a new version of a service takes over from the old one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ServiceName, empty};

/// How a new version of a service, by image or by configuration, takes over from the old one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.canary) || self.strategy == 'Canary'")
        .message("canary is for strategy Canary only"),
    validation = Rule::new("!has(self.blueGreen) || self.strategy == 'BlueGreen'")
        .message("blueGreen is for strategy BlueGreen only"),
)]
pub struct Rollout {
    /// Whether pods are replaced one by one, whether the new version gets a growing share of the
    /// shoppers' requests while it is measured, or whether it is started beside the old one and gets all at once.
    #[serde(default)]
    pub strategy: RolloutStrategy,

    /// Settings of the strategy `Canary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySettings>,

    /// Settings of the strategy `BlueGreen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreenSettings>,
}

/// How a new version takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutStrategy {
    /// Pod by pod, as soon as each is ready.
    #[default]
    RollingUpdate,
    /// In steps: the gateway sends the new version a share of the requests, and what its pods measure decides.
    Canary,
    /// At once: the new version is complete and ready before it gets the first request.
    BlueGreen,
}

/// Steps of a canary, and what it is judged by.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanarySettings {
    /// Shares of the shoppers' requests that the new version gets, one after the other; none is less than
    /// the one before it. After the last the new version takes over. Default: 5, 25 and 50 percent, for two minutes each.
    #[serde(default = "default_steps")]
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub steps: Vec<CanaryStep>,

    /// Least share of requests, in percent, that the new version's pods must answer with less than status 500.
    #[serde(default = "default_success")]
    #[schemars(range(min = 1, max = 100))]
    pub min_success_percent: i32,

    /// Longest time in milliseconds that `latencyPercentile` percent of the requests may take. Between two bounds of the
    /// pods' histograms (…, 250, 500, 750, 1000, 2500, …) the next larger one counts.
    #[serde(default = "default_latency")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_latency_milliseconds: i32,

    /// Percent of the requests that must be as fast as that.
    #[serde(default = "default_percentile")]
    #[schemars(range(min = 50, max = 99))]
    pub latency_percentile: i32,

    /// Requests that a step needs before it is judged. A step that has had fewer when its time is over waits: it
    /// neither goes on nor back.
    #[serde(default = "default_requests")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: i32,
}

/// One step of a canary.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStep {
    /// Percent of the shoppers' requests.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,

    /// Seconds that the step lasts at least. The gateway notices a new weight within about a minute and a half.
    #[serde(default = "default_pause")]
    #[schemars(range(min = 1, max = 86_400))]
    pub pause_seconds: i32,
}

/// When the new version gets the requests, and how long the old one is kept afterwards.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreenSettings {
    /// Seconds for which the new version is ready and gets no request but of those who ask
    /// `<shop>-<service>-canary` themselves.
    #[serde(default = "default_preview")]
    #[schemars(range(min = 0, max = 86_400))]
    pub preview_seconds: i32,

    /// Whether the new version gets the requests by itself after the preview. If not, the annotation
    /// `shop-operator.io/promote` is waited for.
    #[serde(default = "super::yes")]
    pub auto_promote: bool,

    /// Seconds for which the old version is kept, complete, after the new one has got the requests: so long
    /// the annotation `shop-operator.io/abort` brings it back.
    #[serde(default = "default_retain")]
    #[schemars(range(min = 0, max = 86_400))]
    pub retain_seconds: i32,
}

fn default_steps() -> Vec<CanaryStep> {
    [5, 25, 50].map(|weight| CanaryStep { weight, pause_seconds: default_pause() }).into()
}

fn default_pause() -> i32 {
    120
}

fn default_success() -> i32 {
    99
}

fn default_latency() -> i32 {
    1000
}

fn default_percentile() -> i32 {
    99
}

fn default_requests() -> i32 {
    50
}

fn default_preview() -> i32 {
    60
}

fn default_retain() -> i32 {
    180
}

impl Default for CanarySettings {
    fn default() -> Self {
        empty()
    }
}

impl Default for BlueGreenSettings {
    fn default() -> Self {
        empty()
    }
}

/// A new version of a service that has not taken over yet, or was taken back.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Name of the service.
    pub name: ServiceName,

    /// How the new version takes over.
    pub strategy: RolloutStrategy,

    /// How far it is.
    pub state: RolloutState,

    /// Why it is not further, or that it gets on.
    pub reason: RolloutReason,

    /// The same in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,

    /// Steps that are done.
    #[serde(default)]
    pub step: i32,

    /// Percent of the shoppers' requests that go to the new version.
    #[serde(default)]
    pub weight: i32,

    /// When this step began.
    pub since: Time,

    /// Hash of the new version's pod template. One that was taken back is not tried again.
    #[schemars(length(max = 64))]
    pub template: String,

    /// Whether somebody has asked for the switch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promoted: bool,

    /// What the new version's pods had counted when this step began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub baseline: Vec<PodCounters>,
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutState {
    /// The new version's pods are not all ready yet.
    Starting,
    /// A step lasts.
    Progressing,
    /// A step is over, and something is missing for the next.
    Paused,
    /// The new version takes over.
    Promoting,
    /// The new version was taken back.
    Failed,
}

/// Why a rollout is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutReason {
    /// The migration of the new version is not applied yet.
    WaitsForMigration,
    /// Pods start.
    PodsStart,
    /// The time of a step is not over.
    StepLasts,
    /// Too few requests were measured to judge by.
    NoData,
    /// Somebody has to promote it.
    WaitsForPromotion,
    /// Every step was passed.
    StepsPassed,
    /// Somebody has promoted it.
    Promoted,
    /// Somebody has aborted it.
    Aborted,
    /// Its pods did not become ready in time.
    NotReady,
    /// Too many of its answers were server errors.
    TooManyFailures,
    /// Too many of its answers came too late.
    TooSlow,
}

impl RolloutReason {
    /// The word in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WaitsForMigration => "WaitsForMigration",
            Self::PodsStart => "PodsStart",
            Self::StepLasts => "StepLasts",
            Self::NoData => "NoData",
            Self::WaitsForPromotion => "WaitsForPromotion",
            Self::StepsPassed => "StepsPassed",
            Self::Promoted => "Promoted",
            Self::Aborted => "Aborted",
            Self::NotReady => "NotReady",
            Self::TooManyFailures => "TooManyFailures",
            Self::TooSlow => "TooSlow",
        }
    }
}

/// What a pod has counted since it started.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCounters {
    /// UID of the pod.
    #[schemars(length(max = 64))]
    pub pod: String,
    /// Requests answered.
    pub requests: i64,
    /// Those of them answered with a status of 500 or more.
    #[serde(default)]
    pub failures: i64,
    /// Those of them that took longer than they may.
    #[serde(default)]
    pub slow: i64,
}
