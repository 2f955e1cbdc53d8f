//! Where images are in the shop's object store.

use std::time::Duration;

use axum::body::Bytes;
use kit::objects;
pub use kit::objects::{Error, Settings, Unusable};
use reqwest::Response;

/// How long an answer of the store, or the next part of one, may take: requests of shoppers wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The images in the store.
pub struct Store(objects::Store);

impl Store {
    /// The store of these settings. Nothing is asked of it yet.
    pub fn new(settings: Settings) -> Result<Self, Unusable> {
        objects::Store::new(settings, PATIENCE).map(Self)
    }

    /// Whether the shop has one.
    pub const fn is_there(&self) -> bool {
        self.0.is_there()
    }

    /// Stores an image, or another in its place.
    pub async fn put(&self, name: &str, kind: &'static str, bytes: Bytes) -> Result<(), Error> {
        self.0.put(&key(name), kind, bytes).await
    }

    /// An image as it comes, if it is there.
    pub async fn get(&self, name: &str) -> Result<Option<Response>, Error> {
        self.0.get(&key(name)).await
    }

    /// Makes sure that an image is not there.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        self.0.delete(&key(name)).await
    }
}

fn key(name: &str) -> String {
    format!("images/{name}")
}
