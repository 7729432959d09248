//! Receipts for what was revoked.

use offswitch_core::receipt::{Acknowledged, AppliedThen, Receipt};
use offswitch_snapshot::Position;

use super::Plane;
use crate::store::Durability;

impl Plane {
    /// A signed receipt for the record that was acknowledged at `position`, requested with the API key of this
    /// name. It has the count of followers, if the request has waited for them.
    ///
    /// It says what the log has there, not what was asked for. Nothing if that cannot be read: what is recorded
    /// stays recorded, and the same request again gets its receipt.
    pub async fn receipt(
        &self,
        position: Position,
        durability: Durability,
        key_name: &str,
        applied: Option<AppliedThen>,
    ) -> Option<String> {
        let record = match self.log.record_at(position).await {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, %position, "there is no receipt for what was revoked");
                return None;
            }
        };
        let acknowledged = Acknowledged {
            position,
            chain: self.folded.lock().chain_at(position),
            durability: durability.name(),
            replicas: durability.replicas(),
            applied,
        };
        let issuers = self.log.issuers();
        let receipt = Receipt::of(&record, acknowledged, &issuers, key_name, self.now());
        self.signing.sign_receipt(&receipt)
    }
}
