//! The catalog against real Postgres, Redis and Kafka.
