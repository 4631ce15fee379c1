//! Timestamps and views: how far into the log an effect is known to be ordered.

/// A position in the log: 0 is before every effect, `n` is just after the `n`-th.
pub type Time = u16;

/// What something is ordered after.
///
/// `order` is what every later effect respects. `pick` is at least that, and adds what only stores respect: a value
/// that chose between two registers (a conditional select, a failed compare) delays the stores that depend on it, but
/// not the reads (the "pick dependencies" of the Arm memory model).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    pub order: Time,
    pub pick: Time,
}

impl View {
    /// After the effect at `time`.
    #[inline]
    #[must_use]
    pub const fn at(time: Time) -> View {
        View { order: time, pick: time }
    }

    /// After both.
    #[inline]
    #[must_use]
    pub fn join(self, other: View) -> View {
        View { order: self.order.max(other.order), pick: self.pick.max(other.pick) }
    }

    /// The same, felt by stores only.
    #[inline]
    #[must_use]
    pub const fn picked(self) -> View {
        View { order: 0, pick: self.pick }
    }

    /// The same, felt by everything.
    #[inline]
    #[must_use]
    pub const fn full(self) -> View {
        View { order: self.pick, pick: self.pick }
    }

    #[inline]
    pub fn raise(&mut self, other: View) {
        *self = self.join(other);
    }
}
