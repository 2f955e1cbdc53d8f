//! End to end: the chart is installed, a Shop is applied, shoppers buy, things break, and the shop
//! heals. Needs a cluster with the operator (`make e2e`). The scenarios run in this order, because
//! each leaves the shop as it found it, until the last ones delete it.

mod access;
mod afterwards;
mod api;
mod backups;
mod bad_input;
mod developers;
mod faults;
mod images;
mod lifecycle;
mod probes;
mod purchase;
mod records;
mod rest;
mod rollouts;
mod rules;
mod soak;
mod traces;
mod world;

use std::future::Future;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use records::Records;
use world::World;

static RECORDS: LazyLock<Records> = LazyLock::new(Records::from_environment);

/// A scenario as a test of the runner.
fn scenario<F, T>(runtime: &Arc<Runtime>, name: &'static str, run: F) -> Trial
where
    F: Fn(World) -> T + Send + 'static,
    T: Future<Output = Result<()>>,
{
    let runtime = Arc::clone(runtime);
    Trial::test(name, move || {
        runtime.block_on(RECORDS.run(name, run)).map_err(|error| format!("{error:#}").into())
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let runtime = Arc::new(Runtime::new().expect("a runtime can be made"));
    let elsewhere = std::env::var_os(rest::AUDIT_LOG).is_none();
    let trials = vec![
        scenario(&runtime, "a_bad_shop_is_refused_with_a_reason", lifecycle::bad_shops),
        scenario(&runtime, "a_shop_becomes_ready", lifecycle::becomes_ready),
        scenario(&runtime, "pods_are_restricted_and_fenced", lifecycle::fenced),
        scenario(&runtime, "a_customer_buys", purchase::buys),
        scenario(&runtime, "a_forgotten_password_is_replaced", purchase::forgets_the_password),
        scenario(&runtime, "a_cart_is_bought", purchase::buys_a_cart),
        scenario(&runtime, "sold_out_is_rejected", purchase::sold_out),
        scenario(&runtime, "a_declined_payment_releases_the_stock", purchase::declined),
        scenario(&runtime, "a_repeated_request_orders_once", purchase::repeated),
        scenario(&runtime, "a_client_cannot_cheat", purchase::cheats),
        scenario(&runtime, "bad_input_is_refused_and_changes_nothing", bad_input::is_refused),
        scenario(&runtime, "access_is_as_the_table_says", access::is_as_the_table_says),
        scenario(&runtime, "the_collection_for_postman_buys", api::collection),
        scenario(&runtime, "the_api_does_what_its_document_says", api::document),
        scenario(&runtime, "staff_corrects_the_stock", purchase::restocked),
        scenario(&runtime, "images_of_products_are_shown", images::are_shown),
        scenario(&runtime, "goods_and_money_go_back", afterwards::go_back),
        scenario(&runtime, "second_steps_and_credit_pay", afterwards::pay_otherwise),
        scenario(&runtime, "a_product_is_deleted_once_nobody_waits_for_it", afterwards::delete),
        scenario(&runtime, "developers_look_into_topics", developers::topics),
        scenario(&runtime, "what_must_hold_is_checked", rules::are_checked),
        scenario(&runtime, "every_service_may_be_killed_during_a_purchase", faults::kill_services),
        scenario(&runtime, "two_services_may_be_killed_at_once", faults::kill_pairs),
        scenario(
            &runtime,
            "a_provider_that_does_not_answer_charges_once",
            faults::provider_times_out,
        ),
        scenario(&runtime, "events_that_come_again_have_no_effect", faults::events_come_again),
        scenario(&runtime, "a_thousand_buyers_of_ten_units_pay_for_ten", soak::ten_units),
        scenario(&runtime, "a_second_shop_begins_with_a_backup", backups::are_restored),
        scenario(&runtime, "every_engine_may_lose_its_pod", faults::delete_engines),
        scenario(&runtime, "lost_secrets_are_made_anew", faults::lose_secrets),
        scenario(&runtime, "the_operator_may_be_killed", faults::kill_operator),
        scenario(&runtime, "drift_is_repaired", lifecycle::drift),
        scenario(&runtime, "replicas_and_images_change_without_a_gap", lifecycle::roll_out),
        scenario(&runtime, "a_good_canary_takes_over_and_nobody_notices", rollouts::canary_passes),
        scenario(&runtime, "a_failing_canary_is_taken_back_by_itself", rollouts::canary_fails),
        scenario(&runtime, "a_bad_image_stops_before_it_harms", lifecycle::bad_image),
        scenario(&runtime, "a_purchase_is_one_trace", traces::traced),
        // Another cluster than that of `cluster/` keeps its audit log and its processes to itself.
        scenario(&runtime, "at_rest_nothing_is_written", rest::rest).with_ignored_flag(elsewhere),
        scenario(&runtime, "probes_leave_nothing_behind", probes::leave_nothing_behind)
            .with_ignored_flag(elsewhere),
        scenario(&runtime, "a_deleted_shop_is_adopted_again", lifecycle::adopt),
        scenario(&runtime, "a_shop_deleted_with_its_data_leaves_nothing", lifecycle::delete),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
