//! What one CPU's next effects are ordered after.
//!
//! Everything here is derived from the log by going through the CPU's program in order: there is no store buffer to
//! drain and no TLB to fill. The rules are stated as lower bounds ([`View`]s) on where in the log an effect can stand.

use super::effect::{Cpu, Invalidation, Log};
use super::profile::{Architecture, Ets, Profile};
use super::translate::Request;
use super::view::{Time, View};

/// How a load or store takes part in acquire and release ordering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strength {
    #[default]
    Plain,
    /// Acquire (LDAR) of a read, release (STLR) of a write.
    Strong,
    /// LDAPR: later accesses wait for it, and it does not wait for earlier releases. RISC-V's RCpc is the same.
    Processor,
}

/// What a fence waits for and what waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fence {
    pub reads: bool,
    pub writes: bool,
    pub before_reads: bool,
    pub before_writes: bool,
    /// Writes before writes too (RISC-V's FENCE.TSO).
    pub stores: bool,
    /// A DSB: what comes later, invalidations included, waits; with ETS2 also walks.
    pub synchronises: bool,
    /// A full DSB: waits also for walks, hardware updates and invalidations.
    pub completes: bool,
}

/// An own store that a later load may take its value from early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Forward {
    cell: u64,
    time: Time,
    view: View,
    /// By an atomic or exclusive: when its read half is ordered (`acquire` loads wait for it).
    atomic: Option<View>,
}

/// An invalidation this CPU made, as its own later walks feel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnInvalidation {
    pub invalidation: Invalidation,
    /// The barrier after it has been executed, and when that was.
    pub completed: Option<Time>,
    /// Context was synchronised after that: own walks feel it.
    pub felt: bool,
}

/// A CPU between two instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ordering {
    pub id: Cpu,
    /// Reads; those whose value went to a register; writes; walks and hardware updates.
    pub reads: View,
    pub reads_returning: View,
    pub writes: View,
    pub implicit: View,
    /// What reads and writes wait for.
    pub before_reads: View,
    pub before_writes: View,
    /// Of the last DSB.
    pub dsb: View,
    /// Of the last context synchronisation.
    pub context: View,
    /// Of the values that decided branches.
    pub control: View,
    /// Of the addresses and walks of completed accesses.
    pub addresses: View,
    /// Of release stores.
    pub releases: View,
    coherence: Vec<(u64, Time)>,
    forwards: Vec<Forward>,
    walked: Vec<(u64, Time)>,
    offsets: Vec<(u16, Time)>,
    pub own: Vec<OwnInvalidation>,
}

fn raise(list: &mut Vec<(u64, Time)>, key: u64, time: Time) {
    match list.iter_mut().find(|e| e.0 == key) {
        Some(e) => e.1 = e.1.max(time),
        None => list.push((key, time)),
    }
}

fn lookup(list: &[(u64, Time)], key: u64) -> Time {
    list.iter().find(|e| e.0 == key).map_or(0, |e| e.1)
}

/// One way a load can be satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub value: u64,
    /// The write it takes the value from; 0 for the initial one.
    pub from: Time,
    pub view: View,
}

impl Ordering {
    #[must_use]
    pub fn new(id: Cpu) -> Ordering {
        Ordering { id, ..Ordering::default() }
    }

    /// The least time of an own write or read of `cell` that later accesses respect.
    #[must_use]
    pub fn coherence(&self, cell: u64) -> Time {
        lookup(&self.coherence, cell)
    }

    /// The latest own walk that read `cell`.
    #[must_use]
    pub fn walked(&self, cell: u64) -> Time {
        lookup(&self.walked, cell)
    }

    /// The latest walk of an earlier access with this page offset.
    #[must_use]
    pub fn walk_at_offset(&self, offset: u16) -> Time {
        self.offsets.iter().find(|e| e.0 == offset).map_or(0, |e| e.1)
    }

    /// What a walk for an access waits for. `uncached` walks find an entry that no
    /// TLB may hold and end in a fault; `fault` walks end in some fault.
    #[must_use]
    pub fn before_walk(&self, profile: &Profile, request: &Request, uncached: bool, fault: bool) -> View {
        let mut view = request.view.join(self.context);
        match profile.architecture {
            Architecture::Armv8 => {
                if profile.ets != Ets::None {
                    view.raise(self.dsb);
                }
                if uncached && profile.ets == Ets::Ets {
                    view.raise(request.ordered);
                }
                if (uncached && profile.ets >= Ets::Ets2) || (fault && profile.ets == Ets::Ets3) {
                    view.raise(self.reads.join(self.writes));
                }
            }
            // A fault is taken in program order, from a walk that nothing speculated (SDM 4.10.3, 11.3).
            Architecture::X86Tso if fault && uncached => view.raise(self.reads),
            // An instruction that has retired has read its entry.
            Architecture::X86Tso | Architecture::Rvwmo => {}
        }
        view
    }

    /// When a fault, whose walk is at `walk`, is taken at the earliest.
    #[must_use]
    pub fn fault_view(&self, walk: View) -> View {
        walk.join(self.before_reads).join(self.before_writes)
    }

    /// What a load waits for, wherever it reads.
    #[must_use]
    pub fn before_read(&self, strength: Strength) -> View {
        if strength == Strength::Strong { self.before_reads.join(self.releases) } else { self.before_reads }
    }

    /// The ways to satisfy a load of `cell` whose address and walk are known at `address`, before `limit`.
    #[must_use]
    pub fn readings(&self, log: &Log<'_>, cell: u64, address: View, strength: Strength, limit: Time) -> Vec<Reading> {
        let before = address.join(self.before_read(strength));
        let floor = before.order.max(self.coherence(cell));
        let mut found = Vec::with_capacity(2);
        let mut offer = |from: Time, value: u64| {
            let forward = self.forwards.iter().find(|f| f.cell == cell && f.time == from);
            let view = match forward {
                Some(f) if strength == Strength::Plain || f.atomic.is_none() => before.join(f.view),
                Some(f) => before.join(f.view).join(f.atomic.unwrap_or_default()),
                None => before.join(View::at(from)),
            };
            if view.order < limit {
                found.push(Reading { value, from, view });
            }
        };
        let (from, value) = log.value_at(cell, floor);
        offer(from, value);
        for (from, value) in log.writes_after(cell, floor) {
            offer(from, value);
        }
        found
    }

    /// A load has been satisfied. `address` is of the address and the walk.
    pub fn read(&mut self, cell: u64, reading: &Reading, address: View, strength: Strength, returns: bool) {
        self.reads.raise(reading.view);
        if returns {
            self.reads_returning.raise(reading.view);
        }
        raise(&mut self.coherence, cell, reading.view.order.max(reading.from));
        if strength != Strength::Plain {
            self.before_reads.raise(reading.view);
            self.before_writes.raise(reading.view);
        }
        self.addresses.raise(address);
    }

    /// What a store to `cell` stands after. `inputs` is of its address, walk and data.
    #[must_use]
    pub fn before_write(&self, cell: u64, inputs: View, strength: Strength) -> View {
        self.before_store(inputs, strength).join(View::at(self.coherence(cell).max(self.walked(cell))))
    }

    /// What a store waits for, wherever it writes.
    #[must_use]
    pub fn before_store(&self, inputs: View, strength: Strength) -> View {
        let view = inputs.join(self.before_writes).join(self.control).join(self.addresses);
        if strength == Strength::Strong { view.join(self.reads).join(self.writes) } else { view }
    }

    /// A store has taken its place at `time`. `read` is of the read half, for an atomic or exclusive.
    #[expect(clippy::too_many_arguments, reason = "one store's facts")]
    pub fn wrote(
        &mut self,
        cell: u64,
        time: Time,
        address: View,
        data: View,
        strength: Strength,
        acquire: bool,
        read: Option<View>,
    ) {
        let view = View::at(time);
        self.writes.raise(view);
        raise(&mut self.coherence, cell, time);
        self.addresses.raise(address);
        if strength == Strength::Strong {
            self.releases.raise(view);
            if acquire {
                self.before_reads.raise(view);
                self.before_writes.raise(view);
            }
        }
        self.forwards.retain(|f| f.cell != cell);
        self.forwards.push(Forward { cell, time, view: address.join(data), atomic: read });
    }

    /// Later loads do not take the value of the last store to `cell` early.
    pub fn no_forward(&mut self, cell: u64) {
        self.forwards.retain(|f| f.cell != cell);
    }

    /// A walk read `cell` for an access that did not fault.
    pub fn walk_read(&mut self, cell: u64, walk: View) {
        raise(&mut self.walked, cell, walk.order);
        self.implicit.raise(walk);
    }

    /// An access at this page offset has been translated by a walk at `walk`.
    pub fn offset_used(&mut self, offset: u16, walk: View) {
        match self.offsets.iter_mut().find(|e| e.0 == offset) {
            Some(e) => e.1 = e.1.max(walk.order),
            None => self.offsets.push((offset, walk.order)),
        }
    }

    /// What an own hardware update of `cell`, found by a walk at `walk`, stands after.
    #[must_use]
    pub fn before_update(&self, profile: &Profile, cell: u64, walk: View) -> View {
        let mut view = walk.join(self.context).join(self.control.full()).join(self.addresses.full());
        if profile.architecture == Architecture::Armv8 && profile.ets != Ets::None {
            view.raise(self.dsb);
        }
        view.join(View::at(self.walked(cell)))
    }

    pub fn fence(&mut self, fence: Fence, completion: Option<Time>) {
        let mut view = View::default();
        if fence.reads {
            view.raise(if fence.writes { self.reads } else { self.reads_returning });
        }
        if fence.writes {
            view.raise(self.writes);
        }
        if fence.completes {
            view.raise(self.implicit);
            for own in &mut self.own {
                view.raise(View::at(own.invalidation.since));
                if own.completed.is_none() {
                    own.completed = Some(completion.unwrap_or(Time::MAX));
                }
            }
        }
        if let Some(time) = completion {
            view.raise(View::at(time));
        }
        if fence.before_reads {
            self.before_reads.raise(view);
        }
        if fence.before_writes {
            self.before_writes.raise(view);
        }
        if fence.stores {
            self.before_writes.raise(self.writes);
        }
        if fence.synchronises {
            self.dsb.raise(view);
        }
        if fence.completes {
            let at = self.dsb.order;
            for own in &mut self.own {
                if own.completed == Some(Time::MAX) {
                    own.completed = Some(at);
                }
            }
        }
    }

    /// ISB, exception entry or return. `trigger` is of the walk and address of the instruction that faulted.
    pub fn synchronise_context(&mut self, trigger: View) {
        let view = self.control.full().join(self.addresses.full()).join(self.dsb).join(trigger.full());
        self.context.raise(view);
        self.before_reads.raise(self.context);
        self.before_writes.raise(self.context);
        for own in &mut self.own {
            own.felt |= own.completed.is_some();
        }
    }

    /// What an invalidation by a register known at `argument` stands after.
    #[must_use]
    pub fn before_invalidation(&self, argument: View) -> View {
        self.dsb.join(self.context).join(self.control.full()).join(argument.full())
    }
}
