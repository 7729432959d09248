//! Bodies of snapshots written by hand, for content that the builder never writes.

use super::NOW;
use super::feed::FEED;

/// A header as FORMAT writes it, for content that the builder never writes.
pub(crate) struct Fields {
    pub(crate) feed: &'static str,
    pub(crate) era: u64,
    pub(crate) from: u64,
    pub(crate) valid_until: u64,
    pub(crate) dead_keys: u64,
    pub(crate) declared_dead_keys: u64,
    pub(crate) declared_issuers: u64,
    pub(crate) denied: u64,
    pub(crate) cutoffs: u64,
    pub(crate) version_width: u8,
}

pub(crate) const FIELDS: Fields = Fields {
    feed: FEED,
    era: 1,
    from: 7,
    valid_until: NOW,
    dead_keys: 0,
    declared_dead_keys: 0,
    declared_issuers: 0,
    denied: 0,
    cutoffs: 0,
    version_width: 0,
};

pub(crate) fn header(fields: &Fields) -> Vec<u8> {
    let mut out = vec![];
    text(&mut out, fields.feed);
    for number in [fields.era, fields.from, 7] {
        varint(&mut out, number);
    }
    out.extend([1; 64]);
    varint(&mut out, NOW);
    varint(&mut out, fields.valid_until);
    out.extend([2; 16]);
    // One issuer, without a name, an epoch, horizons and selectors.
    varint(&mut out, fields.declared_issuers.max(1));
    out.extend([0; 4]);
    varint(&mut out, fields.dead_keys.max(fields.declared_dead_keys));
    (0..fields.dead_keys).for_each(|_| out.extend([0, 0]));
    varint(&mut out, fields.denied);
    varint(&mut out, fields.cutoffs);
    out.extend([0, fields.version_width, 0, 0]);
    out
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}
