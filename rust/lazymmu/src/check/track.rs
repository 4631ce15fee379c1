//! What an event stream says about sections, pending stores and open walks.

use std::hash::{Hash, Hasher};

use super::{Laws, Pending};
use crate::event::codes::{Site, Store};
use crate::event::{Event, Kind};
use crate::geometry::Level;
use crate::machine::INIT_MM;
use crate::modmask::ModMask;

/// A walk function that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenWalk {
    pub site: Option<Site>,
    pub task: u16,
    pub context: u8,
    pub start: u64,
    pub end: u64,
    pub mm: u16,
    /// Levels at which entries were stored.
    pub stored: ModMask,
    /// Of those, levels at which an entry that was there went away or changed.
    pub removed: ModMask,
    /// Levels stored since the last sync call.
    pub since_sync: ModMask,
    /// The hull of the ranges synced.
    pub synced: Option<(u64, u64)>,
    /// Copies made by a sync call that are still queued when it returns.
    pub sync_queued: bool,
    /// The task's lazy state when the function was called.
    section: Section,
}

/// The lazy state of a task, as its events tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Section {
    /// Enters minus leaves of the architecture.
    pub depth: i32,
    pub enable: u8,
    pub pause: u8,
    /// Inside begin/end where that postpones something.
    pub scope: bool,
}

impl Section {
    /// Whether something may be postponed now.
    #[must_use]
    pub const fn open(&self) -> bool {
        self.depth > 0 || self.scope
    }
}

/// The state that rules share.
#[derive(Clone, Debug)]
pub struct Track {
    pub laws: Laws,
    pub(super) pending: Vec<Pending>,
    /// At least the CPUs whose stores these are, as bits.
    owners: u16,
    pub(super) walks: Vec<OpenWalk>,
    sections: Vec<Section>,
    /// The last barrier completed something.
    completed: bool,
    kmaps: Vec<u64>,
    /// Addresses of kmap and fixmap slots that were ever used: their stores belong to no walk.
    pub(super) windows: Vec<u64>,
    /// Interrupts being handled, by CPU.
    irqs: Vec<i32>,
    /// Stores in each CPU's queue.
    pub(super) queued: Vec<u32>,
}

impl Track {
    pub(super) fn new(laws: Laws) -> Track {
        Track {
            laws,
            pending: Vec::new(),
            owners: 0,
            walks: Vec::new(),
            sections: Vec::new(),
            completed: false,
            kmaps: Vec::new(),
            windows: Vec::new(),
            irqs: Vec::new(),
            queued: Vec::new(),
        }
    }

    /// A run was cut short: its walks and interrupts are over.
    pub(super) fn cut_short(&mut self) {
        self.walks.clear();
        self.irqs.clear();
    }

    /// Adds everything but the indices of events to a digest; of stores that wait it makes no difference who came first.
    pub(super) fn digest(&self, mut h: &mut dyn Hasher) {
        let h = &mut h;
        let mut pending: Vec<_> = self
            .pending
            .iter()
            .map(|p| {
                let flags = [p.queued, p.kmap, p.dsb_done, p.in_irq];
                (p.cpu, p.task, p.context, p.level, p.start, p.end, flags, p.reached, p.settled)
            })
            .collect();
        pending.sort_unstable();
        pending.hash(h);
        let mut walks: Vec<_> = self.walks.iter().collect();
        walks.sort_by_key(|w| (w.task, w.context));
        walks.hash(h);
        self.sections.hash(h);
        self.kmaps.hash(h);
        let mut windows = self.windows.clone();
        windows.sort_unstable();
        windows.hash(h);
        self.irqs.hash(h);
        self.queued.hash(h);
    }

    /// Stores that something must still complete.
    #[must_use]
    pub fn pending(&self) -> &[Pending] {
        &self.pending
    }

    /// The lazy state of a task.
    #[must_use]
    pub fn section(&self, task: u16) -> Section {
        self.sections.get(usize::from(task)).copied().unwrap_or_default()
    }

    /// The lazy state that the task had when its innermost open walk was called.
    #[must_use]
    pub fn walk_section(&self, event: &Event) -> Option<Section> {
        self.walk(event).map(|w| w.section)
    }

    /// The innermost open walk of a task in a context.
    #[must_use]
    pub fn walk(&self, event: &Event) -> Option<&OpenWalk> {
        self.walks.iter().rev().find(|w| w.task == event.task && w.context == event.context)
    }

    /// Whether this walk is the outermost of its task and context.
    #[must_use]
    pub fn outermost(&self, event: &Event) -> bool {
        self.walks.iter().filter(|w| w.task == event.task && w.context == event.context).count() == 1
    }

    /// Whether this walk of init_mm is not inside another one.
    #[must_use]
    pub fn outermost_of_init_mm(&self, event: &Event) -> bool {
        let same = |w: &&OpenWalk| w.task == event.task && w.context == event.context;
        self.walks.iter().filter(same).rev().skip(1).all(|w| w.mm != INIT_MM.0)
    }

    /// Whether stores wait in the CPU's queue.
    #[must_use]
    pub fn queue_waits(&self, cpu: u8) -> bool {
        self.queued.get(usize::from(cpu)).is_some_and(|n| *n > 0)
    }

    /// Whether the address is that of a kmap slot in use.
    #[must_use]
    pub fn is_kmap(&self, va: u64) -> bool {
        let page = self.laws.geometry.page_size();
        self.kmaps.contains(&(va & !(page - 1)))
    }

    /// Whether the barrier just seen had anything to complete.
    #[must_use]
    pub const fn completed_something(&self) -> bool {
        self.completed
    }

    /// Whether the CPU handles an interrupt.
    pub(super) fn in_irq(&self, cpu: u8) -> bool {
        self.irqs.get(usize::from(cpu)).is_some_and(|depth| *depth > 0)
    }

    fn irq_depth(&mut self, cpu: u8, change: i32) {
        let cpu = usize::from(cpu);
        if self.irqs.len() <= cpu {
            self.irqs.resize(cpu + 1, 0);
        }
        self.irqs[cpu] += change;
    }

    fn section_mut(&mut self, task: u16) -> &mut Section {
        let task = usize::from(task);
        if self.sections.len() <= task {
            self.sections.resize(task + 1, Section::default());
        }
        &mut self.sections[task]
    }

    /// What an event changes before rules look at it.
    #[inline]
    pub(super) fn before(&mut self, event: &Event, index: u64) {
        // Stores are most of every stream.
        if event.kind == Kind::STORE as u8 {
            return self.stored(event, index);
        }
        let Some(kind) = event.kind() else { return };
        match kind {
            Kind::QUEUE => {
                let cpu = usize::from(event.cpu);
                if self.queued.len() <= cpu {
                    self.queued.resize(cpu + 1, 0);
                }
                self.queued[cpu] += 1;
                if self.usable(event) {
                    self.wait(event, index, true);
                }
                self.note_store(event);
            }
            Kind::BAR => self.complete(event.cpu),
            Kind::NEW_VALID_MAP => self.pending.clear(),
            Kind::TLBI if self.laws.fences => {
                self.pending.retain(|p| p.end <= event.va || p.start >= event.new);
            }
            Kind::DSB if self.laws.dsb_completes => self.complete(event.cpu),
            Kind::DSB => self.visible(event.cpu),
            Kind::ISB => self.synchronised(event.cpu),
            Kind::IRQ_IN => {
                self.synchronised(event.cpu);
                self.irq_depth(event.cpu, 1);
            }
            Kind::IRQ_OUT => self.synchronised(event.cpu),
            Kind::FLUSH => {
                self.pending.retain(|p| !(p.queued && p.cpu == event.cpu));
                if let Some(queued) = self.queued.get_mut(usize::from(event.cpu)) {
                    *queued = 0;
                }
            }
            Kind::WALK => self.walks.push(OpenWalk {
                site: Site::from_code(event.aux),
                task: event.task,
                context: event.context,
                start: event.va,
                end: event.new,
                mm: event.mm,
                stored: ModMask::NONE,
                removed: ModMask::NONE,
                since_sync: ModMask::NONE,
                synced: None,
                sync_queued: false,
                section: self.section(event.task),
            }),
            Kind::SYNC => self.sync_begins(event),
            Kind::BEGIN if self.laws.scope_batches => self.section_mut(event.task).scope = true,
            Kind::END if self.laws.scope_batches => self.section_mut(event.task).scope = false,
            Kind::ENABLE | Kind::DISABLE | Kind::PAUSE | Kind::RESUME => {
                let section = self.section_mut(event.task);
                section.enable = event.new as u8;
                section.pause = (event.new >> 8) as u8;
            }
            Kind::KMAP if event.aux == 0 => self.kmaps.push(event.va),
            _ => {}
        }
    }

    /// What an event changes after rules have looked at it.
    #[inline]
    pub(super) fn after(&mut self, event: &Event) {
        if event.kind == Kind::STORE as u8 {
            return;
        }
        let Some(kind) = event.kind() else { return };
        match kind {
            Kind::ENTER => self.section_mut(event.task).depth += 1,
            Kind::LEAVE => self.section_mut(event.task).depth -= 1,
            Kind::WALK_END => {
                let at = self.walks.iter().rposition(|w| w.task == event.task && w.context == event.context);
                if let Some(at) = at {
                    self.walks.remove(at);
                }
            }
            Kind::BUG => {
                // Interrupts end with their task.
                self.irqs.clear();
                self.walks.retain(|w| !(w.task == event.task && w.context == event.context));
            }
            Kind::IRQ_OUT => self.irq_depth(event.cpu, -1),
            Kind::KUNMAP if event.aux == 0 => self.kmaps.retain(|va| *va != event.va),
            _ => {}
        }
    }

    fn stored(&mut self, event: &Event, index: u64) {
        if self.laws.needs_barrier && self.completes_later(event) {
            self.reach(event);
            self.wait(event, index, false);
        }
        self.note_store(event);
    }

    /// A store by way of entries that other CPUs have stored.
    fn reach(&mut self, event: &Event) {
        if self.pending.is_empty() {
            self.owners = 0;
        }
        if self.owners & !(1 << (event.cpu & 15)) == 0 {
            return;
        }
        for p in &mut self.pending {
            if p.cpu != event.cpu && !p.queued && p.level > event.level && p.covers(event.va) {
                p.reached |= 1 << (event.cpu & 15);
            }
        }
    }

    /// A barrier of a CPU behind its reading of others' stores.
    fn settle_reached(&mut self, cpu: u8) {
        let bit = 1 << (cpu & 15);
        for p in self.pending.iter_mut().filter(|p| p.reached & bit != 0) {
            p.settled |= bit;
        }
    }

    /// Whether hardware may go on without seeing this store.
    fn completes_later(&self, event: &Event) -> bool {
        event.mm == INIT_MM.0 && self.usable(event)
    }

    /// Whether hardware would use what was stored.
    fn usable(&self, event: &Event) -> bool {
        let level = Level::from_number(event.level).unwrap_or(Level::Pte);
        self.laws.format.walkable(level, event.new)
    }

    /// Adds a store to what waits; neighbours make one run.
    fn wait(&mut self, event: &Event, index: u64, queued: bool) {
        let level = Level::from_number(event.level).unwrap_or(Level::Pte);
        let size = self.laws.geometry.size(level);
        let in_irq = self.in_irq(event.cpu);
        if let Some(last) = self.pending.last_mut()
            && last.extended_by(event, queued, in_irq)
        {
            last.end = event.va.wrapping_add(size);
            last.next = last.end;
            return;
        }
        self.owners |= 1 << (event.cpu & 15);
        self.pending.push(Pending {
            start: event.va,
            end: event.va.wrapping_add(size),
            level: event.level,
            cpu: event.cpu,
            task: event.task,
            event: index,
            queued,
            kmap: event.aux == Store::Kmap as u32,
            dsb_done: false,
            reached: 0,
            settled: 0,
            next: event.va.wrapping_add(size),
            context: event.context,
            in_irq,
        });
    }

    /// Whether a store is one of the walk's own, of the tables it modifies.
    pub(super) fn counts_for(walk: &OpenWalk, event: &Event, level: Level) -> bool {
        let other = matches!(
            Store::from_code(event.aux),
            Some(
                Store::Sync
                    | Store::Kmap
                    | Store::Fixmap
                    | Store::Drain
                    | Store::ClearBad
                    | Store::Hash
                    | Store::UserCopy
            )
        );
        // Tables of user address spaces are not tracked, nor is anything in the loops over them.
        let untracked = event.mm != INIT_MM.0
            && (walk.site.is_some_and(Site::user) || level == Level::Pmd && event.aux == Store::Populate as u32);
        !other && !untracked && walk.mm == event.mm
    }

    fn note_store(&mut self, event: &Event) {
        if event.aux == Store::Sync as u32 && event.kind == Kind::QUEUE as u8 {
            for walk in self.walks.iter_mut().filter(|w| w.task == event.task && w.context == event.context) {
                walk.sync_queued = true;
            }
        }
        if matches!(Store::from_code(event.aux), Some(Store::Kmap | Store::Fixmap)) && !self.windows.contains(&event.va)
        {
            self.windows.push(event.va);
        }
        if event.level == 1 && self.windows.contains(&event.va) {
            return;
        }
        let Some(level) = Level::from_number(event.level) else { return };
        let bit = ModMask::of(level);
        let gone = self.laws.format.walkable(level, event.old);
        for walk in self.walks.iter_mut().filter(|w| w.task == event.task && w.context == event.context) {
            if !Track::counts_for(walk, event, level) {
                continue;
            }
            walk.stored |= bit;
            walk.since_sync |= bit;
            if gone {
                walk.removed |= bit;
            }
        }
    }

    /// DSB ISHST; ISB on a CPU.
    fn complete(&mut self, cpu: u8) {
        self.completed = self.pending.iter().any(|p| !p.queued && p.cpu == cpu);
        self.pending.retain(|p| p.queued || p.cpu != cpu);
        self.settle_reached(cpu);
    }

    /// DSB on a CPU: walkers see its stores.
    fn visible(&mut self, cpu: u8) {
        for p in self.pending.iter_mut().filter(|p| !p.queued && p.cpu == cpu) {
            p.dsb_done = true;
        }
    }

    /// ISB, or an exception boundary: the CPU forgets old faults.
    fn synchronised(&mut self, cpu: u8) {
        self.pending.retain(|p| p.queued || p.cpu != cpu || !p.dsb_done);
    }

    fn sync_begins(&mut self, event: &Event) {
        let end = if self.laws.sync_to_end { self.laws.geometry.layout.vmalloc_end } else { event.new };
        for walk in self.walks.iter_mut().filter(|w| w.task == event.task && w.context == event.context) {
            walk.since_sync = ModMask::NONE;
            walk.sync_queued = false;
            walk.synced = hull(walk.synced, Some((event.va, end)));
        }
    }
}

fn hull(a: Option<(u64, u64)>, b: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (a, b) {
        (Some((s, e)), Some((t, f))) => Some((s.min(t), e.max(f))),
        (a, b) => a.or(b),
    }
}
