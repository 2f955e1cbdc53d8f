//! Reconciles `Shop` resources.
