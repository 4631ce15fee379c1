//! Loads, stores, atomics: translate, then read and write.

use crate::visibility::{
    Architecture, Effect, Ets, FaultKind, Log, Reading, Regime, Request, Source, Strength, Time, Update, View, Walk,
    walks, without_dominated,
};

use super::program::{FLAGS, Inst, Op, Operand, Width};
use super::state::{Fault, Monitor, State, fault_name};
use super::thread::{Runner, apply, strengths};

/// A translated access.
#[derive(Clone, Copy)]
struct Place {
    cell: u64,
    /// Of the address and the walk.
    view: View,
    limit: Time,
}

impl Runner<'_> {
    /// A state that has come to its end.
    pub(super) fn end_with(&mut self, mut state: State) {
        state.pc = u16::MAX;
        self.go(state);
    }

    pub(super) fn access(&mut self, state: State, inst: Inst) {
        let (address, write, width) = match inst {
            Inst::Load { address, width, .. } => (address, false, width),
            Inst::Store { address, width, .. }
            | Inst::StoreExclusive { address, width, .. }
            | Inst::Atomic { address, width, .. }
            | Inst::CompareSwap { address, width, .. } => (address, true, width),
            _ => return,
        };
        let (target, view) = Self::target(&state, &address);
        if target % width.bytes() != 0 {
            return self.refuse("an unaligned access");
        }
        if self.test.direct.iter().any(|&(from, to)| (from..to).contains(&target)) {
            if self.thread.user && !state.handling {
                let walk = Walk {
                    steps: Vec::new(),
                    result: Err(FaultKind::Permission),
                    view,
                    limit: Time::MAX,
                    update: None,
                    stale_invalid: None,
                    global: false,
                };
                return self.fault(state, &walk, FaultKind::Permission, target, write, view);
            }
            return self.data(state, inst, Place { cell: target, view, limit: Time::MAX });
        }
        let ordered = match inst {
            Inst::Load { strength, .. } => state.cpu.before_read(strength),
            Inst::Store { from, strength, .. } | Inst::StoreExclusive { from, strength, .. } => {
                state.cpu.before_store(view.join(state.get(from).1), strength)
            }
            Inst::Atomic { operand, acquire, release, .. }
            | Inst::CompareSwap { new: operand, acquire, release, .. } => {
                let (acquires, releases) = strengths(acquire, release);
                let data = view.join(state.get(operand).1);
                state.cpu.before_read(acquires).join(state.cpu.before_store(data, releases))
            }
            _ => View::default(),
        };
        // A compare that fails without writing back may leave the dirty state alone.
        let choices: &[bool] =
            if matches!(inst, Inst::CompareSwap { .. }) && self.optional_dirty() { &[true, false] } else { &[true] };
        for &dirties in choices {
            let request = Request { address: target, view, ordered, write, dirties };
            for (regime, named) in self.regimes(&state) {
                let log = Log { initial: &self.test.initial, settled: self.settled, ahead: &state.ahead };
                let touched = &mut self.findings.touched;
                let mut found = walks(&log, &self.test.profile, &state.cpu, &regime, &request, touched);
                if self.reduce {
                    found = without_dominated(found);
                }
                for walk in found {
                    // Under another identifier only global entries are still found.
                    if !named && !walk.global {
                        continue;
                    }
                    match walk.result {
                        Err(kind) if dirties => self.fault(state.clone(), &walk, kind, target, write, view),
                        Err(_) => {}
                        Ok(cell) => self.translated(state.clone(), inst, &walk, cell, target, view, dirties),
                    }
                }
            }
        }
    }

    fn optional_dirty(&self) -> bool {
        self.thread.hardware_dirty && self.test.profile.architecture == Architecture::Armv8
    }

    /// The translation regimes the CPU may use now: the one its registers name, one that has not been given up by a
    /// context synchronisation, and what may still be cached under the same identifier.
    fn regimes(&self, state: &State) -> Vec<(Regime, bool)> {
        let hypervisor = state.level == 2;
        let make = |root: &super::state::Root| Regime {
            root: root.root,
            level: self.test.root_level,
            asid: root.asid,
            view: root.view,
            hardware_access: self.thread.hardware_access,
            hardware_dirty: self.thread.hardware_dirty,
            user: if self.thread.levels { state.level == 0 } else { self.thread.user && !state.handling },
        };
        if state.roots.len() == 2 {
            return vec![(make(&state.roots[usize::from(hypervisor)]), true)];
        }
        let mine: Vec<_> = state.roots.iter().filter(|r| r.hypervisor == hypervisor).collect();
        let mut usable: Vec<(Regime, bool)> = Vec::with_capacity(1);
        let mut current = Vec::new();
        for root in mine.iter().rev() {
            current.push(root.asid);
            usable.push((make(root), true));
            if root.synchronised {
                break;
            }
        }
        let count = usable.len();
        for root in mine.iter().rev().skip(count) {
            let regime = make(root);
            if !root.replaced && !usable.iter().any(|(r, _)| r.root == regime.root) {
                usable.push((regime, current.contains(&root.asid)));
            }
        }
        usable
    }

    fn fault(&mut self, mut state: State, walk: &Walk, kind: FaultKind, target: u64, write: bool, address: View) {
        let view = state.cpu.fault_view(walk.view);
        if view.order >= walk.limit {
            return;
        }
        // In the isla work an earlier access at the same page offset orders a faulting one too; herd's model says no.
        let offset = (target & 0xfff) as u16;
        if self.test.profile.ets == Ets::Ets && state.cpu.walk_at_offset(offset) > walk.limit {
            return;
        }
        if let Some(stale) = walk.stale_invalid {
            if self.test.profile.svvptc && state.stale.contains(&stale) {
                return;
            }
            state.stale.push(stale);
        }
        for step in &walk.steps {
            state.cpu.walk_read(step.cell, walk.view);
        }
        let kind_name = fault_name(kind);
        state.faults.push(Fault { thread: state.cpu.id, at: state.pc, address: Some(target), kind: kind_name });
        self.tell_walk(&mut state, walk);
        state.tell(Some(state.pc), view.order, || format!("fault {kind_name} at {}", self.test.names.address(target)));
        let level = walk.steps.last().map_or(3, |s| u64::from(s.level));
        let status = match kind {
            FaultKind::Translation => 0b0100 | level,
            FaultKind::AccessFlag => 0b1000 | level,
            FaultKind::Permission => 0b1100 | level,
        };
        let class: u64 = if state.level == 0 { 0x24 } else { 0x25 };
        let syndrome = class << 26 | 1 << 25 | u64::from(write) << 6 | status;
        self.take_fault(state, syndrome, Some(target), walk.view.join(address));
    }

    fn tell_walk(&self, state: &mut State, walk: &Walk) {
        if state.story.is_none() {
            return;
        }
        for step in &walk.steps {
            let name = self.test.names.entry(step.cell);
            let value = self.test.names.word(step.cell, step.version.value, &self.test.profile);
            let whence = if step.version.from == 0 { "initial".to_owned() } else { format!("#{}", step.version.from) };
            state.tell(Some(state.pc), walk.view.order, || format!("walk reads {name} = {value} ({whence})"));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one access's facts")]
    fn translated(
        &mut self,
        mut state: State,
        inst: Inst,
        walk: &Walk,
        cell: u64,
        target: u64,
        address: View,
        dirties: bool,
    ) {
        let offset = (target & 0xfff) as u16;
        if walk.limit != Time::MAX && state.cpu.walk_at_offset(offset) > walk.limit {
            return;
        }
        self.tell_walk(&mut state, walk);
        if let Some(update) = &walk.update
            && !self.update(&mut state, update, walk.view)
        {
            return;
        }
        for step in &walk.steps {
            state.cpu.walk_read(step.cell, walk.view);
        }
        state.cpu.offset_used(offset, walk.view);
        let place = Place { cell, view: walk.view.join(address), limit: walk.limit };
        if dirties {
            self.data(state, inst, place);
        } else {
            self.failing_compare(state, inst, place, false);
        }
    }

    /// The walker's own write to the entry. False where the log says that it cannot be.
    fn update(&self, state: &mut State, update: &Update, walk: View) -> bool {
        let before = state.cpu.before_update(&self.test.profile, update.cell, walk);
        let id = state.cpu.id;
        let effect = Effect::Write { cpu: id, cell: update.cell, value: update.value, source: Source::Walker };
        let now = self.now();
        let next = self.log(state).next_settled_write(update.cell, update.replaces);
        let time = if next == Time::MAX {
            if before.pick <= now {
                state.proposals.push(effect.clone());
            }
            state.ahead.push(effect);
            now + state.ahead.len() as Time
        } else {
            let at = usize::from(next) - 1;
            if self.settled[at] != effect || state.met >> at & 1 == 1 || next <= before.pick {
                return false;
            }
            state.met |= 1 << at;
            next
        };
        state.cpu.implicit.raise(View::at(time));
        state.tell(Some(state.pc), time, || {
            let value = self.test.names.word(update.cell, update.value, &self.test.profile);
            format!("hardware writes {} = {value}", self.test.names.entry(update.cell))
        });
        true
    }

    /// Finds the place in the log of a store, or puts it ahead. `after` is what it must directly follow.
    fn place(&self, state: &mut State, at: Place, value: u64, before: View, after: Option<Time>) -> Option<Time> {
        let now = self.now();
        let id = state.cpu.id;
        for (i, effect) in self.settled.iter().enumerate() {
            if state.met >> i & 1 == 1 {
                continue;
            }
            if let Effect::Write { cpu, cell, value: settled, source: Source::Program } = effect
                && *cpu == id
                && *cell == at.cell
            {
                let time = i as Time + 1;
                let direct = after.is_none_or(|from| self.log(state).next_settled_write(at.cell, from) == time);
                if *settled != value || time <= before.pick || time >= at.limit || !direct {
                    return None;
                }
                state.met |= 1 << i;
                return Some(time);
            }
        }
        if at.limit != Time::MAX {
            return None;
        }
        if after.is_some_and(|from| self.log(state).next_settled_write(at.cell, from) != Time::MAX) {
            return None;
        }
        let effect = Effect::Write { cpu: id, cell: at.cell, value, source: Source::Program };
        if before.pick <= now {
            state.proposals.push(effect.clone());
        }
        state.ahead.push(effect);
        Some(now + state.ahead.len() as Time)
    }

    fn tell_read(&self, state: &mut State, cell: u64, reading: &Reading) {
        state.tell(Some(state.pc), reading.view.order, || {
            let whence = if reading.from == 0 { "initial".to_owned() } else { format!("#{}", reading.from) };
            let value = self.test.names.word(cell, reading.value, &self.test.profile);
            format!("reads {} = {value} ({whence})", self.test.names.cell(cell))
        });
    }

    fn tell_write(&self, state: &mut State, cell: u64, value: u64, time: Time) {
        state.tell(Some(state.pc), time, || {
            let value = self.test.names.word(cell, value, &self.test.profile);
            format!("writes {} = {value}", self.test.names.cell(cell))
        });
    }

    fn data(&mut self, mut state: State, inst: Inst, at: Place) {
        if let Inst::Load { width, .. }
        | Inst::Store { width, .. }
        | Inst::StoreExclusive { width, .. }
        | Inst::Atomic { width, .. }
        | Inst::CompareSwap { width, .. } = inst
            && !self.findings.footprints.contains(&(at.cell, width))
        {
            self.findings.footprints.push((at.cell, width));
        }
        // A plain store depends on nobody else's writes.
        if !matches!(inst, Inst::Store { .. }) && !self.findings.touched.contains(&at.cell) {
            self.findings.touched.push(at.cell);
        }
        match inst {
            Inst::Load { to, width, signed, strength, exclusive, .. } => {
                for reading in state.cpu.readings(&self.log(&state), at.cell, at.view, strength, at.limit) {
                    let mut next = state.clone();
                    next.cpu.read(at.cell, &reading, at.view, strength, true);
                    if let Some(to) = to {
                        next.set(to, extend(width, signed, reading.value), reading.view);
                    }
                    if exclusive {
                        next.monitor = Some(Monitor { cell: at.cell, from: reading.from, view: reading.view });
                    }
                    self.tell_read(&mut next, at.cell, &reading);
                    next.pc += 1;
                    self.go(next);
                }
            }
            Inst::Store { from, width, strength, .. } => {
                let (value, data) = state.get(from);
                let value = width.cut(value);
                let before = state.cpu.before_write(at.cell, at.view.join(data), strength);
                let Some(time) = self.place(&mut state, at, value, before, None) else { return };
                state.cpu.wrote(at.cell, time, at.view, data, strength, false, None);
                self.tell_write(&mut state, at.cell, value, time);
                state.pc += 1;
                self.go(state);
            }
            Inst::StoreExclusive { .. } => self.store_exclusive(state, inst, at),
            Inst::Atomic { op, to, operand, width, acquire, release, .. } => {
                let (acquires, releases) = strengths(acquire && to.is_some(), release);
                for reading in state.cpu.readings(&self.log(&state), at.cell, at.view, acquires, at.limit) {
                    let mut next = state.clone();
                    let (with, data) = next.get(operand);
                    next.cpu.read(at.cell, &reading, at.view, acquires, to.is_some());
                    self.tell_read(&mut next, at.cell, &reading);
                    let old = width.cut(reading.value);
                    let value = width.cut(apply(op, old, width.cut(with), width));
                    let inputs = if op == Op::Swap { data } else { data.join(reading.view) };
                    if self.write_half(&mut next, at, value, inputs, &reading, releases, acquires == Strength::Strong) {
                        if let Some(to) = to {
                            next.set(to, old, reading.view);
                        }
                        next.pc += 1;
                        self.go(next);
                    }
                }
            }
            Inst::CompareSwap { expected, new, width, acquire, release, .. } => {
                let (acquires, releases) = strengths(acquire, release);
                for reading in state.cpu.readings(&self.log(&state), at.cell, at.view, acquires, at.limit) {
                    let old = width.cut(reading.value);
                    if width.cut(state.get(Operand::Reg(expected)).0) != old {
                        continue;
                    }
                    let mut next = state.clone();
                    let compared = next.get(Operand::Reg(expected)).1;
                    let (value, data) = next.get(new);
                    next.cpu.read(at.cell, &reading, at.view, acquires, true);
                    self.tell_read(&mut next, at.cell, &reading);
                    let inputs = data.join(compared.picked()).join(reading.view.picked());
                    let strong = acquires == Strength::Strong;
                    if self.write_half(&mut next, at, width.cut(value), inputs, &reading, releases, strong) {
                        next.set(expected, old, reading.view);
                        self.compared(&mut next, true);
                        next.pc += 1;
                        self.go(next);
                    }
                }
                // x86 writes back what it read; Arm may.
                if self.test.profile.architecture != Architecture::X86Tso {
                    self.failing_compare(state.clone(), inst, at, false);
                }
                self.failing_compare(state, inst, at, true);
            }
            _ => {}
        }
    }

    /// A compare-and-swap that fails, and writes back what it read or nothing.
    fn failing_compare(&mut self, state: State, inst: Inst, at: Place, back: bool) {
        let Inst::CompareSwap { expected, width, acquire, release, .. } = inst else { return };
        let (acquires, releases) = strengths(acquire, release);
        for reading in state.cpu.readings(&self.log(&state), at.cell, at.view, acquires, at.limit) {
            let old = width.cut(reading.value);
            let (wanted, compared) = state.get(Operand::Reg(expected));
            if width.cut(wanted) == old {
                continue;
            }
            let mut next = state.clone();
            next.cpu.read(at.cell, &reading, at.view, acquires, true);
            self.tell_read(&mut next, at.cell, &reading);
            let strong = acquires == Strength::Strong;
            if back && !self.write_half(&mut next, at, old, reading.view, &reading, releases, strong) {
                continue;
            }
            next.set(expected, old, reading.view.join(compared.picked()));
            self.compared(&mut next, false);
            next.pc += 1;
            self.go(next);
        }
    }

    /// x86's ZF after a CMPXCHG.
    fn compared(&self, state: &mut State, equal: bool) {
        if self.test.profile.architecture == Architecture::X86Tso {
            state.set(FLAGS, u64::from(equal) << 2, View::default());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one store's facts")]
    fn write_half(
        &self,
        state: &mut State,
        at: Place,
        value: u64,
        inputs: View,
        reading: &Reading,
        strength: Strength,
        acquire: bool,
    ) -> bool {
        let address = at.view;
        let before = state.cpu.before_write(at.cell, address.join(inputs).join(reading.view), strength);
        let Some(time) = self.place(state, at, value, before, Some(reading.from)) else { return false };
        state.cpu.wrote(at.cell, time, address, inputs, strength, acquire, Some(reading.view));
        if self.test.profile.architecture == Architecture::Rvwmo {
            state.cpu.no_forward(at.cell);
        }
        self.tell_write(state, at.cell, value, time);
        true
    }

    fn store_exclusive(&mut self, mut state: State, inst: Inst, at: Place) {
        let Inst::StoreExclusive { status, from, width, strength, .. } = inst else { return };
        let monitor = state.monitor.take();
        let mut failed = state.clone();
        if let Some(status) = status {
            failed.set(status, 1, View::default());
        }
        failed.tell(Some(failed.pc), 0, || "exclusive store fails".to_owned());
        failed.pc += 1;
        self.go(failed);
        let Some(monitor) = monitor.filter(|m| m.cell == at.cell) else { return };
        let (value, data) = state.get(from);
        let value = width.cut(value);
        let before = state.cpu.before_write(at.cell, at.view.join(data).join(monitor.view), strength);
        // Own stores may stand between the two, others may not.
        let after = self.own_since(&state, at.cell, monitor.from);
        let Some(time) = self.place(&mut state, at, value, before, Some(after)) else { return };
        state.cpu.wrote(at.cell, time, at.view, data, strength, false, Some(monitor.view));
        if self.test.profile.architecture == Architecture::Rvwmo {
            state.cpu.no_forward(at.cell);
        }
        if let Some(status) = status {
            state.set(status, 0, View::default());
        }
        self.tell_write(&mut state, at.cell, value, time);
        state.pc += 1;
        self.go(state);
    }

    /// The last of the own stores to `cell` that directly follow the write at `from`.
    fn own_since(&self, state: &State, cell: u64, mut from: Time) -> Time {
        loop {
            let next = self.log(state).next_settled_write(cell, from);
            if next == Time::MAX || state.met >> (next - 1) & 1 == 0 {
                return from;
            }
            from = next;
        }
    }
}

fn extend(width: Width, signed: bool, value: u64) -> u64 {
    let value = width.cut(value);
    match (signed, width) {
        (true, Width::Byte) => value as i8 as i64 as u64,
        (true, Width::Half) => value as i16 as i64 as u64,
        (true, Width::Word) => value as i32 as i64 as u64,
        _ => value,
    }
}
