//! Cycles of events that need not be looked at one by one.
//!
//! After some turns of a loop over a leaf table the tracked state settles: another turn leaves it as it is, or moves the
//! end of the last run of pending stores on by a page. Where that is certain, the turns in the middle of a stretch are
//! skipped, and only its end is tracked event by event. Where it is not, all are; the result is the same.

use super::pending::Pending;
use super::track::{OpenWalk, Track};
use crate::event::codes::Store;
use crate::event::cycle::{Stretch, Turning};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::machine::INIT_MM;
use crate::modmask::ModMask;

impl Track {
    /// Whether further turns of a cycle change nothing but what [`Track::skip`] does. Its first turn must be the last that
    /// was tracked.
    pub(super) fn settled(&self, cycle: &[Turning]) -> bool {
        let (mut barriers, mut waiting) = (0, 0);
        for turning in cycle {
            let event = turning.event();
            match event.kind() {
                Some(Kind::STORE | Kind::QUEUE) => {
                    if !self.noted(turning, &event) {
                        return false;
                    }
                    waiting += usize::from(self.waits(&event));
                }
                Some(Kind::BAR) => barriers += 1,
                // Completes nothing here: an entry that went is not waited for.
                Some(Kind::TLBI) if !self.laws.fences => {}
                _ => return false,
            }
        }
        match (barriers, waiting) {
            (0, 0) => true,
            // One run of pending stores grows.
            (0, _) => cycle.len() == 1 && self.grows(&cycle[0]),
            // Each barrier completes what was stored since the one before it.
            (1, 1..) => self.completed_something() && cycle.iter().all(|t| t.event().kind != Kind::QUEUE as u8),
            _ => false,
        }
    }

    /// Whether the stores of a stretch wait, or do not wait, all alike, and none is that of a kmap or fixmap slot.
    pub(super) fn uniform(&self, stretch: &Stretch<'_>) -> bool {
        stretch.cycle.iter().enumerate().all(|(n, turning)| {
            let event = turning.event();
            if !matches!(event.kind(), Some(Kind::STORE | Kind::QUEUE)) {
                return true;
            }
            let last = turning.after(stretch.times(n).saturating_sub(1));
            let alike = turning.step_new() == 0
                || !self.may_wait(&event)
                || self.always_valid(event.new, last.new, turning.step_new());
            let (low, high) =
                if turning.step_va().cast_signed() < 0 { (last.va, event.va) } else { (event.va, last.va) };
            alike && low <= high && !self.windows.iter().any(|va| (low..=high).contains(va))
        })
    }

    /// Does to the state what these events do, all of them behind a settled cycle.
    pub(super) fn skip(&mut self, cycle: &[Turning], events: u64) {
        let turns = events / cycle.len() as u64;
        for event in cycle.iter().map(Turning::event).filter(|event| event.kind == Kind::QUEUE as u8) {
            if let Some(queued) = self.queued.get_mut(usize::from(event.cpu)) {
                *queued += turns as u32;
            }
        }
        if let [turning] = cycle
            && self.waits(&turning.event())
            && let Some(last) = self.pending.last_mut()
        {
            last.next = last.next.wrapping_add(turning.step_va().wrapping_mul(events));
            last.end = last.next;
        }
    }

    /// What `note_store` would note has been noted.
    fn noted(&self, turning: &Turning, event: &Event) -> bool {
        let Some(level) = Level::from_number(event.level) else { return true };
        let bit = ModMask::of(level);
        let gone = self.laws.format.walkable(level, event.old);
        let queued_sync = event.aux == Store::Sync as u32 && event.kind == Kind::QUEUE as u8;
        let of_event = |w: &&OpenWalk| w.task == event.task && w.context == event.context;
        self.walks.iter().filter(of_event).all(|walk| {
            let synced = !queued_sync || walk.sync_queued;
            let stored = !Track::counts_for(walk, event, level)
                || (walk.stored.contains(bit)
                    && walk.since_sync.contains(bit)
                    && (walk.removed.contains(bit) || (turning.step_old() == 0 && !gone)));
            synced && stored
        })
    }

    /// Whether a store of a valid word waits for something.
    fn may_wait(&self, event: &Event) -> bool {
        event.kind == Kind::QUEUE as u8 || (self.laws.needs_barrier && event.mm == INIT_MM.0)
    }

    fn waits(&self, event: &Event) -> bool {
        matches!(event.kind(), Some(Kind::STORE | Kind::QUEUE))
            && self.may_wait(event)
            && self.laws.format.valid(event.new)
    }

    /// Whether the next turn adds a page to the last run of pending stores, and so does each behind it.
    fn grows(&self, turning: &Turning) -> bool {
        let event = turning.after(1);
        let size = Level::from_number(event.level).map_or(0, |level| self.laws.geometry.size(level));
        let queued = event.kind == Kind::QUEUE as u8;
        turning.step_va() == size
            && self
                .pending
                .last()
                .is_some_and(|last: &Pending| last.extended_by(&event, queued, self.in_irq(event.cpu)))
    }

    /// Whether all words from one to another are valid. Validity is a test of fixed bits: where it holds with all bits that
    /// may vary clear, and with all of them set, it holds for every combination.
    fn always_valid(&self, first: u64, last: u64, step: u64) -> bool {
        let (low, high, step) =
            if step.cast_signed() < 0 { (last, first, step.wrapping_neg()) } else { (first, last, step) };
        if low > high {
            return false;
        }
        let differ = low ^ high;
        let top = u64::MAX.checked_shr(differ.leading_zeros()).unwrap_or(0);
        let varying = top & (u64::MAX << step.trailing_zeros().min(63));
        self.laws.format.valid(low & !varying) && self.laws.format.valid(low | varying)
    }
}
