//! Asks the servers of a shop, and keeps their last answers, so that a pass at rest talks to none.

use std::collections::HashMap;
use std::sync::Mutex;

use futures_util::future::join4;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use operator_core::crd::Shop;
use operator_core::facts::{Probe, Servers, Trouble, TroubleKind};
use operator_core::plan::{BrokersQuestion, DatabaseQuestion, Questions, TcpQuestion};

use crate::context::lock;
use crate::kafka;
use crate::postgres::{self, Admin};

/// The last answers of the servers of every Shop.
#[derive(Debug, Default)]
pub struct Answers(Mutex<HashMap<ObjectRef<Shop>, Servers>>);

impl Answers {
    /// The last answers of the servers of a Shop.
    pub fn last(&self, shop: &ObjectRef<Shop>) -> Servers {
        lock(&self.0).get(shop).cloned().unwrap_or_default()
    }

    /// Changes what is known of the servers of a Shop.
    pub fn update(&self, shop: &ObjectRef<Shop>, change: impl FnOnce(&mut Servers)) {
        change(lock(&self.0).entry(shop.clone()).or_default());
    }

    /// Forgets a Shop that is gone.
    pub fn forget(&self, shop: &ObjectRef<Shop>) {
        lock(&self.0).remove(shop);
    }
}

/// Asks what has to be asked, side by side.
pub(super) async fn ask(answers: &Answers, shop: &ObjectRef<Shop>, questions: &Questions) {
    let Questions { database, cache, events, object_store, .. } = questions;
    let (database, cache, events, object_store) = join4(
        optional(database.as_ref(), ask_postgres),
        optional(cache.as_ref(), ask_tcp),
        optional(events.as_ref(), ask_brokers),
        optional(object_store.as_ref(), ask_tcp),
    )
    .await;
    answers.update(shop, |servers| {
        servers.database = database.or(servers.database.take());
        servers.cache = cache.or(servers.cache.take());
        servers.events = events.or(servers.events.take());
        servers.object_store = object_store.or(servers.object_store.take());
    });
}

async fn optional<'q, Q, T>(
    question: Option<&'q Q>,
    ask: impl AsyncFnOnce(&'q Q) -> Probe<T>,
) -> Option<Probe<T>> {
    match question {
        Some(question) => Some(ask(question).await),
        None => None,
    }
}

async fn ask_postgres(question: &DatabaseQuestion) -> Probe<operator_core::facts::DatabaseServer> {
    let inventory = async {
        let mut admin = Admin::connect(&question.address).await?;
        let inventory = admin.inventory(&question.databases).await?;
        admin.close().await;
        Ok(inventory)
    };
    let answer = inventory.await.map_err(|error: postgres::Error| error.trouble());
    probe(&question.subject, answer)
}

async fn ask_brokers(question: &BrokersQuestion) -> Probe<operator_core::facts::Brokers> {
    let answer = kafka::inventory(question).await.map_err(|error| error.trouble());
    probe(&question.subject, answer)
}

async fn ask_tcp(question: &TcpQuestion) -> Probe<()> {
    let message = format!("{} accepts no connections", question.address);
    let answer = if kafka::connects(&question.address).await {
        Ok(())
    } else {
        Err(Trouble { kind: TroubleKind::Unreachable, message })
    };
    probe(&question.subject, answer)
}

fn probe<T>(subject: &str, answer: Result<T, Trouble>) -> Probe<T> {
    Probe { subject: subject.to_owned(), at: Timestamp::now(), answer }
}
