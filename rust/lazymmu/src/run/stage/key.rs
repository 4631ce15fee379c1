//! What tells two points of a run apart: the machine, and what each thread has seen of it.
//!
//! A walker that is suspended has locals, which nobody can look at. They are a function of what it was called with and of
//! what it has read and done since; so this history stands for them. It begins anew with each operation.
//!
//! Which frame a table gets depends on who asks first, and nothing else does. So tables made here are known by who made
//! them, and two orders that differ in nothing but frame numbers are one.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Stage, Status};
use crate::backend::{Backend, Naming};
use crate::descriptor::AnyFormat;
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::kernel::{Kernel, Translation};
use crate::machine::{INIT_MM, Machine, MmId};
use crate::run::full::Full;
use crate::scenario::Preemption;

/// A digest of 128 bits, of words in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct History {
    low: u64,
    high: u64,
}

const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128) * (b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

impl History {
    #[inline]
    pub(super) fn word(&mut self, word: u64) {
        self.low = fold(self.low ^ word ^ 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db);
        self.high = fold(self.high.rotate_left(29) ^ word ^ 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3);
    }

    pub(crate) fn words(&mut self, words: [u64; 2]) {
        words.into_iter().for_each(|word| self.word(word));
    }

    pub(super) fn event(&mut self, event: &Event) {
        bytemuck::cast_slice::<Event, u64>(std::slice::from_ref(event)).iter().for_each(|word| self.word(*word));
    }

    pub(crate) const fn parts(self) -> [u64; 2] {
        [self.low, self.high]
    }

    /// For sets: the order of what is added makes no difference.
    fn add(&mut self, other: History) {
        self.low = self.low.wrapping_add(other.low);
        self.high = self.high.wrapping_add(other.high);
    }

    pub(crate) fn of(value: impl Hash) -> History {
        let mut h = History::default();
        value.hash(&mut h);
        h
    }
}

impl Hasher for History {
    fn finish(&self) -> u64 {
        self.low
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 59);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.word(word);
    }
}

/// What the tables are called that threads made.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    format: Arc<dyn AnyFormat>,
    rename: bool,
    page: u64,
    by_frame: FxHashMap<u64, u64>,
    /// Tables made, by thread.
    made: Vec<u64>,
    /// Frames of tables that changed.
    touched: BTreeSet<u64>,
}

/// No physical address has this bit.
const NAME: u64 = 1 << 63;

impl Names {
    pub(super) fn new(format: Arc<dyn AnyFormat>, rename: bool, page: u64) -> Names {
        Names { format, rename, page, by_frame: FxHashMap::default(), made: Vec::new(), touched: BTreeSet::new() }
    }

    pub(super) fn note(&mut self, event: &Event, thread: usize) {
        let frame = event.addr & !(self.page - 1);
        match event.kind() {
            Some(Kind::ALLOC | Kind::MM) => {
                self.touched.insert(frame);
                if self.made.len() <= thread {
                    self.made.resize(thread + 1, 0);
                }
                self.made[thread] += 1;
                if self.rename {
                    self.by_frame.insert(frame, NAME | (thread as u64) << 48 | self.made[thread] << 24);
                }
            }
            Some(Kind::STORE) => {
                self.touched.insert(frame);
            }
            _ => {}
        }
    }

    /// The name of a frame, or its address.
    fn frame(&self, pa: u64) -> u64 {
        self.by_frame.get(&pa).copied().unwrap_or(pa)
    }

    fn address(&self, pa: u64) -> u64 {
        let offset = pa & (self.page - 1);
        self.frame(pa & !(self.page - 1)) | offset
    }

    /// An entry's word with the name of the table that it points to.
    pub(super) fn word(&self, level: Level, word: u64) -> [u64; 2] {
        if word != 0 {
            let pa = self.format.address(level, word);
            if let Some(name) = self.by_frame.get(&pa) {
                return [word ^ pa, *name];
            }
        }
        [word, 0]
    }

    /// An event with names instead of frames.
    pub(super) fn renamed(&self, event: &Event) -> Event {
        let mut event = *event;
        event.addr = self.address(event.addr);
        if let (Some(Kind::STORE | Kind::QUEUE | Kind::STALE_READ | Kind::SYNC_ONE), Some(level)) =
            (event.kind(), event.level())
        {
            let fuse = |[word, name]: [u64; 2]| if name == 0 { word } else { fold(word ^ 0x6c62_272e_07bb_0142, name) };
            event.old = fuse(self.word(level, event.old));
            event.new = fuse(self.word(level, event.new));
        }
        event
    }

    fn tables(&self, machine: &Machine) -> History {
        let mut all = History::default();
        for frame in &self.touched {
            let Some(id) = machine.memory.at(*frame) else { continue };
            let level = machine.memory.level(id);
            let mut h = History::default();
            h.words([self.frame(*frame), u64::from(level.number())]);
            for (index, word) in machine.memory.words(id).iter().enumerate() {
                let word = word.load(std::sync::atomic::Ordering::Relaxed);
                if word != 0 {
                    h.word(index as u64);
                    h.words(self.word(level, word));
                }
            }
            all.add(h);
        }
        all
    }
}

impl Naming for Names {
    fn frame(&self, pa: u64) -> u64 {
        Names::frame(self, pa)
    }

    fn word(&self, word: u64) -> [u64; 2] {
        Names::word(self, Level::Pmd, word)
    }
}

/// The state of a run at a point where it is halted.
pub(super) fn state<B: Backend>(kernel: &Kernel<B, Full>, stage: &Stage) -> [u64; 2] {
    let mut h = History::default();
    let plan = &stage.plan;
    let kinds = plan.preemption == Preemption::Voluntary || plan.interrupts.iter().any(|i| i.at.kind.is_some());
    for actor in &stage.actors {
        let (status, lock) = match actor.status {
            Status::New => (0, 0),
            Status::Ready => (1, 0),
            Status::Waiting(lock) => (2, stage.names.address(lock)),
            Status::Done => (3, 0),
        };
        let place = u64::from(actor.cpu.0) << 48 | u64::from(actor.task.0) << 32 | u64::from(actor.op);
        let last = if kinds { u64::from(actor.last) } else { 0 };
        for word in [status, lock, place, actor.allocs, last, actor.seen.len() as u64, u64::from(actor.switching)] {
            h.word(word);
        }
        actor.seen.iter().for_each(|seen| h.words(seen.parts()));
    }
    stage.used.hash(&mut h);
    stage.migrated.hash(&mut h);
    for (lock, owner) in &stage.locks {
        h.words([stage.names.address(*lock), *owner as u64]);
    }
    stage.results.hash(&mut h);
    h.words(injected(kernel).parts());
    let machine = &kernel.machine;
    machine.cpus.hash(&mut h);
    for task in &machine.tasks {
        let mut task = task.clone();
        task.kmaps.iter_mut().for_each(|slot| slot.page = stage.names.address(slot.page));
        task.hash(&mut h);
    }
    machine.mms.len().hash(&mut h);
    machine.areas.hash(&mut h);
    machine.pgd_list.hash(&mut h);
    machine.ptdump.hash(&mut h);
    machine.folios.digest(&mut h, &|pa| stage.names.frame(pa));
    machine.data.digest(&mut h);
    machine.frames.digest(&mut h, &|pa| stage.names.frame(pa));
    h.words(stage.names.tables(machine).parts());
    kernel.watch.digest(&mut h);
    kernel.backend.digest(&mut h, &stage.names);
    h.parts()
}

fn injected<B: Backend>(kernel: &Kernel<B, Full>) -> History {
    let mut all = History::default();
    for i in &kernel.watch.injected {
        all.add(History::of((i.op, i.injection, i.step, i.result)));
    }
    all
}

/// A leaf that a walk finds: address space, address, level, physical address, word. No physical address: a mapping of
/// init_mm that the root of this address space does not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leaf {
    pub mm: u16,
    pub va: u64,
    pub level: u8,
    pub pa: Option<u64>,
    pub word: u64,
}

/// Every mapping of a machine. Those of a process are listed where they are not init_mm's.
pub(crate) fn leaves<B: Backend>(kernel: &Kernel<B, Full>) -> Vec<Leaf> {
    let mut found = Vec::new();
    collect(kernel, INIT_MM, &mut found);
    let mut all = found.clone();
    for n in 1..kernel.machine.mms.len() {
        let mm = MmId(n as u16);
        for leaf in &found {
            if B::root_for(kernel, mm, leaf.va) == Some(mm)
                && !matches!(kernel.translate(mm, leaf.va), Translation::Leaf { .. })
            {
                all.push(Leaf { mm: mm.0, pa: None, word: 0, ..*leaf });
            }
        }
        let mut own = Vec::new();
        collect(kernel, mm, &mut own);
        own.retain(|leaf| found.binary_search_by_key(&leaf.va, |l| l.va).map_or(true, |at| found[at].pa != leaf.pa));
        all.append(&mut own);
    }
    all.sort_unstable();
    all
}

fn collect<B: Backend>(kernel: &Kernel<B, Full>, mm: MmId, out: &mut Vec<Leaf>) {
    let mut open = vec![(kernel.machine.root(mm), 0u64)];
    let (memory, format, geometry) = (&kernel.machine.memory, kernel.format(), &kernel.machine.geometry);
    while let Some((id, base)) = open.pop() {
        let level = memory.level(id);
        for (index, word) in memory.words(id).iter().enumerate() {
            let word = word.load(std::sync::atomic::Ordering::Relaxed);
            if word == 0 || !crate::descriptor::Format::walkable(&format, level, word) {
                continue;
            }
            let va = base.wrapping_add(index as u64 * geometry.size(level));
            let leaf = level == Level::Pte || crate::descriptor::Format::leaf(&format, level, word);
            let known = geometry.canonical(va);
            // Where the half's top bits are no sign, an address is told by whose root translates it.
            let signed = geometry.canonical(geometry.layout.kernel_start) == geometry.layout.kernel_start;
            let here = signed && B::root_for(kernel, mm, known) == Some(mm);
            let known = if here { known } else { kernel_half(kernel, mm, va) };
            if leaf {
                let pa = Some(B::leaf_pa(kernel, level, word));
                out.push(Leaf { mm: mm.0, va: known, level: level.number(), pa, word });
            } else if let Some(below) = memory.at(B::table_pa(kernel, level, word)) {
                open.push((below, va));
            }
        }
    }
    out.sort_unstable();
}

/// The address in the half that this address space's root translates, where each half has a root.
fn kernel_half<B: Backend>(kernel: &Kernel<B, Full>, mm: MmId, va: u64) -> u64 {
    if mm == INIT_MM { va | kernel.geometry().layout.kernel_start } else { va }
}

/// What came of a run: results, findings, mappings.
pub(crate) fn outcome<B: Backend>(kernel: &Kernel<B, Full>, stage: &Stage) -> [u64; 2] {
    let mut h = History::default();
    h.word(u64::from(stage.end == Some(super::End::Deadlock)));
    stage.results.hash(&mut h);
    h.words(injected(kernel).parts());
    leaves(kernel).hash(&mut h);
    kernel.machine.memory.len().hash(&mut h);
    h.words(kernel.watch.verdicts().parts());
    h.parts()
}
