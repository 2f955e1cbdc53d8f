//! Drives a real cluster from outside.
