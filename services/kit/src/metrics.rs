//! Figures about this process, in the default Prometheus registry. Names follow the OpenTelemetry
//! semantic conventions in Prometheus spelling: base units, bounded labels.

use prometheus::{Encoder, TextEncoder};

/// Bucket bounds of durations in seconds (OpenTelemetry, HTTP metrics).
pub const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0];

/// Content type of [`text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Everything that is measured, in the Prometheus text format.
pub fn text() -> String {
    let mut buffer = Vec::new();
    match TextEncoder::new().encode(&prometheus::gather(), &mut buffer) {
        Ok(()) => String::from_utf8_lossy(&buffer).into_owned(),
        Err(error) => {
            tracing::error!(error = %error, "metrics cannot be encoded");
            String::new()
        }
    }
}

/// Registers a metric once per process, on first use:
/// `metric!(int_counter, "orders_placed_total", "Orders placed.")`, with label names at the end.
#[macro_export]
macro_rules! metric {
    (counter, $name:literal, $help:literal) => {
        ::std::sync::LazyLock::new(|| {
            ::prometheus::register_int_counter!($name, $help).expect("metric names are unique")
        })
    };
    (counter, $name:literal, $help:literal, $labels:expr) => {
        ::std::sync::LazyLock::new(|| {
            ::prometheus::register_int_counter_vec!($name, $help, $labels)
                .expect("metric names are unique")
        })
    };
    (gauge, $name:literal, $help:literal) => {
        ::std::sync::LazyLock::new(|| {
            ::prometheus::register_gauge!($name, $help).expect("metric names are unique")
        })
    };
    (gauge, $name:literal, $help:literal, $labels:expr) => {
        ::std::sync::LazyLock::new(|| {
            ::prometheus::register_gauge_vec!($name, $help, $labels)
                .expect("metric names are unique")
        })
    };
    (seconds, $name:literal, $help:literal, $labels:expr) => {
        ::std::sync::LazyLock::new(|| {
            let buckets = $crate::metrics::SECONDS.to_vec();
            ::prometheus::register_histogram_vec!($name, $help, $labels, buckets)
                .expect("metric names are unique")
        })
    };
}
