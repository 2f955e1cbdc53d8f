//! Which service answers which path.

use contracts::limits::MAX_IMAGE_BYTES;

use Upstream::{Cart, Catalog, Inventory, Notification, Order, Payment, Review, User};

/// A service behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Upstream {
    /// Accounts.
    User,
    /// Products.
    Catalog,
    /// Carts.
    Cart,
    /// Orders.
    Order,
    /// Money.
    Payment,
    /// Stock.
    Inventory,
    /// Reviews.
    Review,
    /// Messages.
    Notification,
}

impl Upstream {
    /// Every service behind the gateway.
    pub const ALL: [Self; 8] =
        [User, Catalog, Cart, Order, Payment, Inventory, Review, Notification];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            User => "user",
            Catalog => "catalog",
            Cart => "cart",
            Order => "order",
            Payment => "payment",
            Inventory => "inventory",
            Review => "review",
            Notification => "notification",
        }
    }

    /// The service of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|upstream| upstream.name() == name)
    }

    /// Whether a shop can do without it.
    pub const fn optional(self) -> bool {
        matches!(self, Review | Notification)
    }
}

/// The routes: whatever begins with these segments goes to that service; `{}` is any one segment.
/// The longest match wins.
const ROUTES: [(&str, Upstream); 18] = [
    ("/.well-known/jwks.json", User),
    ("/api/v1/auth", User),
    ("/api/v1/users", User),
    ("/api/v1/me", User),
    ("/api/v1/products", Catalog),
    ("/api/v1/products/{}/reviews", Review),
    ("/api/v1/images", Catalog),
    ("/api/v1/categories", Catalog),
    ("/api/v1/reviews", Review),
    ("/api/v1/cart", Cart),
    ("/api/v1/orders", Order),
    ("/api/v1/payments", Payment),
    ("/api/v1/payment-methods", Payment),
    ("/api/v1/credit", Payment),
    ("/api/v1/webhooks/payments", Payment),
    ("/api/v1/stock", Inventory),
    ("/api/v1/notifications", Notification),
    ("/api/v1/live", Notification),
];

/// The route of a path, and the service that answers it.
pub fn find(path: &str) -> Option<(&'static str, Upstream)> {
    let length = |pattern: &str| pattern.split('/').count();
    ROUTES
        .into_iter()
        .filter(|(pattern, _)| begins_with(path, pattern))
        .max_by_key(|(pattern, _)| length(pattern))
}

/// Paths whose bodies may be larger than others, and how large, in bytes.
const LARGE: [(&str, usize); 1] = [("/api/v1/products/{}/images", MAX_IMAGE_BYTES)];
/// How large a body may be that goes to any other path.
pub const BODY_LIMIT: usize = 2 << 20;

/// How large a body may be that goes to this path.
pub fn body_limit(path: &str) -> usize {
    let segments = path.split('/').count();
    let whole =
        |pattern: &str| begins_with(path, pattern) && pattern.split('/').count() == segments;
    let large = LARGE.into_iter().find(|(pattern, _)| whole(pattern));
    large.map_or(BODY_LIMIT, |(_, limit)| limit)
}

fn begins_with(path: &str, pattern: &str) -> bool {
    let mut segments = path.split('/');
    pattern.split('/').all(|expected| {
        segments.next().is_some_and(|segment| match expected {
            "{}" => !segment.is_empty(),
            _ => segment == expected,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_the_service_that_owns_it() {
        for (path, upstream) in [
            ("/.well-known/jwks.json", User),
            ("/api/v1/auth/login", User),
            ("/api/v1/users", User),
            ("/api/v1/me/favourites/7", User),
            ("/api/v1/products", Catalog),
            ("/api/v1/products/7", Catalog),
            ("/api/v1/products/7/images/3", Catalog),
            ("/api/v1/images/7-320.jpg", Catalog),
            ("/api/v1/products/7/reviews", Review),
            ("/api/v1/products/7/reviews/9", Review),
            ("/api/v1/products//reviews", Catalog),
            ("/api/v1/reviews/9", Review),
            ("/api/v1/categories/mugs", Catalog),
            ("/api/v1/cart/items/7", Cart),
            ("/api/v1/orders/7/history", Order),
            ("/api/v1/payments/7/refunds", Payment),
            ("/api/v1/payment-methods/7", Payment),
            ("/api/v1/credit", Payment),
            ("/api/v1/webhooks/payments/stripe", Payment),
            ("/api/v1/stock/MUG", Inventory),
            ("/api/v1/notifications", Notification),
            ("/api/v1/live", Notification),
        ] {
            assert_eq!(find(path).map(|(_, upstream)| upstream), Some(upstream), "{path}");
        }
    }

    #[test]
    fn nothing_else_is_passed_on() {
        for path in [
            "",
            "/",
            "/api/v1",
            "/api/v1/",
            "/api/v1/productsx",
            "/api/v1/../v1/products",
            "/api/v1/webhooks",
            "/openapi.json",
            "/metrics",
            "/API/v1/products",
            "//api/v1/products",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }

    #[test]
    fn names_are_parsed_back() {
        for upstream in Upstream::ALL {
            assert_eq!(Upstream::parse(upstream.name()), Some(upstream));
        }
        assert_eq!(Upstream::parse("gateway"), None);
    }

    #[test]
    fn only_files_of_images_may_be_large() {
        assert_eq!(body_limit("/api/v1/products/7/images"), MAX_IMAGE_BYTES);
        for path in
            ["/api/v1/products/7", "/api/v1/products/7/images/3", "/api/v1/products//images"]
        {
            assert_eq!(body_limit(path), BODY_LIMIT, "{path}");
        }
    }
}
