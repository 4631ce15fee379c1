//! Callbacks of `apply_to_page_range`.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use super::apply::Application;
use crate::backend::Backend;
use crate::descriptor::{Format, Prot};
use crate::event::codes::Store;
use crate::geometry::Level;
use crate::kernel::{Entry, Hook, Kernel, Watch};
use crate::memory::Table;
use crate::scheme::Hooks;
use crate::stop::{Run, errno};

/// What a callback does with each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PteFnKind {
    /// Nothing.
    Count,
    /// `set_pte_at` of consecutive frames from `pa`.
    Set,
    /// `pte_clear`.
    Clear,
    /// `set_pte_at` of the entry without write permission, if it is present.
    Wrprotect,
    /// `ptep_get_and_clear`.
    GetAndClear,
    /// As `set`, with lazy mode paused around it (KASAN's pattern).
    PauseSet,
    /// As `set`, in a nested section of its own.
    NestedSet,
    /// `ptep_try_set`.
    TrySet,
    /// `set_pte_at` of the entry with `set` and `clear` applied to its bits.
    Protect,
    /// Reads the entry back after setting it, as code that trusts its own store does.
    SetReadBack,
    /// The user's own function.
    User,
}

impl PteFnKind {
    /// Whether it maps frames from `pa` on.
    #[must_use]
    pub const fn maps(self) -> bool {
        matches!(
            self,
            PteFnKind::Set | PteFnKind::PauseSet | PteFnKind::NestedSet | PteFnKind::TrySet | PteFnKind::SetReadBack
        )
    }
}

/// A callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PteFn {
    pub kind: PteFnKind,
    /// First frame for those that set one.
    #[serde(default)]
    pub pa: u64,
    #[serde(default)]
    pub prot: Prot,
    #[serde(default)]
    pub set: u64,
    #[serde(default)]
    pub clear: u64,
    /// The call, counted from 1, that does its work and then fails; 0: none.
    #[serde(default)]
    pub fail_at: u64,
    /// What it then returns; 0: -ENOSPC.
    #[serde(default)]
    pub error: i64,
}

impl PteFn {
    const fn failure(&self) -> i64 {
        if self.error == 0 { errno::ENOSPC } else { self.error }
    }

    #[must_use]
    pub const fn of(kind: PteFnKind) -> PteFn {
        PteFn { kind, pa: 0, prot: 0, set: 0, clear: 0, fail_at: 0, error: 0 }
    }
}

impl<B: Backend, W: Watch> Kernel<B, W> {
    /// Calls back for the entries of a leaf table, until one call fails. One loop for each kind of callback.
    pub(super) fn call_back_over(
        &mut self,
        table: &Table,
        start: u64,
        end: u64,
        callback: &PteFn,
        app: &mut Application<'_>,
    ) -> Run<i64> {
        let format = self.format();
        let (pa, prot, first) = (callback.pa, callback.prot, app.start);
        // Frames follow each other call by call: an entry that is passed over takes none.
        let called = app.calls * self.geometry().page_size();
        let skipped = Cell::new(start.wrapping_sub(first).wrapping_sub(called));
        let word = |entry: &Entry<'_>| {
            format.pte(pa.wrapping_add(entry.va.wrapping_sub(first).wrapping_sub(skipped.get())), prot)
        };
        let (keep, add) = (!callback.clear, callback.set);
        let range = (table, start, end, &skipped);
        match callback.kind {
            PteFnKind::Count => self.over(range, callback, app, |_, _, _| Ok(0)),
            PteFnKind::Set => self.over(range, callback, app, |k, e, _| k.set_pte(e, word(&e), Store::Set).map(|()| 0)),
            PteFnKind::Clear => self.over(range, callback, app, |k, e, _| k.pte_clear(e).map(|()| 0)),
            PteFnKind::Wrprotect => self.over(range, callback, app, |k, e, seen| {
                let old = k.read_again(e, seen)?;
                if format.present(Level::Pte, old) {
                    k.set_pte(e, format.wrprotect(old), Store::Protect)?;
                }
                Ok(0)
            }),
            PteFnKind::GetAndClear => self.over(range, callback, app, |k, e, _| k.ptep_get_and_clear(e).map(|_| 0)),
            PteFnKind::PauseSet => self.over(range, callback, app, |k, e, _| {
                k.lazy_pause()?;
                k.set_pte(e, word(&e), Store::Set)?;
                k.lazy_resume().map(|()| 0)
            }),
            PteFnKind::NestedSet => self.over(range, callback, app, |k, e, _| {
                k.lazy_enable()?;
                k.set_pte(e, word(&e), Store::Set)?;
                k.lazy_disable().map(|()| 0)
            }),
            PteFnKind::TrySet => self.over(range, callback, app, |k, e, _| {
                Ok(if B::ptep_try_set(k, e, word(&e))? { 0 } else { errno::EBUSY })
            }),
            PteFnKind::Protect => self.over(range, callback, app, |k, e, seen| {
                let old = k.read_again(e, seen)?;
                k.set_pte(e, (old & keep) | add, Store::Protect).map(|()| 0)
            }),
            PteFnKind::SetReadBack => self.over(range, callback, app, |k, e, _| {
                k.set_pte(e, word(&e), Store::Set)?;
                k.read(e).map(|_| 0)
            }),
            PteFnKind::User => self.over(range, callback, app, |k, e, _| {
                if W::HOOKED && k.overridden(Hook::PteFn) { k.call_pte_fn(e) } else { Ok(0) }
            }),
        }
    }

    /// The callback's own read of an entry that the loop has just `seen`: the same word, unless somebody watches reads.
    #[inline(always)]
    fn read_again(&mut self, entry: Entry<'_>, seen: Option<u64>) -> Run<u64> {
        match seen {
            Some(word) if !W::HOOKED => Ok(word),
            _ => self.read(entry),
        }
    }

    /// `call` is also given the word that the loop has seen, where it has looked and nobody watches.
    #[inline(never)]
    fn over(
        &mut self,
        (table, start, end, skipped): (&Table, u64, u64, &Cell<u64>),
        callback: &PteFn,
        app: &mut Application<'_>,
        mut call: impl FnMut(&mut Self, Entry<'_>, Option<u64>) -> Run<i64>,
    ) -> Run<i64> {
        let page = self.geometry().page_size();
        let (create, mm, table) = (app.create, app.mm, table.view());
        let (bits, empty) = (self.format().none_bits(Level::Pte), self.format().empty(Level::Pte));
        // Calls up to the one that fails; where none does, this wraps and does not come back to 0.
        let planned = callback.fail_at.wrapping_sub(app.calls);
        let first = self.geometry().index(Level::Pte, start);
        let count = (end.wrapping_sub(start) / page) as usize;
        if !W::WATCHES && planned.wrapping_sub(1) >= count as u64 {
            // The hottest of these loops: no call is to fail, so that nothing is counted call by call.
            let before = skipped.get();
            for (n, entry) in Entry::run(table, first, count, start, page, mm).enumerate() {
                let seen = if create { None } else { Some(self.read(entry)?) };
                if seen.is_some_and(|word| word & bits == 0) {
                    skipped.set(skipped.get() + page);
                    continue;
                }
                let ret = call(self, entry, seen)?;
                if ret != 0 {
                    app.calls += n as u64 + 1 - (skipped.get() - before) / page;
                    return Ok(ret);
                }
            }
            app.calls += count as u64 - (skipped.get() - before) / page;
            return Ok(0);
        }
        let (mut left, mut ret) = (planned, 0);
        for entry in Entry::run(table, first, count, start, page, mm) {
            if create || (self.read(entry)? ^ empty) & bits != 0 {
                left = left.wrapping_sub(1);
                ret = call(self, entry, None)?;
                if left == 0 && ret == 0 {
                    ret = callback.failure();
                }
                if ret != 0 {
                    break;
                }
            } else {
                skipped.set(skipped.get() + page);
            }
        }
        app.calls += planned.wrapping_sub(left);
        Ok(ret)
    }
}
