//! The issuer of the first start, which the store remembers: tokens, sessions and snapshots contain
//! it, and with another issuer no verifier would accept any of them.

use anyhow::bail;
use offswitch::store::Store;

/// The issuer to serve as. If `configured` was set, it must equal the one that the store remembers;
/// if it is only the listen address, the remembered one wins. If the store remembers none although
/// this process has `published` under an issuer before, the store was emptied.
pub(super) async fn settle(
    store: &dyn Store,
    published: Option<String>,
    configured: &str,
    is_set: bool,
) -> anyhow::Result<String> {
    if let Some(remembered) = remembered(store).await? {
        return agree(remembered, configured, is_set);
    }
    let issuer = match published {
        Some(published) => agree(published, configured, is_set)?,
        None => configured.to_owned(),
    };
    // Another process may have been faster; its issuer wins.
    store.swap(DOCUMENT, &[], issuer.as_bytes(), None).await?;
    let first = remembered(store).await?;
    agree(first.unwrap_or(issuer), configured, is_set)
}

/// The issuer of the first start on `store`, if there was one.
pub(crate) async fn remembered(store: &dyn Store) -> anyhow::Result<Option<String>> {
    let bytes = store.load(DOCUMENT).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok((!text.is_empty()).then_some(text))
}

/// The common issuer, or the remembered one if the other is only a default.
pub(crate) fn agree(remembered: String, configured: &str, is_set: bool) -> anyhow::Result<String> {
    if is_set && remembered != configured {
        bail!(
            "the store belongs to the issuer {remembered}, and the configuration says \
             {configured}: set issuer to {remembered}, or use another store (another data_dir, \
             Redis database or redis_prefix) for the new issuer"
        );
    }
    Ok(remembered)
}

const DOCUMENT: &str = "issuer";
