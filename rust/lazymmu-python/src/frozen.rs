//! Many words at once, and what changed between two moments: for whoever follows a recorded kernel.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use lazymmu::machine::INIT_MM;
use lazymmu::memory::{Memory, TableId};
use lazymmu::run::AnyRunner;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

/// Levels, tables, indices, old and new words.
pub(crate) type Columns<'py> = (
    Bound<'py, PyArray1<u8>>,
    Bound<'py, PyArray1<u64>>,
    Bound<'py, PyArray1<u64>>,
    Bound<'py, PyArray1<u64>>,
    Bound<'py, PyArray1<u64>>,
);

/// The tables of a machine at one moment; words are shared until they change.
#[pyclass(module = "lazymmu._native", frozen)]
#[derive(Debug)]
pub(crate) struct Frozen {
    memory: Memory,
    /// Tables of init_mm by physical address; empty: all are.
    own: HashSet<u64>,
}

#[derive(Default)]
struct Rows {
    level: Vec<u8>,
    table: Vec<u64>,
    index: Vec<u64>,
    old: Vec<u64>,
    new: Vec<u64>,
}

/// Tables that a walk of init_mm reaches; empty where there is no other address space.
fn own_tables(runner: &dyn AnyRunner) -> HashSet<u64> {
    let machine = runner.machine();
    if machine.mms.len() < 2 {
        return HashSet::new();
    }
    let reachable: HashSet<TableId> = runner.reachable(INIT_MM).into_iter().collect();
    machine.memory.tables().into_iter().filter(|(_, id)| reachable.contains(id)).map(|(pa, _)| pa).collect()
}

impl Frozen {
    pub(crate) fn new(runner: &mut dyn AnyRunner) -> Frozen {
        let own = own_tables(runner);
        Frozen { memory: runner.machine_mut().memory.snapshot(), own }
    }

    pub(crate) fn changes<'py>(&self, py: Python<'py>, runner: &dyn AnyRunner) -> Columns<'py> {
        let now = &runner.machine().memory;
        let own = own_tables(runner);
        let ours = |pa: u64| own.is_empty() || own.contains(&pa) || self.own.contains(&pa);
        let mut rows = Rows::default();
        // Where one of both moments has no table, its words are compared with those of a new one.
        let blank = |id: TableId, memory: &Memory| runner.format().blank(memory.level(id), true);
        for (pa, id) in self.memory.tables() {
            let later = now.at(pa).filter(|other| now.level(*other) == self.memory.level(id));
            if later.is_some_and(|other| now.shares(other, &self.memory, id)) || !ours(pa) {
                continue;
            }
            rows.compare(pa, Some((&self.memory, id)), later.map(|other| (now, other)), blank(id, &self.memory));
        }
        for (pa, id) in now.tables() {
            let before = self.memory.at(pa).filter(|other| self.memory.level(*other) == now.level(id));
            if before.is_none() && ours(pa) {
                rows.compare(pa, None, Some((now, id)), blank(id, now));
            }
        }
        (
            PyArray1::from_vec(py, rows.level),
            PyArray1::from_vec(py, rows.table),
            PyArray1::from_vec(py, rows.index),
            PyArray1::from_vec(py, rows.old),
            PyArray1::from_vec(py, rows.new),
        )
    }
}

impl Rows {
    fn compare(&mut self, pa: u64, before: Option<(&Memory, TableId)>, after: Option<(&Memory, TableId)>, blank: u64) {
        let Some((memory, id)) = before.or(after) else { return };
        let level = memory.level(id).number();
        let word = |of: Option<(&Memory, TableId)>, n: usize| {
            of.and_then(|(memory, id)| memory.words(id).get(n).map(|w| w.load(Ordering::Relaxed))).unwrap_or(blank)
        };
        for n in 0..memory.entries(id) {
            let (old, new) = (word(before, n), word(after, n));
            if old != new {
                self.level.push(level);
                self.table.push(pa);
                self.index.push(n as u64);
                self.old.push(old);
                self.new.push(new);
            }
        }
    }
}

pub(crate) fn read<'py>(
    py: Python<'py>,
    runner: &dyn AnyRunner,
    tables: &PyReadonlyArray1<'py, u64>,
    indices: &PyReadonlyArray1<'py, u64>,
) -> (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<bool>>) {
    let memory = &runner.machine().memory;
    let pairs = tables.as_array().into_iter().zip(indices.as_array()).map(|(pa, n)| {
        let words = memory.at(*pa).map(|id| memory.words(id));
        words.and_then(|words| words.get(*n as usize)).map(|word| word.load(Ordering::Relaxed))
    });
    let found: Vec<Option<u64>> = pairs.collect();
    (
        PyArray1::from_iter(py, found.iter().map(|word| word.unwrap_or(0))),
        PyArray1::from_iter(py, found.iter().map(Option::is_some)),
    )
}

pub(crate) fn write(
    runner: &mut dyn AnyRunner,
    tables: &PyReadonlyArray1<'_, u64>,
    indices: &PyReadonlyArray1<'_, u64>,
    words: &PyReadonlyArray1<'_, u64>,
) {
    let memory = &mut runner.machine_mut().memory;
    let entries = tables.as_array().into_iter().zip(indices.as_array()).zip(words.as_array());
    let mut open = None;
    for ((pa, n), word) in entries {
        if open.as_ref().is_none_or(|(at, _)| at != pa) {
            open = memory.at(*pa).map(|id| (*pa, memory.open(id)));
        }
        if let Some((at, table)) = &open
            && at == pa
            && (*n as usize) < table.len()
        {
            table.set(*n as usize, *word);
        }
    }
}
