//! Random numbers from a seed (`SplitMix64`).

/// A stream of random numbers.
pub struct Dice(u64);

impl Dice {
    /// The n-th stream of a seed.
    pub fn new(seed: u64, stream: u64) -> Dice {
        let mut dice = Dice(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, including its end.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.roll() % (last - first + 1)
    }

    /// True in this many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }

    /// One of these.
    pub fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let last = u64::try_from(from.len()).expect("fits") - 1;
        &from[usize::try_from(self.between(0, last)).expect("fits")]
    }

    /// The same values in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.between(0, u64::try_from(end).expect("fits"));
            items.swap(end, usize::try_from(other).expect("fits"));
        }
    }
}
