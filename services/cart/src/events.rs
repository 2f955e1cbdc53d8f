//! What carts do about orders.

use std::collections::BTreeSet;

use async_trait::async_trait;
use contracts::events::{Event, OrderPaid};
use contracts::topics::Aggregate;
use kit::inbox::Delivery;
use kit::kafka::Record;
use kit::subscription::{HandlerError, Process};

use crate::store::Store;

/// Takes out of carts what was bought. The note that keeps a second delivery from taking it out
/// again lies in Redis beside the cart and is written by the same script.
pub struct Forget(pub Store);

#[async_trait]
impl Process for Forget {
    fn aggregates(&self) -> BTreeSet<Aggregate> {
        BTreeSet::from([OrderPaid::AGGREGATE])
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type == OrderPaid::TYPE
    }

    async fn process(&self, record: &Record) -> Result<(), HandlerError> {
        let Delivery { id, event, .. } = Delivery::<OrderPaid>::from_record(record)?;
        self.0.forget(id, &event).await.map_err(HandlerError::transient)
    }
}
