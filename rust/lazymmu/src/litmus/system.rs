//! Barriers, invalidations, roots, exceptions.

use std::sync::Arc;

use crate::visibility::{Architecture, Effect, Fence, Invalidation, OwnInvalidation, Scope, View};

use super::program::{Invalidate, OnFault, Operand, Thread};
use super::state::{Fault, Root, State};
use super::thread::Runner;

/// SPSR.M: the exception level, and whether it has its own stack pointer.
fn saved_state(level: u8, own_stack: bool) -> u64 {
    u64::from(level) << 2 | u64::from(own_stack && level > 0)
}

impl Runner<'_> {
    pub(super) fn synchronise(&self, state: &mut State, trigger: View) {
        state.cpu.synchronise_context(trigger);
        for root in &mut state.roots {
            root.synchronised = true;
        }
    }

    /// A barrier. False where the log says that it cannot be here.
    pub(super) fn fence(&mut self, state: &mut State, fence: Fence) -> bool {
        let mut completion = None;
        if fence.completes && !state.pending.is_empty() {
            let mut before = state.cpu.reads.join(state.cpu.writes).join(state.cpu.implicit).join(state.cpu.dsb);
            for invalidation in &state.pending {
                before.raise(View::at(invalidation.since));
            }
            let invalidations: Arc<[Invalidation]> = std::mem::take(&mut state.pending).into();
            let Some(time) = self.complete(state, invalidations, before) else { return false };
            state.tell(Some(state.pc), time, || "invalidations complete on every CPU".to_owned());
            completion = Some(time);
        }
        state.cpu.fence(fence, completion);
        true
    }

    fn complete(&self, state: &mut State, invalidations: Arc<[Invalidation]>, before: View) -> Option<u16> {
        let id = state.cpu.id;
        for (i, effect) in self.settled.iter().enumerate() {
            if state.met >> i & 1 == 1 {
                continue;
            }
            if let Effect::Completed { cpu, invalidations: settled } = effect
                && *cpu == id
            {
                let time = i as u16 + 1;
                if *settled != invalidations || time <= before.pick {
                    return None;
                }
                state.met |= 1 << i;
                return Some(time);
            }
        }
        let effect = Effect::Completed { cpu: id, invalidations };
        if before.pick <= self.now() {
            state.proposals.push(effect.clone());
        }
        state.ahead.push(effect);
        Some(self.now() + state.ahead.len() as u16)
    }

    /// An invalidation instruction. False where the log says that it cannot be here.
    pub(super) fn invalidate(&mut self, state: &mut State, what: &Invalidate) -> bool {
        let mut argument = View::default();
        let (mut page, mut asid) = (None, None);
        if let Some(operand) = what.packed {
            let (value, view) = state.get(operand);
            argument.raise(view);
            page = what.by_page.then_some(value & 0xfff_ffff_ffff);
            asid = what.by_asid.then_some((value >> 48) as u16);
        }
        if let Some(operand) = what.address {
            let (value, view) = state.get(operand);
            argument.raise(view);
            page = Some((value & 0x0000_ffff_ffff_ffff) >> 12);
        }
        if let Some(operand) = what.asid {
            let (value, view) = state.get(operand);
            argument.raise(view);
            asid = Some(value as u16);
        }
        let scope = Scope { page, asid, last_level: what.last_level, global: what.global, all_tables: what.all_tables };
        let mut before = state.cpu.before_invalidation(argument);
        if what.immediate {
            // It orders every store its CPU made or saw before it.
            before.raise(state.cpu.reads.join(state.cpu.writes));
        }
        let since = before.pick;
        let invalidation = Invalidation { scope, since, reaches: what.remote };
        state.tell(Some(state.pc), since, || format!("invalidates {}", describe(&scope, what.broadcast)));
        let own = what.remote.is_none_or(|cpu| cpu == state.cpu.id);
        if own {
            state.cpu.own.push(OwnInvalidation {
                invalidation,
                completed: what.immediate.then_some(since),
                felt: what.immediate,
            });
            for root in &mut state.roots {
                // What was cached under a root given up before is gone.
                root.replaced |= !what.broadcast && what.immediate && scope.page.is_none();
            }
        }
        if what.immediate {
            let all = self.test.profile.architecture == Architecture::X86Tso;
            if all {
                state.cpu.before_reads.raise(before);
                state.cpu.before_writes.raise(before);
            }
            state.cpu.context.raise(before);
        }
        if what.broadcast || what.remote.is_some() {
            state.pending.push(invalidation);
            if what.immediate {
                let fence = Fence { completes: true, before_reads: true, before_writes: true, ..Fence::default() };
                return self.fence(state, fence);
            }
        }
        true
    }

    pub(super) fn set_root(&mut self, state: &mut State, from: Operand, hypervisor: bool) {
        let (value, view) = state.get(from);
        let root = Root {
            hypervisor,
            root: value & 0x0000_ffff_ffff_f000,
            asid: (value >> 48) as u16,
            view,
            synchronised: false,
            replaced: false,
        };
        state.roots.push(root);
    }

    pub(super) fn ret(&self, state: &mut State, exception: bool) -> bool {
        let thread = self.thread;
        let names = match (exception, state.level) {
            (true, 2) => ("ELR_EL2", "SPSR_EL2"),
            (true, _) => ("ELR_EL1", "SPSR_EL1"),
            (false, _) => ("X30", ""),
        };
        let Some(to) = state.named(thread, names.0) else { return false };
        if exception {
            if let Some(saved) = state.named(thread, names.1)
                && thread.vectors.handler.is_none()
            {
                state.level = (saved >> 2 & 3) as u8;
                state.own_stack = saved & 1 == 1;
            }
            state.handling = false;
            state.again = false;
            if self.test.profile.return_synchronises() {
                self.synchronise(state, View::default());
            }
        }
        match thread.at_address(to) {
            Some(pc) => {
                state.pc = pc;
                true
            }
            None => false,
        }
    }

    /// Takes an exception, with `target` the exception level it goes to. Nothing where the thread ends.
    #[expect(clippy::too_many_arguments, reason = "one exception's facts")]
    fn vector(
        &mut self,
        mut state: State,
        target: u8,
        resume: u64,
        syndrome: u64,
        address: Option<u64>,
        call: bool,
        trigger: View,
    ) -> Option<State> {
        let thread: &Thread = self.thread;
        let pc = match thread.vectors.handler {
            Some(pc) => Some(pc),
            None => thread.vectors.base[usize::from(target)].and_then(|base| {
                let offset = match (state.level < target, state.own_stack) {
                    (true, _) => 0x400,
                    (false, true) => 0x200,
                    (false, false) => 0,
                };
                thread.at_address(base + offset)
            }),
        };
        let suffix = if target == 2 { "EL2" } else { "EL1" };
        state.set_named(thread, &format!("ELR_{suffix}"), resume);
        state.set_named(thread, &format!("ESR_{suffix}"), syndrome);
        if let Some(address) = address {
            state.set_named(thread, &format!("FAR_{suffix}"), address);
        }
        state.set_named(thread, &format!("SPSR_{suffix}"), saved_state(state.level, state.own_stack));
        if self.test.profile.entry_synchronises(call) {
            self.synchronise(&mut state, trigger);
        }
        let Some(pc) = pc else {
            // No code where the exception goes: there is no such execution.
            self.wait(state);
            return None;
        };
        state.handling = true;
        state.level = target;
        state.own_stack = true;
        state.pc = pc;
        Some(state)
    }

    fn has_vector(&self, state: &State, target: u8) -> bool {
        self.thread.vectors.handler.is_some() || (self.thread.levels && state.level <= target)
    }

    /// A fault of the instruction at the program counter, recorded already.
    pub(super) fn take_fault(&mut self, mut state: State, syndrome: u64, address: Option<u64>, trigger: View) {
        let here = self.thread.code[usize::from(state.pc)].address;
        let target = state.level.max(1);
        if self.has_vector(&state, target) {
            if state.handling && self.thread.vectors.handler.is_some() {
                return self.refuse("a fault inside a fault handler");
            }
            if let Some(next) = self.vector(state, target, here, syndrome, address, false, trigger) {
                self.go(next);
            }
            return;
        }
        state.set_named(self.thread, "ELR_EL1", here);
        match self.test.on_fault {
            OnFault::Fatal => self.end_with(state),
            OnFault::Skip => {
                self.synchronise(&mut state, trigger);
                state.pc += 1;
                self.go(state);
            }
            OnFault::Handled if state.again => self.wait(state),
            OnFault::Handled => {
                self.synchronise(&mut state, trigger);
                state.again = true;
                self.go(state);
            }
        }
    }

    fn record(&self, state: &mut State, kind: &'static str) {
        let fault = Fault { thread: state.cpu.id, at: state.pc, address: None, kind };
        state.faults.push(fault);
        state.tell(Some(state.pc), state.cpu.context.order, || format!("exception: {kind}"));
    }

    /// SVC or HVC.
    pub(super) fn call(&mut self, mut state: State, hypervisor: bool, number: u16) -> Option<State> {
        self.record(&mut state, "SupervisorCall");
        let target = if hypervisor { 2 } else { state.level.max(1) };
        let class: u64 = if hypervisor { 0x16 } else { 0x15 };
        let syndrome = class << 26 | 1 << 25 | u64::from(number);
        let resume = self.thread.code[usize::from(state.pc)].address + 4;
        if self.has_vector(&state, target) {
            return self.vector(state, target, resume, syndrome, None, true, View::default());
        }
        match self.test.on_fault {
            OnFault::Fatal => {
                self.end_with(state);
                None
            }
            OnFault::Skip | OnFault::Handled => {
                if self.test.profile.entry_synchronises(true) {
                    self.synchronise(&mut state, View::default());
                }
                state.pc += 1;
                Some(state)
            }
        }
    }

    pub(super) fn undefined(&mut self, mut state: State) -> Option<State> {
        self.record(&mut state, "UndefinedInstruction");
        self.take_fault(state, 0, None, View::default());
        None
    }
}

fn describe(scope: &Scope, broadcast: bool) -> String {
    let what = match (scope.page, scope.asid) {
        (Some(page), Some(asid)) => format!("page {page:#x} of ASID {asid:#x}"),
        (Some(page), None) => format!("page {page:#x}"),
        (None, Some(asid)) => format!("ASID {asid:#x}"),
        (None, None) => "everything".to_owned(),
    };
    let level = if scope.last_level { ", last level only" } else { "" };
    let whom = if broadcast { ", on every CPU" } else { "" };
    format!("{what}{level}{whom}")
}
