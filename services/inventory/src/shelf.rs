//! Serving orders from stock that is locked, one after the other. Rules only: no I/O, no await.

use std::collections::BTreeMap;

use contracts::events::{Shortage, StockLow};
use contracts::{Sku, StockId};

use crate::stock::{Demand, falls_low};

/// What there is of a SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// What events about it are keyed by.
    pub id: StockId,
    /// Units that can be reserved.
    pub available: i64,
    /// At or below this many available units the stock is low.
    pub low_threshold: Option<i64>,
}

/// What there is, by SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelves(pub BTreeMap<Sku, Shelf>);

impl Shelves {
    /// Takes everything that an order needs, and says what has become low by it; or nothing, and says what there is
    /// too little of.
    pub fn serve(&mut self, demand: &Demand) -> Result<Vec<StockLow>, Vec<Shortage>> {
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
        let mut low = Vec::new();
        for (sku, quantity) in demand.lines() {
            let Some(there) = self.0.get_mut(sku) else { continue };
            let (before, at) = (there.available, there.low_threshold);
            there.available -= quantity;
            if let Some(threshold) = falls_low((before, at), (there.available, at)) {
                let (stock_id, available) = (there.id, there.available);
                low.push(StockLow { stock_id, sku: sku.clone(), available, threshold });
            }
        }
        Ok(low)
    }
}
