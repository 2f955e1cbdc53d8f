//! What carts do about orders and products.

use std::collections::BTreeSet;

use async_trait::async_trait;
use contracts::events::{Event, OrderPaid, ProductDeleted};
use contracts::topics::Aggregate;
use kit::inbox::Delivery;
use kit::kafka::Record;
use kit::subscription::{HandlerError, Process};

use crate::store::Store;

/// Takes out of carts what was bought, and what was deleted. The note that keeps a second delivery from
/// taking out again what was bought lies in Redis beside the cart and is written by the same script. What
/// was deleted may be told any number of times.
pub struct Forget(pub Store);

#[async_trait]
impl Process for Forget {
    fn aggregates(&self) -> BTreeSet<Aggregate> {
        BTreeSet::from([OrderPaid::AGGREGATE, ProductDeleted::AGGREGATE])
    }

    fn wants(&self, event_type: &str) -> bool {
        [OrderPaid::TYPE, ProductDeleted::TYPE].contains(&event_type)
    }

    async fn process(&self, record: &Record) -> Result<(), HandlerError> {
        let done = if record.r#type == ProductDeleted::TYPE {
            let Delivery { event, .. } = Delivery::<ProductDeleted>::from_record(record)?;
            self.0.let_go(event.product_id).await
        } else {
            let Delivery { id, event, .. } = Delivery::<OrderPaid>::from_record(record)?;
            self.0.forget(id, &event).await
        };
        done.map_err(HandlerError::from)
    }
}
