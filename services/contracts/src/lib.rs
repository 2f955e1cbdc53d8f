//! What the services say to each other, and what the operator must know of it: ports, topics,
//! environment variables, networks, events, protos, money and ids. Nothing here does I/O.

pub mod availability;
pub mod country;
pub mod demo;
pub mod email_token;
pub mod env;
pub mod events;
pub mod id;
pub mod limits;
#[cfg(feature = "mail")]
pub mod mail;
pub mod metrics;
pub mod money;
pub mod network;
pub mod phone;
pub mod ports;
pub mod search;
pub mod sku;
pub mod text;
pub mod topics;
pub mod weights;

pub use availability::Availability;
pub use email_token::EmailToken;
pub use id::{EventId, OrderId, PaymentId, ProductId, ReviewId, StockId, UserId};
pub use money::{Currency, Money, MoneyError};
pub use network::{
    FORWARDED_FOR, Network, NetworkError, NotNetworks, TrustedProxies, client_network, is_public,
};
pub use phone::Phone;
pub use sku::{Sku, SkuError};

/// Messages and stubs generated from `proto/` (`make generate`).
#[cfg(feature = "grpc")]
#[expect(missing_docs, clippy::pedantic, reason = "generated code")]
pub mod proto {
    pub mod catalog {
        include!("gen/shop.catalog.v1.rs");
    }
    pub mod inventory {
        include!("gen/shop.inventory.v1.rs");
    }
    pub mod order {
        include!("gen/shop.order.v1.rs");
    }
    pub mod review {
        include!("gen/shop.review.v1.rs");
    }
    pub mod user {
        include!("gen/shop.user.v1.rs");
    }
}
