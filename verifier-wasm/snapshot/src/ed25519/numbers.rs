//! Numbers for tests, the same in every run.

/// SplitMix64.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// Any 32 bytes; often many of their bits are the same.
    pub(super) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let kind = self.next() % 4;
        for chunk in bytes.chunks_mut(8) {
            let word = match kind {
                0 => self.next() & self.next() & self.next(),
                1 => self.next() | self.next() | self.next(),
                _ => self.next(),
            };
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}
