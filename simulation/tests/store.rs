//! The simulated store passes the suite that the real stores pass: what is found in it is true of them too.

#[path = "../../control-plane/tests/store/conformance.rs"]
mod conformance;
mod place;

/// Every case of the suite that a store without a file and without other feeds can be asked.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            conformance::$name(&place::Place::new()).await;
        })*
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
