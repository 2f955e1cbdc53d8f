//! Stock over gRPC.

use std::collections::HashMap;

use contracts::proto::inventory::GetStockRequest;
use contracts::proto::inventory::inventory_client::InventoryClient;
use kit::grpc::Peer;

use crate::world::{start, supply};

#[tokio::test]
async fn stock_of_many_skus_at_once() {
    let running = start().await;
    supply(running.pool(), "A", 5).await;
    supply(running.pool(), "B", 7).await;
    let peer: Peer = format!("http://{}", running.bound.grpc).parse().unwrap();
    let mut client = InventoryClient::new(peer.client());
    let mut ask = async |skus: &[&str]| {
        let skus = skus.iter().map(|sku| (*sku).to_owned()).collect();
        client.get_stock(GetStockRequest { skus }).await.map(|answer| {
            answer.into_inner().stock.into_iter().map(|s| (s.sku, s.available)).collect()
        })
    };
    let stock: HashMap<String, i64> =
        ask(&["B", "NOWHERE", "A", "A", "no sku", "", "A\0"]).await.unwrap();
    assert_eq!(stock, HashMap::from([("A".to_owned(), 5), ("B".to_owned(), 7)]));
    assert_eq!(ask(&["A"; 500]).await.unwrap().len(), 1);
    assert_eq!(ask(&["A"; 501]).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}
