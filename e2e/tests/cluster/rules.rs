//! What must always hold, and that breaking it is seen.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::invariants::{Databases, hold, look};

use crate::world::{SHOP, World};

/// How long events may be on their way to their effects.
const PATIENCE: Duration = Duration::from_mins(2);

/// Ways to break each rule, and to mend it: rule, service, the one, the other.
const BREAKS: [(u8, &str, &str, &str); 7] = [
    (
        1,
        "inventory",
        "UPDATE stock SET available = available + 1 WHERE sku = (SELECT min(sku) FROM stock)",
        "UPDATE stock SET available = available - 1 WHERE sku = (SELECT min(sku) FROM stock)",
    ),
    (
        2,
        "inventory",
        "UPDATE reservation_lines SET quantity = quantity + 1 WHERE order_id =
             (SELECT order_id FROM reservations WHERE state = 'committed' ORDER BY order_id LIMIT 1)",
        "UPDATE reservation_lines SET quantity = quantity - 1 WHERE order_id =
             (SELECT order_id FROM reservations WHERE state = 'committed' ORDER BY order_id LIMIT 1)",
    ),
    (
        3,
        "payment",
        "UPDATE payments SET amount = amount + 1 WHERE id =
             (SELECT id FROM payments WHERE status = 'captured' ORDER BY id LIMIT 1)",
        "UPDATE payments SET amount = amount - 1 WHERE id =
             (SELECT id FROM payments WHERE status = 'captured' ORDER BY id LIMIT 1)",
    ),
    (
        3,
        "payment",
        "INSERT INTO credit.accounts (id, kind, user_id, currency, balance)
             VALUES ('01900000-0000-7000-8000-000000000000', 'customer',
                     '01900000-0000-7000-8000-000000000000', 'EUR', 5)",
        "DELETE FROM credit.accounts WHERE id = '01900000-0000-7000-8000-000000000000'",
    ),
    (
        4,
        "inventory",
        "INSERT INTO reservations (order_id, state)
             VALUES ('01900000-0000-7000-8000-000000000000', 'rejected')",
        "DELETE FROM reservations WHERE order_id = '01900000-0000-7000-8000-000000000000'",
    ),
    (
        5,
        "order",
        "UPDATE inbox SET consumer = 'nobody' WHERE event_id =
             (SELECT event_id FROM inbox ORDER BY received_at LIMIT 1)",
        "UPDATE inbox SET consumer = 'order' WHERE consumer = 'nobody'",
    ),
    (
        6,
        "order",
        "UPDATE orders SET version = version + 1 WHERE id = (SELECT id FROM orders ORDER BY id LIMIT 1)",
        "UPDATE orders SET version = version - 1 WHERE id = (SELECT id FROM orders ORDER BY id LIMIT 1)",
    ),
];

/// Every rule holds; fails with what is wrong.
pub(crate) async fn all_hold(world: &World) -> Result<()> {
    hold_in(world, SHOP).await
}

/// Every rule holds in this shop.
pub(crate) async fn hold_in(world: &World, shop: &str) -> Result<()> {
    let databases = Databases::of(&world.kubectl, shop).await?;
    let counts = hold(&databases, PATIENCE).await?;
    ensure!(counts.orders > 0 && counts.effects > 0, "nothing was looked at: {counts:?}");
    Ok(())
}

/// Who listens to events and can be asked for its dead letters.
const LISTENERS: [&str; 8] =
    ["user", "catalog", "cart", "order", "payment", "inventory", "review", "notification"];

/// Nobody has given up on an event.
pub(crate) async fn nothing_put_aside(world: &World) -> Result<()> {
    for service in LISTENERS {
        let (deployment, program) = (format!("deploy/{SHOP}-{service}"), format!("/{service}"));
        let told = world.kubectl.run(&["exec", &deployment, "--", &program, "replay"]).await?;
        ensure!(told.starts_with("0 dead letters have taken effect, 0 "), "{service}: {told}");
    }
    Ok(())
}

/// A check that cannot fail would say that all is well.
pub(crate) async fn are_checked(world: World) -> Result<()> {
    all_hold(&world).await?;
    let databases = Databases::of(&world.kubectl, SHOP).await?;
    for (rule, service, harm, mend) in BREAKS {
        ensure!(databases.execute(service, harm).await? == 1, "nothing was harmed by {harm}");
        let seen = look(&databases).await;
        ensure!(databases.execute(service, mend).await? == 1, "nothing was mended by {mend}");
        let violations = seen?.violations;
        let rules: Vec<u8> = violations.keys().map(|(rule, _)| *rule).collect();
        ensure!(rules.contains(&rule), "rule {rule} was broken, but {violations:?} is seen");
    }
    all_hold(&world).await
}
