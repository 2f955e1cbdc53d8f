//! Whenever the operator dies, another ends where it would have ended.

use serde_json::json;

use crate::process::Process;
use crate::world::World;
use crate::{external, settle, settled, state};

/// Lets the operator die after each write of what follows a change.
fn crash_everywhere(start: &World, change: impl Fn(&mut World)) -> usize {
    let mut reference = start.clone();
    change(&mut reference);
    settle(&mut reference, &mut Process::new(0));
    let expected = state(&reference);
    for writes in 0.. {
        let mut world = start.clone();
        change(&mut world);
        let mut doomed = Process::new(1);
        doomed.budget = Some(writes);
        let mut is_over = true;
        for _ in 0..200 {
            let before = doomed.writes;
            let Ok(requeue) = doomed.follow(&mut world) else {
                is_over = false;
                break;
            };
            if !world.control()
                && before == doomed.writes
                && requeue >= operator_core::plan::POD_POLL
            {
                break;
            }
            world.advance(2);
        }
        settle(&mut world, &mut Process::new(2));
        let found = state(&world);
        for (key, value) in &expected {
            assert_eq!(found.get(key), Some(value), "{key} after {writes} writes");
        }
        assert_eq!(found.len(), expected.len(), "after {writes} writes");
        if is_over {
            return writes;
        }
    }
    0
}

#[test]
fn a_crash_after_each_write_of_a_new_shop() {
    let writes = crash_everywhere(&World::new(), |world| world.create(external(&json!({}))));
    println!("{writes} crashes");
    assert!(writes > 100, "only {writes} crashes");
}

#[test]
fn a_crash_after_each_write_of_an_upgrade() {
    let (start, _) = settled(external(&json!({})));
    let version = json!({ "version": "2.0.0" });
    let writes = crash_everywhere(&start, |world| world.patch_spec(&version));
    println!("{writes} crashes");
    assert!(writes > 20, "only {writes} crashes");
}
