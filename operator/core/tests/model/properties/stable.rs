//! When nothing changes any more, the desired state is reached, and then nothing is planned.

use serde_json::json;

use crate::{condition, external, settled};

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures itself")]
fn a_new_shop_becomes_ready_and_rests() {
    for spec in [json!({}), external(&json!({})), external(&json!({ "demoData": true }))] {
        let (mut world, mut process) = settled(spec);
        assert_eq!(condition(&world, "Ready"), "True Available: a shopper can buy");
        let begun = std::time::Instant::now();
        let passes = 1000;
        for _ in 0..passes {
            world.advance(600);
            let plan = process.plan(&mut world).unwrap();
            assert_eq!(plan.actions, []);
            assert_eq!(Some(&plan.status), world.shop.as_ref().unwrap().status.as_ref());
        }
        let each = begun.elapsed() / passes;
        println!("at rest: {passes} passes, {each:?} each");
    }
}
