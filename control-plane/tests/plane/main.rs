//! What the control plane guarantees beyond one request: publication, several processes, outages.

mod announcing;
mod applied;
mod applied_ordeals;
mod backups;
mod capacity;
mod crashes;
mod failovers;
mod full_stores;
mod group_commit;
mod key_drills;
mod key_rotation;
mod lost_stores;
mod odd_logs;
mod ordeals;
mod outages;
mod outgoing;
mod publishing;
mod publishing_places;
mod refreshing;
mod sealed_documents;
mod several_processes;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
mod versions;
