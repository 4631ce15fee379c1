//! Deposit and extract bits under a mask, for loops over arrays of page-table entries.
//!
//! x86 CPUs do either in one instruction (`PDEP`, `PEXT`; BMI2), about ten times as fast as anything that safe code can
//! write. Whether the CPU has them is known at run time only, and calling a function compiled for BMI2 is `unsafe`
//! because of that. This crate is the one place where it happens, so that everything else can forbid unsafe code.
//!
//! The safety argument is one sentence: a [`Bmi2`] exists only after `is_x86_feature_detected!("bmi2")` was true in this
//! process, and all unsafe calls are to functions that need BMI2 and nothing else.

/// The two operations.
pub trait Bits: Copy {
    /// The lowest bits of `bits`, in order, at the places that are set in `mask` (`PDEP`).
    #[must_use]
    fn deposit(self, bits: u64, mask: u64) -> u64;
    /// The bits of `bits` at the places that are set in `mask`, moved together (`PEXT`).
    #[must_use]
    fn extract(self, bits: u64, mask: u64) -> u64;
}

/// What is to be compiled once for each way of doing it. `run` must be `#[inline(always)]`.
pub trait Loop {
    type Output;
    fn run<B: Bits>(self, bits: B) -> Self::Output;
}

/// Bit by bit, on any CPU.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Bits for Portable {
    #[inline]
    fn deposit(self, mut bits: u64, mut mask: u64) -> u64 {
        let mut out = 0;
        while mask != 0 {
            let lowest = mask & mask.wrapping_neg();
            out |= lowest & (bits & 1).wrapping_neg();
            bits >>= 1;
            mask ^= lowest;
        }
        out
    }

    #[inline]
    fn extract(self, bits: u64, mut mask: u64) -> u64 {
        let (mut out, mut place) = (0, 1);
        while mask != 0 {
            let lowest = mask & mask.wrapping_neg();
            out |= if bits & lowest == 0 { 0 } else { place };
            place <<= 1;
            mask ^= lowest;
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(unsafe_code, reason = "the safety argument is at the top of the crate")]

    use std::arch::x86_64::{_pdep_u64, _pext_u64};

    use super::{Bits, Loop};

    /// The instructions of the CPU that this runs on.
    #[derive(Clone, Copy, Debug)]
    pub struct Bmi2(());

    impl Bmi2 {
        /// `None` where the CPU does not have them.
        #[must_use]
        pub fn detect() -> Option<Bmi2> {
            std::arch::is_x86_feature_detected!("bmi2").then_some(Bmi2(()))
        }

        /// Runs a loop that is compiled for these instructions.
        #[inline]
        pub fn run<L: Loop>(self, body: L) -> L::Output {
            #[target_feature(enable = "bmi2")]
            fn compiled<L: Loop>(bits: Bmi2, body: L) -> L::Output {
                body.run(bits)
            }
            // SAFETY: a Bmi2 exists, so the CPU has BMI2.
            unsafe { compiled(self, body) }
        }
    }

    impl Bits for Bmi2 {
        #[inline(always)]
        fn deposit(self, bits: u64, mask: u64) -> u64 {
            // SAFETY: a Bmi2 exists, so the CPU has BMI2.
            unsafe { _pdep_u64(bits, mask) }
        }

        #[inline(always)]
        fn extract(self, bits: u64, mask: u64) -> u64 {
            // SAFETY: a Bmi2 exists, so the CPU has BMI2.
            unsafe { _pext_u64(bits, mask) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::Bmi2;

/// Runs a loop in the fastest way that this CPU has.
#[inline]
pub fn fastest<L: Loop>(body: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(bits) = Bmi2::detect() {
        return bits.run(body);
    }
    body.run(Portable)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Both(u64, u64);

    impl Loop for Both {
        type Output = (u64, u64);

        #[inline(always)]
        fn run<B: Bits>(self, bits: B) -> (u64, u64) {
            (bits.deposit(self.0, self.1), bits.extract(self.0, self.1))
        }
    }

    #[test]
    fn ways_agree() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (bits, mask) = (seed, seed.rotate_left(17) & seed.rotate_left(40));
            let (deposited, extracted) = Both(bits, mask).run(Portable);
            assert_eq!(fastest(Both(bits, mask)), (deposited, extracted));
            assert_eq!(deposited & !mask, 0);
            assert_eq!(Portable.extract(deposited, mask), bits & (u64::MAX >> (64 - mask.count_ones()).min(63)));
        }
        assert_eq!(fastest(Both(0b1011, 0xf0)), (0b1011_0000, 0));
    }
}
