//! Which translations an access may use: a set derived from the log.
//!
//! An entry that may be cached can be used however old it is, unless an invalidation that reaches this CPU removed it;
//! an entry that may not be cached is read from memory as it is at the time of the walk. Fill, eviction, speculative
//! walks and partly cached walks are all in the choice made here.

use super::cpu::Ordering;
use super::effect::{Cpu, Invalidation, Log, Version};
use super::entry::{Entry, Kind};
use super::profile::{Architecture, Ets, Profile};
use super::view::{Time, View};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    Translation,
    AccessFlag,
    Permission,
}

/// What the CPU's registers say about translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Regime {
    /// Of the first table.
    pub root: u64,
    /// Of that table: 0 for four levels, 3 for one.
    pub level: u8,
    pub asid: u16,
    /// When the root became this.
    pub view: View,
    /// The walker sets the access flag.
    pub hardware_access: bool,
    /// The walker sets the dirty state.
    pub hardware_dirty: bool,
    /// Unprivileged.
    pub user: bool,
}

/// One access to be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub address: u64,
    /// When the address is known.
    pub view: View,
    /// What the access itself waits for.
    pub ordered: View,
    pub write: bool,
    /// The access may set the dirty state (every write; a failing compare may leave it out).
    pub dirties: bool,
}

/// An update the walker makes for the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    pub cell: u64,
    pub value: u64,
    /// The version it replaces; nothing may come between.
    pub replaces: Time,
    pub until: Time,
}

/// One entry a walk read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub level: u8,
    pub cell: u64,
    pub version: Version,
}

/// One way to translate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    pub steps: Vec<Step>,
    pub result: Result<u64, FaultKind>,
    pub view: View,
    /// The access has to be over before this: another CPU's invalidation has completed then.
    pub limit: Time,
    pub update: Option<Update>,
    /// An invalid entry that newer memory has replaced (RISC-V without Svvptc).
    pub stale_invalid: Option<(u64, Time)>,
    /// By a global entry, found under every identifier.
    pub global: bool,
}

struct Search<'a, 'b> {
    log: &'a Log<'b>,
    profile: &'a Profile,
    cpu: &'a Ordering,
    regime: &'a Regime,
    request: &'a Request,
    page: u64,
    steps: Vec<Step>,
    /// Entries seen so far all allow: write, user.
    allows: (bool, bool),
    /// At which times the path so far stopped being usable on this CPU.
    limit: Time,
    found: Vec<Walk>,
    touched: &'a mut Vec<u64>,
}

/// Whether an invalidation reaches an entry at `level` of the path to `page`.
fn reaches(invalidation: &Invalidation, cpu: Cpu, page: u64, level: u8, regime: &Regime, entry: &Entry) -> bool {
    let scope = &invalidation.scope;
    if invalidation.reaches.is_some_and(|c| c != cpu) {
        return false;
    }
    let table = entry.kind == Kind::Table;
    let shift = 9 * u32::from(3 - level.min(3));
    if !(table && scope.all_tables) && scope.page.is_some_and(|p| p >> shift != page >> shift) {
        return false;
    }
    if table && scope.last_level {
        return false;
    }
    let global = entry.kind == Kind::Leaf && entry.global;
    match scope.asid {
        None => scope.global || !global,
        Some(asid) if global => scope.global || (scope.page.is_some() && asid == regime.asid),
        Some(asid) => asid == regime.asid,
    }
}

impl Search<'_, '_> {
    fn index(&self, level: u8) -> u64 {
        (self.page >> (9 * u32::from(3 - level))) & 0x1ff
    }

    /// The earliest end that invalidations by others set to the use of a version replaced at `until`, or nothing where
    /// an own one has removed it. `walk` is when it was read.
    fn usable(&self, until: Time, level: u8, entry: &Entry, walk: View) -> Option<Time> {
        let mut limit = Time::MAX;
        if until == Time::MAX {
            return Some(limit);
        }
        for own in &self.cpu.own {
            if own.invalidation.since < until
                || !reaches(&own.invalidation, self.cpu.id, self.page, level, self.regime, entry)
            {
                continue;
            }
            let at_once = self.profile.ets != Ets::None || self.profile.architecture == Architecture::Rvwmo;
            let felt = own.felt || (own.completed.is_some() && at_once);
            let late = own.completed.is_some_and(|at| walk.order > at);
            if felt || late {
                return None;
            }
        }
        for (time, cpu, invalidations) in self.log.completions() {
            if cpu == self.cpu.id {
                continue;
            }
            for invalidation in invalidations {
                if invalidation.since >= until
                    && reaches(invalidation, self.cpu.id, self.page, level, self.regime, entry)
                {
                    limit = limit.min(time);
                }
            }
        }
        (walk.order < limit).then_some(limit)
    }

    fn fault(&mut self, kind: FaultKind, view: View, limit: Time, stale_invalid: Option<(u64, Time)>) {
        self.found.push(Walk {
            steps: self.steps.clone(),
            result: Err(kind),
            view,
            limit: self.limit.min(limit),
            update: None,
            stale_invalid,
            global: false,
        });
    }

    /// A version that no TLB holds and that faults: read from memory, at a time when it is there.
    fn uncached(&mut self, kind: FaultKind, version: &Version, level: u8, entry: &Entry, path: View) {
        let mut view = self.cpu.before_walk(self.profile, self.request, true, true).join(path);
        view.raise(View::at(version.from));
        let cell = self.steps.last().map_or(0, |s| s.cell);
        // Linux maps a page with a plain store and uses it at once (kmap_local): a walk sees its own CPU's stores.
        if self.profile.architecture == Architecture::X86Tso && version.until <= self.cpu.coherence(cell) {
            return;
        }
        let stale = self.profile.architecture == Architecture::Rvwmo && view.order >= version.until;
        if view.order >= version.until && !stale {
            return;
        }
        if let Some(limit) = self.usable(version.until, level, entry, view) {
            let replaced = self.profile.architecture == Architecture::Rvwmo && version.until != Time::MAX;
            self.fault(kind, view, limit, replaced.then_some((cell, version.from)));
        }
    }

    fn leaf(&mut self, version: &Version, level: u8, entry: &Entry, path: View, cell: u64) {
        let format = self.profile.format();
        let regime = self.regime;
        let managed = regime.hardware_access || regime.hardware_dirty;
        if !entry.accessed && !managed {
            self.uncached(FaultKind::AccessFlag, version, level, entry, path);
            return;
        }
        let dirties = regime.hardware_dirty && entry.clean;
        let writable = self.allows.0 && (entry.writable || dirties);
        if (self.request.write && !writable) || (regime.user && !(self.allows.1 && entry.user)) {
            let mut view = self.cpu.before_walk(self.profile, self.request, false, true).join(path);
            view.raise(View::at(version.from));
            if let Some(limit) = self.usable(version.until, level, entry, view) {
                self.fault(FaultKind::Permission, view, limit, None);
            }
            return;
        }
        let mut view = self.cpu.before_walk(self.profile, self.request, false, false).join(path);
        view.raise(View::at(version.from));
        let Some(limit) = self.usable(version.until, level, entry, view) else { return };
        let wants_dirty = regime.hardware_dirty && self.request.write && self.request.dirties;
        let update = if wants_dirty && (!entry.accessed || !entry.writable) {
            Some(format.set_dirty(version.value))
        } else if managed && !entry.accessed {
            Some(format.set_accessed(version.value))
        } else {
            None
        };
        let size = 1u64 << (12 + 9 * u32::from(3 - level));
        self.found.push(Walk {
            steps: self.steps.clone(),
            result: Ok(entry.address | (self.request.address & (size - 1))),
            view,
            limit: self.limit.min(limit),
            update: update.map(|value| Update { cell, value, replaces: version.from, until: version.until }),
            stale_invalid: None,
            global: entry.global,
        });
    }

    fn descend(&mut self, table: u64, level: u8, path: View) {
        let cell = table + 8 * self.index(level);
        if !self.touched.contains(&cell) {
            self.touched.push(cell);
        }
        for version in self.log.versions(cell) {
            let entry = self.profile.format().decode(level, version.value);
            self.steps.push(Step { level, cell, version });
            match entry.kind {
                Kind::Invalid => self.uncached(FaultKind::Translation, &version, level, &entry, path),
                Kind::Leaf => self.leaf(&version, level, &entry, path, cell),
                Kind::Table => {
                    let view = path.join(View::at(version.from));
                    let read = self.cpu.before_walk(self.profile, self.request, false, false).join(view);
                    if let Some(limit) = self.usable(version.until, level, &entry, read) {
                        let (allows, outer) = (self.allows, self.limit);
                        self.limit = outer.min(limit);
                        if self.profile.architecture == Architecture::X86Tso {
                            self.allows = (allows.0 && entry.writable, allows.1 && entry.user);
                        }
                        self.descend(entry.address, level + 1, view);
                        (self.allows, self.limit) = (allows, outer);
                    }
                }
            }
            self.steps.pop();
        }
    }
}

/// Every way the CPU may translate this access, in a fixed order. `touched` gets the entries the answer depends on.
pub fn walks(
    log: &Log<'_>,
    profile: &Profile,
    cpu: &Ordering,
    regime: &Regime,
    request: &Request,
    touched: &mut Vec<u64>,
) -> Vec<Walk> {
    let mut search = Search {
        log,
        profile,
        cpu,
        regime,
        request,
        page: (request.address & 0x0000_ffff_ffff_ffff) >> 12,
        steps: Vec::with_capacity(4),
        allows: (true, true),
        limit: Time::MAX,
        found: Vec::with_capacity(2),
        touched,
    };
    search.descend(regime.root, regime.level, regime.view);
    search.found
}

/// Drops a way to translate where another does the same, is ordered after less, and may be used longer: every rule is a
/// lower bound on time or an end of use, so it can do nothing that the other cannot.
#[must_use]
pub fn without_dominated(found: Vec<Walk>) -> Vec<Walk> {
    if found.len() < 2 {
        return found;
    }
    let better = |a: &Walk, b: &Walk| {
        a.result == b.result
            && a.update.is_none()
            && b.update.is_none()
            && a.view.order <= b.view.order
            && a.view.pick <= b.view.pick
            && a.limit >= b.limit
            && a.stale_invalid.is_none()
            && a.global == b.global
            && a.steps.len() == b.steps.len()
            && a.steps.iter().zip(&b.steps).all(|(x, y)| x.cell == y.cell)
    };
    let mut kept: Vec<Walk> = Vec::with_capacity(found.len());
    for walk in found {
        if !kept.iter().any(|k| better(k, &walk)) {
            kept.retain(|k| !better(&walk, k));
            kept.push(walk);
        }
    }
    kept
}
