//! Reads the header of a snapshot: postcard by hand, because the derived reader is several kilobytes of
//! the wasm file.

use crate::cutoff_map::Columns;
use crate::fingerprint::Salt;
use crate::issuer_rules::{Horizon, Horizons, IssuerRules, ListedSelector};
use crate::position::ChainHash;
use crate::selector::{Selector, Uses};
use crate::snapshot::Header;

/// The bytes that are not read yet.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    /// A number: seven bits a byte, the lowest first, in the fewest bytes.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift)?;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                let fits = shift < 63 || bits <= 1;
                return (is_shortest && fits).then_some(number);
            }
        }
        None
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    pub(crate) fn header(&mut self) -> Option<Header> {
        Some(Header {
            feed: self.text()?,
            era: self.number()?,
            from: self.number()?,
            to: self.number()?,
            chain_from: ChainHash(self.bytes()?),
            chain_to: ChainHash(self.bytes()?),
            issued_at: self.number()?,
            valid_until: self.number()?,
            salt: Salt(self.bytes()?),
            issuers: self.list(Self::issuer)?,
            dead_keys: self.list(|it| Some((u32::try_from(it.number()?).ok()?, it.text()?)))?,
            denied_count: self.number()?,
            cutoffs_count: self.number()?,
            cutoff_columns: Columns {
                version_base: self.number()?,
                version_width: self.byte()?,
                not_before_base: self.number()?,
                not_before_width: self.byte()?,
            },
        })
    }

    fn issuer(&mut self) -> Option<IssuerRules> {
        Some(IssuerRules {
            issuer: self.text()?,
            epoch: self.number()?,
            horizons: Horizons::read(
                self.list(|it| Some(Horizon { issued_from: it.number()?, seconds: it.number()? }))?,
            ),
            selectors: self.list(|it| {
                let selector = Selector::read(it.list(Self::text)?)?;
                Some(ListedSelector { selector, uses: Uses::read(it.byte()?) })
            })?,
        })
    }

    /// As many as are declared. Nothing is allocated before it is there.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(one(self)?);
        }
        Some(all)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Reader;

    // S18: every number as postcard writes it, and no other spelling of it.
    #[test]
    fn a_number_has_one_spelling() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            let bytes = postcard::to_allocvec(&number).unwrap_or_default();
            let mut reader = Reader(&bytes);
            assert_eq!((reader.number(), reader.0.len()), (Some(number), 0));
            for length in 0..bytes.len() {
                assert_eq!(Reader(bytes.get(..length).unwrap_or_default()).number(), None);
            }
        }
        for wrong in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(Reader(wrong).number(), None, "{wrong:?}");
        }
        let two_to_the_64 = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2];
        assert_eq!(Reader(&two_to_the_64).number(), None);
    }
}
