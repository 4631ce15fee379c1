//! Cycles: what the next event is when a loop does the same to entry after entry.
//!
//! A walk over a leaf table makes the same few events for each entry, and every field of them either stays or moves on by
//! a fixed step. Two turns of such a cycle predict the next one. As long as events come as predicted, all that needs to
//! be kept is their number.

use super::Event;

/// Events that a cycle may have, at most.
pub const LONGEST: usize = 8;
const RECENT: usize = 2 * LONGEST;
const PATIENCE: u8 = 3;

/// An event as six words: who and where, operation and aux, then `va`, `addr`, `old` and `new`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub head: u64,
    pub tail: u64,
    pub moving: [u64; 4],
}

/// The executing CPU, context and task in their place in a head.
#[inline]
#[must_use]
pub const fn who(cpu: u8, context: u8, task: u16) -> u64 {
    (cpu as u64) << 16 | (context as u64) << 24 | (task as u64) << 32
}

/// The rest of a head.
#[inline]
#[must_use]
pub const fn what(kind: u8, level: u8, mm: u16) -> u64 {
    kind as u64 | (level as u64) << 8 | (mm as u64) << 48
}

/// The second word.
#[inline]
#[must_use]
pub const fn tail(op: u32, aux: u32) -> u64 {
    op as u64 | (aux as u64) << 32
}

impl From<&Event> for Words {
    #[inline]
    fn from(e: &Event) -> Words {
        Words {
            head: what(e.kind, e.level, e.mm) | who(e.cpu, e.context, e.task),
            tail: tail(e.op, e.aux),
            moving: [e.va, e.addr, e.old, e.new],
        }
    }
}

impl From<&Words> for Event {
    #[inline]
    fn from(w: &Words) -> Event {
        let [va, addr, old, new] = w.moving;
        Event {
            kind: w.head as u8,
            level: (w.head >> 8) as u8,
            cpu: (w.head >> 16) as u8,
            context: (w.head >> 24) as u8,
            task: (w.head >> 32) as u16,
            mm: (w.head >> 48) as u16,
            op: w.tail as u32,
            aux: (w.tail >> 32) as u32,
            va,
            addr,
            old,
            new,
        }
    }
}

impl Words {
    fn fixed(&self, other: &Words) -> bool {
        self.head == other.head && self.tail == other.tail
    }

    fn step_from(&self, earlier: &Words) -> [u64; 4] {
        std::array::from_fn(|n| self.moving[n].wrapping_sub(earlier.moving[n]))
    }
}

/// One event of a cycle, and how far `va`, `addr`, `old` and `new` move with each turn (modulo 2^64).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turning {
    pub words: Words,
    pub step: [u64; 4],
}

impl Turning {
    /// The event in a later turn.
    #[inline]
    #[must_use]
    pub fn after(&self, turns: u64) -> Event {
        let moving = std::array::from_fn(|n| self.words.moving[n].wrapping_add(self.step[n].wrapping_mul(turns)));
        Event::from(&Words { moving, ..self.words })
    }

    #[inline]
    #[must_use]
    pub fn event(&self) -> Event {
        Event::from(&self.words)
    }

    /// Whether the moving words are these. One by one: a vector compare would wait for the words to reach memory.
    #[inline(always)]
    fn at(&self, is: [u64; 4]) -> bool {
        let [va, addr, old, new] = self.words.moving;
        va == is[0] && addr == is[1] && old == is[2] && new == is[3]
    }

    /// Where the moving words are a turn later.
    #[inline(always)]
    fn moved(&self) -> [u64; 4] {
        let ([va, addr, old, new], by) = (self.words.moving, self.step);
        [va.wrapping_add(by[0]), addr.wrapping_add(by[1]), old.wrapping_add(by[2]), new.wrapping_add(by[3])]
    }

    #[must_use]
    pub const fn step_va(&self) -> u64 {
        self.step[0]
    }

    #[must_use]
    pub const fn step_old(&self) -> u64 {
        self.step[2]
    }

    #[must_use]
    pub const fn step_new(&self) -> u64 {
        self.step[3]
    }
}

/// A cycle that went on for a while.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    pub cycle: &'a [Turning],
    /// Number of events, all turns together; the last turn may be incomplete.
    pub events: u64,
}

impl Stretch<'_> {
    #[inline]
    #[must_use]
    pub fn event(&self, index: u64) -> Event {
        let period = self.cycle.len() as u64;
        self.cycle[(index % period) as usize].after(index / period)
    }

    /// How often the `n`-th event of the cycle happened.
    #[must_use]
    pub const fn times(&self, n: usize) -> u64 {
        let period = self.cycle.len() as u64;
        self.events / period + (self.events % period > n as u64) as u64
    }
}

/// What makes events of one place of a cycle alike, while neither the operation nor who executes changes. Never 0.
#[inline(always)]
#[must_use]
pub const fn key(kind: u8, level: u8, mm: u16, aux: u32) -> u64 {
    kind as u64 | (level as u64) << 8 | (mm as u64) << 16 | (aux as u64) << 32
}

impl Words {
    const fn key(&self) -> u64 {
        key(self.head as u8, (self.head >> 8) as u8, (self.head >> 48) as u16, (self.tail >> 32) as u32)
    }
}

/// Finds cycles in a stream of events, and says whether the next event is the expected one.
#[derive(Clone, Debug)]
pub struct Cycles {
    /// What is expected next at each place of the cycle.
    next: [Turning; LONGEST],
    /// Keys of the places that [`Cycles::again`] answers for, else 0.
    keys: [u64; LONGEST],
    /// The period minus one, where that makes a mask.
    mask: usize,
    /// Events that came as expected.
    came: u64,
    /// The open cycle as it began, or the last one that was.
    first: [Turning; LONGEST],
    /// Its length, and whether it is open. A closed one may be tried again.
    period: usize,
    open: bool,
    /// How often it may yet be tried in vain.
    patience: u8,
    /// The last events before it.
    recent: [Words; RECENT],
    seen: usize,
    /// For each period, how many events in a row were what two turns before them predict.
    streak: [u8; LONGEST],
}

impl Default for Cycles {
    fn default() -> Cycles {
        Cycles {
            next: [Turning::default(); LONGEST],
            keys: [0; LONGEST],
            mask: 0,
            came: 0,
            first: [Turning::default(); LONGEST],
            period: 0,
            open: false,
            patience: PATIENCE,
            recent: [Words::default(); RECENT],
            seen: 0,
            streak: [0; LONGEST],
        }
    }
}

impl Cycles {
    /// Whether an event with this key and these moving words is the expected one of a cycle that was
    /// [eased](Cycles::ease); if so, the next one is expected.
    ///
    /// This is the path of nearly every event of a large operation.
    #[inline(always)]
    pub fn again(&mut self, key: u64, moving: [u64; 4]) -> bool {
        let place = self.came as usize & self.mask & (LONGEST - 1);
        let next = &mut self.next[place];
        if self.keys[place] != key || !next.at(moving) {
            return false;
        }
        next.words.moving = next.moved();
        self.came += 1;
        true
    }

    /// The same for a whole event and every open cycle.
    pub fn expected(&mut self, words: &Words) -> bool {
        if !self.open {
            return false;
        }
        let place = (self.came % self.period as u64) as usize;
        let next = &mut self.next[place];
        if !next.words.fixed(words) || !next.at(words.moving) {
            return false;
        }
        next.words.moving = next.moved();
        self.came += 1;
        true
    }

    /// From now on [`Cycles::again`] answers for the open cycle, where its length allows that.
    pub fn ease(&mut self) {
        if self.open && self.period.is_power_of_two() {
            self.mask = self.period - 1;
            for (key, turning) in self.keys.iter_mut().zip(&self.first[..self.period]) {
                *key = turning.words.key();
            }
        }
    }

    /// From now on it does not, as when the operation changes, or who executes.
    #[inline]
    pub fn tighten(&mut self) {
        self.keys = [0; LONGEST];
    }

    /// Events of the open cycle so far.
    #[inline]
    #[must_use]
    pub const fn came(&self) -> u64 {
        self.came
    }

    /// Whether a cycle is open.
    #[inline]
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// The open cycle as it is expected to begin.
    #[must_use]
    pub fn cycle(&self) -> &[Turning] {
        &self.first[..if self.open { self.period } else { 0 }]
    }

    /// What came of the open cycle.
    #[must_use]
    pub fn stretch(&self) -> Stretch<'_> {
        Stretch { cycle: self.cycle(), events: self.came }
    }

    /// Nothing is expected any more.
    pub fn close(&mut self) {
        if self.came > 0 {
            // What was before lies before the events that came.
            self.seen = 0;
            self.streak = [0; LONGEST];
            self.patience = PATIENCE;
        } else if self.patience > 0 {
            self.patience -= 1;
        } else {
            self.period = 0;
        }
        (self.open, self.mask, self.came) = (false, 0, 0);
        self.tighten();
    }

    /// Takes note of an event that nothing predicted. True: a cycle begins behind it.
    pub fn note(&mut self, words: &Words) -> bool {
        let now = self.seen;
        let mut found = None;
        for period in 1..=LONGEST.min(now / 2) {
            let before = &self.recent[(now - period) % RECENT];
            let earlier = &self.recent[(now - 2 * period) % RECENT];
            let streak = &mut self.streak[period - 1];
            let same = words.fixed(before) && before.fixed(earlier);
            if !same || words.step_from(before) != before.step_from(earlier) {
                *streak = 0;
                continue;
            }
            *streak = streak.saturating_add(1);
            if usize::from(*streak) >= period && found.is_none() {
                found = Some(period);
            }
        }
        self.recent[now % RECENT] = *words;
        // The place in the ring matters, and that it is full.
        self.seen = if now + 1 == 2 * RECENT { RECENT } else { now + 1 };
        match found {
            Some(period) => self.begin(period),
            None => self.resume(words),
        }
        self.open
    }

    fn begin(&mut self, period: usize) {
        let seen = self.seen;
        for place in 0..period {
            let last = self.recent[(seen - period + place) % RECENT];
            let step = last.step_from(&self.recent[(seen - 2 * period + place) % RECENT]);
            let mut turning = Turning { words: last, step };
            turning.words.moving = turning.moved();
            self.first[place] = turning;
        }
        self.next = self.first;
        (self.period, self.came, self.open, self.patience) = (period, 0, true, PATIENCE);
    }

    /// Begins the last cycle again, if this event is one of it, with other words: the loop goes on in the next table.
    fn resume(&mut self, words: &Words) {
        let period = self.period;
        let Some(at) = self.first[..period].iter().position(|turning| turning.words.fixed(words)) else { return };
        let here = self.first[at];
        let old = self.first;
        for place in 0..period {
            let from = (at + 1 + place) % period;
            let mut turning = old[from];
            for n in 0..4 {
                // What does not move is what it was, what moves is as far away as it was.
                if turning.step[n] != 0 {
                    let turn = if from <= at { turning.step[n] } else { 0 };
                    let away = turning.words.moving[n].wrapping_add(turn).wrapping_sub(here.words.moving[n]);
                    turning.words.moving[n] = words.moving[n].wrapping_add(away);
                }
            }
            self.first[place] = turning;
        }
        self.next = self.first;
        (self.came, self.open) = (0, true);
    }
}
