//! Randomness that is the same for the same seed, on every machine.

/// A xorshift generator.
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..8).for_each(|_| _ = random.next());
        random
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            (self.next() >> 11) as usize % bound
        }
    }

    /// A number of `range`, its end excluded.
    pub fn within(&mut self, range: std::ops::Range<usize>) -> usize {
        range.start + self.below(range.end - range.start)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several, `None` of none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// Bytes that do not compress.
    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Bytes as files have them: noise, text, or some of both with zeros between.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        match self.below(4) {
            0 => self.noise(length),
            1 => {
                let line = format!("line {} of a log, as they are\n", self.below(1000)).into_bytes();
                line.into_iter().cycle().take(length).collect()
            }
            _ => {
                let mut bytes = Vec::with_capacity(length);
                while bytes.len() < length {
                    let step = self.within(1..(length / 3 + 2));
                    match self.below(3) {
                        0 => bytes.extend(std::iter::repeat_n(0, step)),
                        1 => bytes.extend(std::iter::repeat_n(self.next() as u8, step)),
                        _ => bytes.extend(self.noise(step)),
                    }
                }
                bytes.truncate(length);
                bytes
            }
        }
    }
}
