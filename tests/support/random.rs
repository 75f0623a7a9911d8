//! Numbers that nobody expects but that a seed brings back.

/// Marsaglia's xorshift, 64 bits.
pub struct Random(u64);

impl Random {
    /// Seeds that differ a little lead to numbers that differ a lot.
    pub fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..8).for_each(|_| _ = random.next());
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `limit` − 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
