//! Runs one thread, alone, over one log: every way its loads can be satisfied and its accesses translated.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashSet, FxHasher};

use crate::visibility::{Effect, Log, Source, Strength, Time, View};

use super::program::{Address, Change, Extend, FLAGS, Inst, Litmus, Op, Operand, Test, Thread, Width};
use super::state::{Fault, State};

/// Instructions a thread may execute before a run is cut.
const STEPS: u16 = 400;
/// Accesses of a thread over one log after which states are remembered, so as not to follow one twice.
const MANY: usize = 24;
/// Times a backward branch is taken before a run is cut.
const ROUNDS: u8 = 3;

/// What a thread shows at its end: the observed registers, its faults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Final {
    pub registers: Vec<u64>,
    pub faults: Vec<Fault>,
}

/// What one thread can do over one log.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Ends that add nothing to the log.
    pub finals: Vec<Final>,
    /// Effects that can come next.
    pub proposals: Vec<Effect>,
    /// A run waits for others: it spins, or would fault where it may not.
    pub waits: bool,
    /// A run was cut by a bound.
    pub cut: bool,
    /// Cells whose writes the findings depend on.
    pub touched: Vec<u64>,
    /// Data accessed, and how wide.
    pub footprints: Vec<(u64, Width)>,
    /// The program did something that is not modelled.
    pub unsupported: Option<String>,
    /// A run that ends as wanted, told.
    pub told: Option<State>,
}

pub(super) struct Runner<'a> {
    pub test: &'a Litmus,
    pub thread: &'a Thread,
    pub settled: &'a [Effect],
    /// Own effects in the log.
    own: u128,
    /// Leave out what another way to go makes needless.
    pub reduce: bool,
    observed: &'a [u8],
    wanted: Option<&'a Final>,
    seen: FxHashSet<Final>,
    proposed: FxHashSet<Effect>,
    /// States met before an access, once there have been many.
    met: FxHashSet<State>,
    accesses: usize,
    pub findings: Findings,
}

/// Runs thread `id` over `settled`. With `wanted`, only to tell a run that ends so.
#[must_use]
pub(super) fn explore(
    test: &Litmus,
    id: u8,
    settled: &[Effect],
    observed: &[u8],
    reduce: bool,
    wanted: Option<&Final>,
) -> Findings {
    let mut own = 0;
    for (i, effect) in settled.iter().enumerate() {
        if effect.cpu() == id {
            own |= 1 << i;
        }
    }
    let mut runner = Runner {
        test,
        thread: &test.threads[usize::from(id)],
        settled,
        own,
        reduce,
        observed,
        wanted,
        seen: FxHashSet::default(),
        proposed: FxHashSet::default(),
        met: FxHashSet::default(),
        accesses: 0,
        findings: Findings::default(),
    };
    runner.go(State::new(test, id, wanted.is_some()));
    runner.findings
}

impl<'a> Runner<'a> {
    pub(super) fn log<'s>(&'s self, state: &'s State) -> Log<'s> {
        Log { initial: &self.test.initial, settled: self.settled, ahead: &state.ahead }
    }

    pub(super) fn now(&self) -> Time {
        self.settled.len() as Time
    }

    pub(super) fn refuse(&mut self, why: &str) {
        if self.findings.unsupported.is_none() {
            self.findings.unsupported = Some(why.to_owned());
        }
    }

    fn end(&mut self, state: State) {
        if state.met != self.own {
            return;
        }
        if state.ahead.is_empty() {
            let registers = self.observed.iter().map(|&r| state.registers[usize::from(r)].0).collect();
            let mut faults = state.faults.clone();
            faults.sort();
            faults.dedup();
            let last = Final { registers, faults };
            if self.wanted == Some(&last) && self.findings.told.is_none() {
                self.findings.told = Some(state);
                return;
            }
            if self.seen.insert(last.clone()) {
                self.findings.finals.push(last);
            }
            return;
        }
        self.propose(state);
    }

    fn propose(&mut self, state: State) {
        for effect in state.proposals {
            if !self.proposed.contains(&effect) {
                self.proposed.insert(effect.clone());
                self.findings.proposals.push(effect);
            }
        }
    }

    /// A run that cannot go on until others have done more.
    pub(super) fn wait(&mut self, state: State) {
        if state.met == self.own {
            self.findings.waits = true;
            self.propose(state);
        }
    }

    /// A backward branch is about to be taken. False where the run ends there.
    fn again(&mut self, state: &mut State, target: u16) -> bool {
        let mut hasher = FxHasher::default();
        for (value, _) in &state.registers {
            value.hash(&mut hasher);
        }
        (state.ahead.len(), state.met).hash(&mut hasher);
        let now = hasher.finish();
        match state.loops.iter_mut().find(|l| l.0 == state.pc) {
            None => state.loops.push((state.pc, 1, now)),
            Some((_, count, before)) => {
                let same = *before == now;
                (*count, *before) = (*count + 1, now);
                if same {
                    // Another round changes nothing until memory does.
                    return false;
                }
                if *count >= ROUNDS {
                    self.findings.cut = true;
                    return false;
                }
            }
        }
        state.pc = target;
        true
    }

    /// An own store in the log can no longer be reached.
    fn hopeless(&self, state: &State) -> bool {
        let left = self.own & !state.met;
        if left == 0 {
            return false;
        }
        let cpu = &state.cpu;
        let bound = cpu.before_writes.join(cpu.control).join(cpu.addresses).pick;
        if bound == 0 {
            return false;
        }
        let early = left & ((1u128 << bound.min(127)) - 1);
        let mut rest = early;
        while rest != 0 {
            let i = rest.trailing_zeros() as usize;
            if matches!(self.settled[i], Effect::Write { source: Source::Program, .. }) {
                return true;
            }
            rest &= rest - 1;
        }
        false
    }

    pub(super) fn go(&mut self, mut state: State) {
        loop {
            if self.findings.told.is_some() || self.findings.unsupported.is_some() || self.hopeless(&state) {
                return;
            }
            let Some(line) = self.thread.code.get(usize::from(state.pc)) else {
                return self.end(state);
            };
            // A handler is not fallen into from the main program.
            if line.handler && !state.handling && state.level == self.thread.level {
                return self.end(state);
            }
            state.steps += 1;
            if state.steps > STEPS {
                self.findings.cut = true;
                return self.wait(state);
            }
            match line.inst {
                Inst::Nop => state.pc += 1,
                Inst::Stop => return self.end(state),
                Inst::Compute { op, to, a, b, extend, width, flags } => {
                    Self::compute(&mut state, op, to, a, b, extend, width, flags);
                    state.pc += 1;
                }
                Inst::Select { to, condition, yes, no, change, width } => {
                    Self::select(&mut state, to, condition, yes, no, change, width);
                    state.pc += 1;
                }
                Inst::Branch { test, target } => {
                    let (taken, view) = Self::decide(&state, test);
                    state.cpu.control.raise(view);
                    if taken && target <= state.pc {
                        if !self.again(&mut state, target) {
                            return self.wait(state);
                        }
                    } else {
                        state.pc = if taken { target } else { state.pc + 1 };
                    }
                }
                Inst::SynchroniseContext => {
                    self.synchronise(&mut state, View::default());
                    state.pc += 1;
                }
                Inst::Fence(fence) => {
                    if !self.fence(&mut state, fence) {
                        return;
                    }
                    state.pc += 1;
                }
                Inst::Invalidate(what) => {
                    if !self.invalidate(&mut state, &what) {
                        return;
                    }
                    state.pc += 1;
                }
                Inst::SetRoot { from, hypervisor } => {
                    self.set_root(&mut state, from, hypervisor);
                    state.pc += 1;
                }
                Inst::Return { exception } => {
                    if !self.ret(&mut state, exception) {
                        return self.end(state);
                    }
                }
                Inst::Call { hypervisor, number } => match self.call(state, hypervisor, number) {
                    Some(next) => state = next,
                    None => return,
                },
                Inst::Undefined => match self.undefined(state) {
                    Some(next) => state = next,
                    None => return,
                },
                Inst::Load { .. }
                | Inst::Store { .. }
                | Inst::StoreExclusive { .. }
                | Inst::Atomic { .. }
                | Inst::CompareSwap { .. } => {
                    self.accesses += 1;
                    if self.reduce && self.accesses > MANY && state.story.is_none() {
                        if self.met.contains(&state) {
                            return;
                        }
                        self.met.insert(state.clone());
                    }
                    return self.access(state, line.inst);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one instruction's fields")]
    fn compute(
        state: &mut State,
        op: Op,
        to: Option<u8>,
        a: Operand,
        b: Operand,
        extend: Extend,
        width: Width,
        flags: bool,
    ) {
        let ((a, va), (b, vb)) = (state.get(a), state.get(b));
        let view = va.join(vb);
        let (a, b) = (width.cut(a), width.cut(extend.apply(b)));
        let value = width.cut(apply(op, a, b, width));
        if let Some(to) = to {
            state.set(to, value, view);
        }
        if flags {
            state.set(FLAGS, condition_flags(op, a, b, value, width), view);
        }
    }

    fn select(state: &mut State, to: u8, cond: u8, yes: Operand, no: Operand, change: Change, width: Width) {
        let flags = state.registers[usize::from(FLAGS)];
        let chosen = holds(cond, flags.0);
        let (value, view) = state.get(if chosen { yes } else { no });
        let value = match (chosen, change) {
            (true, _) | (false, Change::Keep) => value,
            (false, Change::Increment) => value.wrapping_add(1),
            (false, Change::Invert) => !value,
            (false, Change::Negate) => value.wrapping_neg(),
        };
        state.set(to, width.cut(value), view.join(flags.1.picked()));
    }

    fn decide(state: &State, test: Test) -> (bool, View) {
        let two = |a, b| {
            let ((a, va), (b, vb)) = (state.get(a), state.get(b));
            (a, b, va.join(vb))
        };
        match test {
            Test::Always => (true, View::default()),
            Test::Flags(cond) => {
                let (flags, view) = state.registers[usize::from(FLAGS)];
                (holds(cond, flags), view)
            }
            Test::Zero(reg) => {
                let (v, view) = state.get(Operand::Reg(reg));
                (v == 0, view)
            }
            Test::NotZero(reg) => {
                let (v, view) = state.get(Operand::Reg(reg));
                (v != 0, view)
            }
            Test::BitClear(reg, bit) => {
                let (v, view) = state.get(Operand::Reg(reg));
                (v >> bit & 1 == 0, view)
            }
            Test::BitSet(reg, bit) => {
                let (v, view) = state.get(Operand::Reg(reg));
                (v >> bit & 1 == 1, view)
            }
            Test::Equal(a, b) => {
                let (a, b, view) = two(a, b);
                (a == b, view)
            }
            Test::NotEqual(a, b) => {
                let (a, b, view) = two(a, b);
                (a != b, view)
            }
            Test::Less(a, b) => {
                let (a, b, view) = two(a, b);
                ((a as i64) < b as i64, view)
            }
            Test::GreaterEqual(a, b) => {
                let (a, b, view) = two(a, b);
                (a as i64 >= b as i64, view)
            }
            Test::LessUnsigned(a, b) => {
                let (a, b, view) = two(a, b);
                (a < b, view)
            }
            Test::GreaterEqualUnsigned(a, b) => {
                let (a, b, view) = two(a, b);
                (a >= b, view)
            }
        }
    }

    /// The virtual address an access names, and when it is known.
    pub(super) fn target(state: &State, address: &Address) -> (u64, View) {
        let (mut value, mut view) = state.get(address.base);
        if let Some((reg, extend)) = address.index {
            let (index, known) = state.registers[usize::from(reg)];
            value = value.wrapping_add(extend.apply(index));
            view.raise(known);
        }
        (value.wrapping_add_signed(address.offset), view)
    }
}

pub(super) fn apply(op: Op, a: u64, b: u64, width: Width) -> u64 {
    let signed = |v: u64| match width {
        Width::Byte => i64::from(v as i8),
        Width::Half => i64::from(v as i16),
        Width::Word => i64::from(v as i32),
        Width::Double => v as i64,
    };
    let bits = width.bytes() as u32 * 8;
    match op {
        Op::Add => a.wrapping_add(b),
        Op::Sub => a.wrapping_sub(b),
        Op::And => a & b,
        Op::Or => a | b,
        Op::Xor => a ^ b,
        Op::Clear => a & !b,
        Op::ShiftLeft => a.wrapping_shl(b as u32 % bits),
        Op::ShiftRight => a.wrapping_shr(b as u32 % bits),
        Op::ShiftRightSigned => (signed(a) >> (b as u32 % bits)) as u64,
        Op::Swap => b,
        Op::MaxSigned => signed(a).max(signed(b)) as u64,
        Op::MinSigned => signed(a).min(signed(b)) as u64,
        Op::MaxUnsigned => a.max(b),
        Op::MinUnsigned => a.min(b),
        Op::Mul => a.wrapping_mul(b),
        Op::Extract => {
            a.checked_shr((b >> 8) as u32).unwrap_or(0)
                & (1u64.checked_shl(b as u32 & 0xff).unwrap_or(0).wrapping_sub(1))
        }
        Op::LessSigned => u64::from(signed(a) < signed(b)),
        Op::LessUnsigned => u64::from(a < b),
    }
}

/// Arm's N, Z, C, V in bits 3 to 0.
fn condition_flags(op: Op, a: u64, b: u64, value: u64, width: Width) -> u64 {
    let top = width.bytes() * 8 - 1;
    let (n, z) = (value >> top & 1, u64::from(value == 0));
    let (c, v) = match op {
        Op::Sub => (u64::from(a >= b), ((a ^ b) & (a ^ value)) >> top & 1),
        Op::Add => (u64::from(value < a), (!(a ^ b) & (a ^ value)) >> top & 1),
        _ => (0, 0),
    };
    n << 3 | z << 2 | c << 1 | v
}

/// Whether an Arm condition, by its number, holds.
fn holds(condition: u8, flags: u64) -> bool {
    let (n, z, c, v) = (flags >> 3 & 1 == 1, flags >> 2 & 1 == 1, flags >> 1 & 1 == 1, flags & 1 == 1);
    let result = match condition >> 1 {
        0 => z,
        1 => c,
        2 => n,
        3 => v,
        4 => c && !z,
        5 => n == v,
        6 => n == v && !z,
        _ => return true,
    };
    result != (condition & 1 == 1)
}

/// What acquire and release flags of an atomic mean for its two halves.
pub(super) fn strengths(acquire: bool, release: bool) -> (Strength, Strength) {
    let strength = |on| if on { Strength::Strong } else { Strength::Plain };
    (strength(acquire), strength(release))
}
