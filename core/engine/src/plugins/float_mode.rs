//! How the processor rounds, on this thread: a setting that anybody can change, and that changes numbers in silence.
//!
//! Rules of the unsafe code here: it reads and writes the control register of the SSE unit, and writes back nothing but
//! what it has read there.
#![allow(unsafe_code)]

/// The control bits of the floating-point unit: rounding, whether subnormal numbers count as 0, which exceptions trap.
/// 0 on processors where they are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FloatMode(u32);

impl FloatMode {
    /// The bits below are flags that arithmetic itself sets.
    #[cfg(target_arch = "x86_64")]
    const CONTROL: u32 = 0xffc0;

    /// What is set.
    pub(super) fn now() -> FloatMode {
        #[cfg(target_arch = "x86_64")]
        {
            let mut all = 0u32;
            // SAFETY: the instruction writes 32 bits to the address, which is that of `all`.
            unsafe {
                std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut all, options(nostack, preserves_flags));
            }
            FloatMode(all & Self::CONTROL)
        }
        #[cfg(not(target_arch = "x86_64"))]
        FloatMode(0)
    }

    /// Sets it again.
    pub(super) fn restore(self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: bits that were read from this register; all flags cleared, which says that nothing has happened yet.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const self.0, options(nostack, preserves_flags, readonly));
        }
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// The mode of these [`bits`](Self::bits).
    pub(super) fn of_bits(bits: u32) -> FloatMode {
        FloatMode(bits)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn what_was_changed_is_noticed_and_restored() {
        let before = FloatMode::now();
        // The nearest f32 to 2/3 is above it, so rounding downwards gives another.
        let two_thirds = || black_box(2.0f32) / black_box(3.0f32);
        let nearest = two_thirds();
        FloatMode(before.0 & !0x6000 | 0x2000).restore();
        let (changed, downwards) = (FloatMode::now(), two_thirds());
        before.restore();
        assert_ne!(changed, before);
        assert_eq!(FloatMode::now(), before);
        assert_eq!(downwards.to_bits() + 1, nearest.to_bits());
        assert_eq!(two_thirds(), nearest);
        assert_eq!(FloatMode::of_bits(before.bits()), before);
    }

    #[test]
    fn flags_of_arithmetic_are_no_change_of_the_mode() {
        let before = FloatMode::now();
        black_box(black_box(1.0f32) / black_box(3.0f32)); // inexact
        black_box(black_box(1.0f32) / black_box(0.0f32)); // division by zero
        assert_eq!(FloatMode::now(), before);
    }
}
