//! The stores: one suite for all of them, then the tests of each.

mod conformance;
mod embedded;
mod model;
mod place;
mod redis_cluster;
mod redis_faults;
mod redis_health;
mod redis_notes;
mod redis_outages;
mod redis_pages;
mod redis_replicas;
mod redis_sentinel;
mod redis_slots;
mod redis_tls;
#[path = "../support/mod.rs"]
mod support;

/// Every case of the suite as a test of every store.
macro_rules! conformance {
    ($($case:path as $name:ident),* $(,)?) => {
        mod embedded_store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $case(&crate::place::Place::embedded()).await;
            })*
        }
        mod redis_store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $case(&crate::place::Place::redis().await).await;
            })*
        }
        mod redis_cluster_store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $case(&crate::place::Place::redis_cluster().await).await;
            })*
        }
    };
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        conformance!(
            $(crate::conformance::$name as $name,)*
            crate::model::any_sequence_of_calls_agrees_with_the_model
                as any_sequence_of_calls_agrees_with_the_model,
        );
    };
}

cases!(
    an_append_demands_the_log_that_its_caller_has_read,
    a_checkpoint_that_is_not_newer_changes_nothing,
    a_document_can_be_taken_away,
    a_document_is_written_by_one_of_many,
    a_document_is_written_only_where_the_log_ends,
    a_log_is_read_backwards,
    a_new_era_begins_only_if_nothing_is_lost,
    a_new_era_replaces_the_log,
    a_new_log_is_empty,
    a_page_with_large_records_ends_early,
    a_reader_behind_the_checkpoint_gets_it,
    a_record_of_12_megabytes_comes_back,
    a_repeated_request_answers_as_before,
    a_request_id_for_something_else_is_refused,
    a_request_is_recalled_and_nothing_is_appended,
    a_scan_meets_every_document_of_its_prefix,
    a_seq_is_at_least_what_is_demanded,
    a_wait_ends_at_its_timeout,
    a_wait_ends_with_a_new_era,
    a_wait_ends_with_the_next_record,
    everything_is_there_after_opening_again,
    no_seq_is_shared_or_skipped_among_appenders,
    pages_continue_where_they_ended,
    records_come_back_in_order,
    records_that_come_together_are_judged_one_by_one,
    the_time_is_the_stores,
);
