//! Effects and their log: the one global order everything else is derived from.

use std::sync::Arc;

use super::view::Time;

/// Who made an effect: a CPU, or the hardware on nobody's behalf.
pub type Cpu = u8;
pub const ENVIRONMENT: Cpu = u8::MAX;

/// Which translations an invalidation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The page, or every page.
    pub page: Option<u64>,
    /// The address space identifier, or every one. With one, global entries are reached only by address.
    pub asid: Option<u16>,
    /// Only entries of the last level.
    pub last_level: bool,
    /// Global entries too, where no page is given and an identifier is.
    pub global: bool,
    /// Every cached table entry too, whatever the page (x86's INVLPG).
    pub all_tables: bool,
}

impl Scope {
    pub const ALL: Scope = Scope { page: None, asid: None, last_level: false, global: true, all_tables: true };
}

/// An invalidation as others feel it: what it reaches, and since when nothing older may be fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Invalidation {
    pub scope: Scope,
    pub since: Time,
    /// The one CPU it reaches, or all.
    pub reaches: Option<Cpu>,
}

/// Why memory was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A store, an atomic, a successful store-exclusive.
    Program,
    /// The walker set the access flag or the dirty state for an access of this CPU.
    Walker,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    Write {
        cpu: Cpu,
        cell: u64,
        value: u64,
        source: Source,
    },
    /// The barrier that waits for this CPU's broadcast invalidations has completed: no other CPU uses what they
    /// removed any more.
    Completed {
        cpu: Cpu,
        invalidations: Arc<[Invalidation]>,
    },
}

impl Effect {
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        match self {
            Effect::Write { cpu, .. } | Effect::Completed { cpu, .. } => *cpu,
        }
    }

    /// The cell written, and the value.
    #[inline]
    #[must_use]
    pub fn write(&self) -> Option<(u64, u64)> {
        match self {
            Effect::Write { cell, value, .. } => Some((*cell, *value)),
            Effect::Completed { .. } => None,
        }
    }
}

/// Memory before the first effect. Cells that nothing defines hold 0.
#[derive(Clone, Debug, Default)]
pub struct Initial {
    cells: Vec<(u64, u64)>,
}

impl Initial {
    #[must_use]
    pub fn new(mut cells: Vec<(u64, u64)>) -> Initial {
        cells.sort_unstable();
        Initial { cells }
    }

    #[must_use]
    pub fn get(&self, cell: u64) -> u64 {
        self.cells.binary_search_by_key(&cell, |c| c.0).map_or(0, |at| self.cells[at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.cells.iter().copied()
    }
}

/// One value a cell held: from the effect at `from` up to, but not including, the effect at `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub value: u64,
    pub from: Time,
    /// `Time::MAX` where nothing in the log replaces it.
    pub until: Time,
}

/// The effects so far, followed by those that a CPU would add if it went on alone.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    pub initial: &'a Initial,
    pub settled: &'a [Effect],
    pub ahead: &'a [Effect],
}

impl<'a> Log<'a> {
    /// The time of the last settled effect.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Time {
        self.settled.len() as Time
    }

    fn effects(self) -> impl Iterator<Item = (Time, &'a Effect)> + use<'a> {
        let settled = self.settled.iter().enumerate().map(|(i, e)| (i as Time + 1, e));
        let base = self.settled.len();
        settled.chain(self.ahead.iter().enumerate().map(move |(i, e)| ((base + i) as Time + 1, e)))
    }

    /// The last write to `cell` not after `time`: when, and what.
    #[must_use]
    pub fn value_at(&self, cell: u64, time: Time) -> (Time, u64) {
        let upto = usize::from(time);
        let ahead = upto.saturating_sub(self.settled.len()).min(self.ahead.len());
        for (i, effect) in self.ahead[..ahead].iter().enumerate().rev() {
            if let Some((c, v)) = effect.write()
                && c == cell
            {
                return ((self.settled.len() + i) as Time + 1, v);
            }
        }
        for (i, effect) in self.settled[..upto.min(self.settled.len())].iter().enumerate().rev() {
            if let Some((c, v)) = effect.write()
                && c == cell
            {
                return (i as Time + 1, v);
            }
        }
        (0, self.initial.get(cell))
    }

    /// The writes to `cell` after `time`.
    pub fn writes_after(&self, cell: u64, time: Time) -> impl Iterator<Item = (Time, u64)> + use<'a> {
        self.effects().skip(usize::from(time)).filter_map(move |(t, e)| match e.write() {
            Some((c, v)) if c == cell => Some((t, v)),
            _ => None,
        })
    }

    /// When the first settled write to `cell` after `time` is; `Time::MAX` for none.
    #[must_use]
    pub fn next_settled_write(&self, cell: u64, time: Time) -> Time {
        let from = usize::from(time).min(self.settled.len());
        let found = self.settled[from..].iter().position(|e| e.write().is_some_and(|(c, _)| c == cell));
        found.map_or(Time::MAX, |i| (from + i) as Time + 1)
    }

    /// Every value the cell ever held.
    #[must_use]
    pub fn versions(&self, cell: u64) -> Vec<Version> {
        let mut all = vec![Version { value: self.initial.get(cell), from: 0, until: Time::MAX }];
        for (time, value) in self.writes_after(cell, 0) {
            if let Some(last) = all.last_mut() {
                last.until = time;
            }
            all.push(Version { value, from: time, until: Time::MAX });
        }
        all
    }

    /// The completed invalidations with the time of their completion and who made them.
    pub fn completions(&self) -> impl Iterator<Item = (Time, Cpu, &'a [Invalidation])> + use<'a> {
        self.effects().filter_map(|(time, effect)| match effect {
            Effect::Completed { cpu, invalidations } => Some((time, *cpu, &**invalidations)),
            Effect::Write { .. } => None,
        })
    }
}
