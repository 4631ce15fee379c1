//! The record of a run.
//!
//! Cycles are kept as their first turn and their length, everything else as it is; both read the same.

use super::Event;
use super::cycle::{Stretch, Turning};

/// Events in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub struct Log {
    single: Vec<Event>,
    turning: Vec<Turning>,
    parts: Vec<Part>,
    len: u64,
}

/// Single events, or a cycle.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Indices of its events.
    begin: u64,
    end: u64,
    /// Where the part begins in `single`, or in `turning`.
    at: usize,
    /// Events of the cycle; 0: these are single ones.
    period: usize,
}

impl Log {
    #[must_use]
    pub fn new() -> Log {
        Log::default()
    }

    #[inline]
    pub fn push(&mut self, event: Event) {
        let begin = self.len;
        self.len += 1;
        match self.parts.last_mut() {
            Some(part) if part.period == 0 => part.end = self.len,
            _ => self.parts.push(Part { begin, end: self.len, at: self.single.len(), period: 0 }),
        }
        self.single.push(event);
    }

    /// Adds events that a cycle says.
    pub fn push_stretch(&mut self, stretch: &Stretch<'_>) {
        if stretch.events > 0 {
            let (begin, end) = (self.len, self.len + stretch.events);
            self.parts.push(Part { begin, end, at: self.turning.len(), period: stretch.cycle.len() });
            self.turning.extend_from_slice(stretch.cycle);
            self.len = end;
        }
    }

    /// Number of events.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the record takes.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        (self.single.len() * size_of::<Event>()
            + self.turning.len() * size_of::<Turning>()
            + self.parts.len() * size_of::<Part>()) as u64
    }

    /// The event of this index.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<Event> {
        self.range(index, index.saturating_add(1)).next()
    }

    /// All events.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.range(0, self.len)
    }

    /// The events from one index up to another; those that do not exist are left out.
    pub fn range(&self, start: u64, end: u64) -> impl Iterator<Item = Event> + '_ {
        self.parts(start, end).flat_map(move |part| {
            let (from, to) = part.clip(start, end);
            let (single, stretch) = (self.single(part), self.stretch(part));
            (from..to).map(move |n| if part.period == 0 { single[n as usize] } else { stretch.event(n) })
        })
    }

    /// A copy of these events. `None`: there is no memory for them.
    #[must_use]
    pub fn to_vec(&self, start: u64, end: u64) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let wanted = end.min(self.len).saturating_sub(start);
        events.try_reserve_exact(usize::try_from(wanted).ok()?).ok()?;
        for part in self.parts(start, end) {
            let (from, to) = part.clip(start, end);
            if part.period == 0 {
                events.extend_from_slice(&self.single(part)[from as usize..to as usize]);
            } else {
                let stretch = self.stretch(part);
                events.extend((from..to).map(|n| stretch.event(n)));
            }
        }
        Some(events)
    }

    fn parts(&self, start: u64, end: u64) -> impl Iterator<Item = &Part> {
        let first = self.parts.partition_point(|part| part.end <= start);
        self.parts[first..].iter().take_while(move |part| part.begin < end && start < end)
    }

    fn single(&self, part: &Part) -> &[Event] {
        let len = if part.period == 0 { part.end - part.begin } else { 0 };
        &self.single[if len == 0 { 0..0 } else { part.at..part.at + len as usize }]
    }

    fn stretch(&self, part: &Part) -> Stretch<'_> {
        let cycle = if part.period == 0 { &[][..] } else { &self.turning[part.at..part.at + part.period] };
        Stretch { cycle, events: part.end - part.begin }
    }
}

impl Part {
    /// Which of its events lie in a range of indices.
    fn clip(&self, start: u64, end: u64) -> (u64, u64) {
        (start.max(self.begin) - self.begin, end.min(self.end).saturating_sub(self.begin))
    }
}
