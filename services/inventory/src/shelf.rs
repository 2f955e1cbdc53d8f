//! Serving orders from stock that is locked, one after the other. Rules only: no I/O, no await.

use std::collections::BTreeMap;

use contracts::events::{Shortage, StockDepleted, StockLow};
use contracts::{ProductId, Sku, StockId};

use crate::stock::{Demand, falls_low};

/// What there is of a SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// What events about it are keyed by.
    pub id: StockId,
    /// Whose it is, once the catalog has told.
    pub product_id: Option<ProductId>,
    /// Units that can be reserved.
    pub available: i64,
    /// At or below this many available units the stock is low.
    pub low_threshold: Option<i64>,
}

/// What there is, by SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelves(pub BTreeMap<Sku, Shelf>);

/// What others are told of stock that was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// What has become low by it.
    pub low: Vec<StockLow>,
    /// Of what there is nothing left.
    pub depleted: Vec<StockDepleted>,
}

impl Shelves {
    /// Takes everything that an order needs, and says what is to be told of it; or nothing, and says what there is
    /// too little of.
    pub fn serve(&mut self, demand: &Demand) -> Result<Taken, Vec<Shortage>> {
        let short = |(sku, quantity): (&Sku, i64)| {
            let available = self.0.get(sku).map_or(0, |shelf| shelf.available);
            let requested = u32::try_from(quantity).unwrap_or(u32::MAX);
            let shortage = Shortage { sku: sku.clone(), requested, available };
            (available < quantity).then_some(shortage)
        };
        let shortages: Vec<_> = demand.lines().filter_map(short).collect();
        if !shortages.is_empty() {
            return Err(shortages);
        }
        let mut taken = Taken::default();
        for (sku, quantity) in demand.lines() {
            let Some(there) = self.0.get_mut(sku) else { continue };
            let (before, at) = (there.available, there.low_threshold);
            there.available -= quantity;
            if let Some(threshold) = falls_low((before, at), (there.available, at)) {
                let (stock_id, available) = (there.id, there.available);
                taken.low.push(StockLow { stock_id, sku: sku.clone(), available, threshold });
            }
            if let Some(product_id) = there.product_id.filter(|_| there.available == 0) {
                let stock_id = there.id;
                taken.depleted.push(StockDepleted { stock_id, sku: sku.clone(), product_id });
            }
        }
        Ok(taken)
    }
}
