//! A machine, and what a run of a program on it leaves behind.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lazymmu::event::{Counts, Event, Log};
use lazymmu::geometry::{Geometry, Layout, Level};
use lazymmu::kernel::{Overrides, Setup, TaskSetup, Translation};
use lazymmu::machine::{LazyMmuState, MmId, TaskId};
use lazymmu::run::{self, AnyRunner, Mode, OpResult, Output, Spec};
use lazymmu::scenario::ProtSpec;
use lazymmu::{backend, geometry};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::explore::{self, RawExploration, Settings};
use crate::hooks::PyHooks;
use crate::program::Program;
use crate::{arrays, errors, lists};

/// Operations between two looks at pending signals.
const SIGNAL_EVERY: u32 = 256;

/// An injected operation: interrupted operation, injection, step, result record.
type InjectedRow = (u32, u32, u32, [u64; arrays::RESULT_WORDS]);
/// A finding: code, severity, rule, event, op, cpu, task, va, level, message, count.
type FindingRow = (&'static str, &'static str, &'static str, u64, u32, u8, u16, u64, u8, String, u64);
/// Addresses, leaf levels (0: no translation) and leaf words.
type Translations<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u64>>);

/// A table: physical address, level, words.
type TableRow<'py> = (u64, u8, Bound<'py, PyArray1<u64>>);

/// A protection as Python gives it.
#[derive(FromPyObject)]
enum Prot {
    Bits(u64),
    Name(String),
}

/// What a run leaves behind. The array of results is handed out once.
#[pyclass(module = "lazymmu._native")]
#[derive(Debug)]
pub(crate) struct RawRun {
    results: Vec<OpResult>,
    events: Log,
    limit: u64,
    output: Output,
}

#[pymethods]
impl RawRun {
    /// Five 64-bit words for each operation.
    fn take_results<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        arrays::results(py, &std::mem::take(&mut self.results))
    }

    /// Six 64-bit words for each event from one index up to another.
    #[pyo3(signature = (start=0, stop=u64::MAX))]
    fn events<'py>(&self, py: Python<'py>, start: u64, stop: u64) -> PyResult<Bound<'py, PyArray1<u64>>> {
        let stop = stop.min(self.events.len());
        let count = stop.saturating_sub(start);
        let bytes = count.saturating_mul(size_of::<Event>() as u64);
        let too_many = || {
            let limit = self.limit;
            errors::request(format!(
                "{count} events take {bytes} bytes as an array, the limit is {limit}: ask for a part of them, or run \
                 with a greater log_limit"
            ))
        };
        if bytes > self.limit {
            return Err(too_many());
        }
        let log = &self.events;
        arrays::events(py, py.detach(|| log.to_vec(start, stop)).ok_or_else(too_many)?)
    }

    /// Bytes that the log of events takes.
    #[getter]
    fn log_bytes(&self) -> u64 {
        self.events.bytes()
    }

    #[getter]
    fn injected(&self) -> Vec<InjectedRow> {
        let row = |i: &run::Injected| (i.op, i.injection, i.step, arrays::record(&i.result.ending));
        self.output.injected.iter().map(row).collect()
    }

    #[getter]
    fn missed(&self) -> Vec<u32> {
        self.output.missed.clone()
    }

    #[getter]
    fn total(&self) -> u64 {
        self.output.total
    }

    #[getter]
    fn counts(&self) -> BTreeMap<&'static str, u64> {
        Counts::entries(&self.output.counts).into_iter().collect()
    }

    #[getter]
    fn hazards(&self) -> Vec<FindingRow> {
        let row = |f: &lazymmu::check::Finding| {
            let message = f.message.clone();
            (f.code, f.severity.name(), f.rule, f.event, f.op, f.cpu, f.task, f.va, f.level, message, f.count)
        };
        self.output.findings.iter().map(row).collect()
    }
}

/// A machine of one backend, geometry and scheme.
#[pyclass(module = "lazymmu._native")]
#[derive(Debug)]
pub(crate) struct Machine {
    runner: Box<dyn AnyRunner>,
    hooks: Option<Arc<PyHooks>>,
    log_limit: u64,
}

fn known_mode(mode: &str) -> PyResult<Mode> {
    match mode {
        "quiet" => Ok(Mode::Quiet),
        "checked" => Ok(Mode::Checked),
        "logged" => Ok(Mode::Logged),
        _ => Err(errors::config(format!("unknown mode {mode:?}: expected one of quiet, checked, logged"))),
    }
}

fn known_level(level: u8) -> PyResult<Level> {
    Level::from_number(level).ok_or_else(|| errors::request(format!("level {level} does not exist: expected 1 to 5")))
}

/// The geometry's layout with some parts replaced.
fn changed_layout(geometry: &Geometry, changes: &BTreeMap<String, u64>) -> PyResult<Layout> {
    let mut layout = geometry.layout;
    for (name, value) in changes {
        let field = match name.as_str() {
            "task_size" => &mut layout.task_size,
            "kernel_start" => &mut layout.kernel_start,
            "vmalloc_start" => &mut layout.vmalloc_start,
            "vmalloc_end" => &mut layout.vmalloc_end,
            "fixaddr_top" => &mut layout.fixaddr_top,
            "table_frames" => &mut layout.table_frames,
            "highmem_frames" => &mut layout.highmem_frames,
            _ => {
                return Err(errors::config(format!(
                    "unknown layout field {name:?}: expected one of task_size, kernel_start, vmalloc_start, vmalloc_end, \
                     fixaddr_top, table_frames, highmem_frames"
                )));
            }
        };
        *field = *value;
    }
    Ok(layout)
}

fn known_geometry(backend: &str, wanted: Option<&str>) -> PyResult<&'static Geometry> {
    let info = backend::by_name(backend).map_err(errors::config)?.info;
    let name = wanted.or_else(|| info.geometries.first().copied()).unwrap_or_default();
    geometry::by_name(name).ok_or_else(|| {
        errors::config(format!(
            "unknown geometry {name:?} for {backend}: expected one of {}",
            info.geometries.join(", ")
        ))
    })
}

impl Machine {
    pub(crate) fn runner_mut(&mut self) -> &mut dyn AnyRunner {
        &mut *self.runner
    }

    fn known_mm(&self, mm: u16) -> PyResult<MmId> {
        let limit = self.runner.machine().mms.len();
        if usize::from(mm) < limit {
            return Ok(MmId(mm));
        }
        Err(errors::request(format!("mm {mm} does not exist: expected below {limit}")))
    }

    fn known_task(&self, task: u16) -> PyResult<TaskId> {
        let limit = self.runner.machine().tasks.len();
        if usize::from(task) < limit {
            return Ok(TaskId(task));
        }
        Err(errors::request(format!("task {task} does not exist: expected below {limit}")))
    }

    /// The table that holds the word at a physical address, and the word's index.
    fn word_at(&self, pa: u64) -> PyResult<(lazymmu::memory::TableId, usize)> {
        let machine = self.runner.machine();
        let geometry = &machine.geometry;
        let nowhere = || errors::request(format!("no table holds a word at {pa:#x}"));
        // A table is aligned to its size, which may be less than a page.
        Level::ALL
            .into_iter()
            .filter(|level| !geometry.folded(*level))
            .find_map(|level| {
                let bytes = u64::from(geometry.bytes(level));
                let base = pa & !(geometry.words(level) as u64 * bytes - 1);
                let id = machine.memory.at(base).filter(|id| machine.memory.level(*id) == level)?;
                (pa - base).is_multiple_of(bytes).then_some((id, ((pa - base) / bytes) as usize))
            })
            .filter(|(id, index)| *index < machine.memory.entries(*id))
            .ok_or_else(nowhere)
    }
}

#[pymethods]
impl Machine {
    #[new]
    #[pyo3(signature = (backend, scheme, geometry, options, layout, cpus, mms, tasks, mode, hooks, log_limit=None))]
    #[expect(clippy::too_many_arguments, reason = "the Python class names them")]
    fn new(
        backend: &str,
        scheme: &str,
        geometry: Option<&str>,
        options: Vec<(String, String)>,
        layout: BTreeMap<String, u64>,
        cpus: u8,
        mms: u16,
        tasks: Vec<(u16, u8)>,
        mode: &str,
        hooks: Option<(Py<PyAny>, Vec<String>)>,
        log_limit: Option<u64>,
    ) -> PyResult<Machine> {
        let mode = known_mode(mode)?;
        let base = known_geometry(backend, geometry)?;
        let layout = if layout.is_empty() { None } else { Some(changed_layout(base, &layout)?) };
        let tasks = tasks.into_iter().map(|(mm, cpu)| TaskSetup { mm, cpu }).collect();
        let spec = Spec { backend, geometry, scheme, options: &options, layout, log_limit, ..Spec::default() };
        let mut runner = run::boot(&spec, &Setup { cpus, mms, tasks }, mode).map_err(errors::config)?;
        let hooks = match hooks {
            Some((object, names)) if mode == Mode::Quiet => {
                drop(object);
                return Err(errors::config(format!("a quiet machine calls no hooks, but these are given: {names:?}")));
            }
            Some((object, names)) => Some(Arc::new(PyHooks::new(object, &names)?)),
            None => None,
        };
        runner.set_overrides(hooks.clone().map(|h| h as Arc<dyn Overrides>));
        Ok(Machine { runner, hooks, log_limit: log_limit.unwrap_or(run::LOG_LIMIT) })
    }

    /// Runs the program's operations here. Its setup is not looked at: the machine exists.
    fn run(&mut self, py: Python<'_>, program: &Bound<'_, Program>) -> PyResult<RawRun> {
        let program = program.get();
        let runner = &mut self.runner;
        let mut signal = None;
        let mut since = 0;
        let mut go_on = || {
            since += 1;
            if since < SIGNAL_EVERY {
                return true;
            }
            since = 0;
            signal = Python::attach(|py| py.check_signals()).err();
            signal.is_none()
        };
        let ran = py.detach(|| runner.perform(&program.inner, &mut go_on));
        if let Some(error) = self.hooks.as_ref().and_then(|h| h.take_error()).or(signal) {
            return Err(error);
        }
        let mut output = ran.map_err(|error| errors::run(&error))?;
        let results = std::mem::take(&mut output.results);
        let events = std::mem::take(&mut output.events);
        Ok(RawRun { results, events, limit: self.log_limit, output })
    }

    /// What hardware finds at an address: (physical address, level, leaf word), or None.
    #[pyo3(signature = (va, mm=0))]
    fn translate(&self, va: u64, mm: u16) -> PyResult<Option<(u64, u8, u64)>> {
        let mm = self.known_mm(mm)?;
        Ok(match self.runner.translate(mm, va) {
            Translation::Leaf { level, word, pa } => Some((pa, level.number(), word)),
            Translation::Fault { .. } => None,
        })
    }

    /// The same for many addresses: physical addresses, levels (0: no translation), leaf words.
    #[pyo3(signature = (vas, mm=0))]
    fn translate_many<'py>(
        &self,
        py: Python<'py>,
        vas: PyReadonlyArray1<'py, u64>,
        mm: u16,
    ) -> PyResult<Translations<'py>> {
        let mm = self.known_mm(mm)?;
        let vas = vas.as_array().to_vec();
        let found = py.detach(|| self.runner.translate_many(mm, &vas));
        Ok((PyArray1::from_vec(py, found.pa), PyArray1::from_vec(py, found.level), PyArray1::from_vec(py, found.word)))
    }

    /// Tables by physical address: (address, level, words). With `mm` only those that a walk of it reaches.
    #[pyo3(signature = (mm=None))]
    fn image<'py>(&self, py: Python<'py>, mm: Option<u16>) -> PyResult<Vec<TableRow<'py>>> {
        let memory = &self.runner.machine().memory;
        let mut tables = memory.tables();
        if let Some(mm) = mm {
            let reachable: HashSet<_> = self.runner.reachable(self.known_mm(mm)?).into_iter().collect();
            tables.retain(|(_, id)| reachable.contains(id));
        }
        let words = |id| (0..memory.entries(id)).map(|n| memory.word(id, n)).collect();
        let row = |(pa, id)| (pa, memory.level(id).number(), PyArray1::from_vec(py, words(id)));
        Ok(tables.into_iter().map(row).collect())
    }

    /// `pfn_pte`: the word that maps a frame with a protection of the format (a name, or bits).
    fn pte_word(&self, pa: u64, prot: Prot) -> PyResult<u64> {
        let prot = match prot {
            Prot::Bits(bits) => ProtSpec::Bits(bits),
            Prot::Name(name) => ProtSpec::Name(name),
        };
        self.runner.pte_word(pa, &prot).map_err(errors::request)
    }

    /// Physical addresses of the root tables, by address space.
    fn roots(&self) -> Vec<u64> {
        self.runner.machine().mms.iter().map(|mm| mm.root_pa).collect()
    }

    /// The word at the physical address of a table entry.
    fn peek(&self, pa: u64) -> PyResult<u64> {
        let (id, index) = self.word_at(pa)?;
        Ok(self.runner.machine().memory.word(id, index))
    }

    /// Changes a word in memory, as a debugger would: no event, no hook.
    fn poke(&mut self, pa: u64, word: u64) -> PyResult<()> {
        let (id, index) = self.word_at(pa)?;
        self.runner.machine_mut().memory.open(id).set(index, word);
        Ok(())
    }

    /// Tables as they are now, to compare with later.
    fn freeze(&mut self) -> crate::frozen::Frozen {
        crate::frozen::Frozen::new(&mut *self.runner)
    }

    /// Entries of init_mm's tables that have changed since: levels, tables, indices, words before, words now.
    fn changes_since<'py>(&self, py: Python<'py>, before: &crate::frozen::Frozen) -> crate::frozen::Columns<'py> {
        before.changes(py, &*self.runner)
    }

    /// Words of table entries, and whether there is such a table.
    fn read_words<'py>(
        &self,
        py: Python<'py>,
        tables: PyReadonlyArray1<'py, u64>,
        indices: PyReadonlyArray1<'py, u64>,
    ) -> (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<bool>>) {
        crate::frozen::read(py, &*self.runner, &tables, &indices)
    }

    /// Changes words of table entries, as a debugger would; entries of tables that are not there are passed over.
    fn write_words(
        &mut self,
        tables: PyReadonlyArray1<'_, u64>,
        indices: PyReadonlyArray1<'_, u64>,
        words: PyReadonlyArray1<'_, u64>,
    ) {
        crate::frozen::write(&mut *self.runner, &tables, &indices, &words);
    }

    /// Puts an empty table page into memory, as a debugger would; nothing points to it yet.
    fn add_table(&mut self, pa: u64, level: u8) -> PyResult<()> {
        let level = known_level(level)?;
        let blank = self.runner.format().blank(level, true);
        let machine = self.runner.machine_mut();
        if machine.geometry.folded(level) {
            return Err(errors::request(format!("{} has no {} tables", machine.geometry.name, level.name())));
        }
        let words = machine.geometry.words(level);
        machine.memory.insert(pa, level, words, blank);
        Ok(())
    }

    /// The next table of this level for this first address takes this frame.
    fn plan_frame(&mut self, level: u8, va: u64, pa: u64) -> PyResult<()> {
        let level = known_level(level)?;
        self.runner.machine_mut().frames.plan(level, va, pa);
        Ok(())
    }

    /// Forgets all planned frames.
    fn forget_plans(&mut self) {
        self.runner.machine_mut().frames.forget_plans();
    }

    /// Which machine frame stands behind a guest frame (Xen PV).
    fn map_frame(&mut self, guest: u64, machine: u64) {
        self.runner.map_frame(guest, machine);
    }

    /// Where the guest's RAM ends (Xen PV).
    fn set_ram_end(&mut self, end: u64) {
        self.runner.set_ram_end(end);
    }

    /// Sets a task's lazy MMU counters.
    fn set_lazy(&mut self, task: u16, enable_count: u8, pause_count: u8) -> PyResult<()> {
        let task = self.known_task(task)?;
        self.runner.set_lazy(task, LazyMmuState { enable_count, pause_count });
        Ok(())
    }

    /// A task's lazy MMU counters and thread flags.
    fn lazy(&self, task: u16) -> PyResult<(u8, u8, u64)> {
        let task = self.runner.machine().task(self.known_task(task)?);
        Ok((task.lazy.enable_count, task.lazy.pause_count, task.flags.packed()))
    }

    /// Where the table is that a word at this level points to.
    fn table_pa(&self, level: u8, word: u64) -> PyResult<u64> {
        Ok(self.runner.table_pa(known_level(level)?, word))
    }

    /// The word that links the table at `pa` into init_mm.
    fn table_word(&self, level: u8, pa: u64) -> PyResult<u64> {
        Ok(self.runner.table_word(known_level(level)?, pa))
    }

    /// What the entries of a new table of this level hold, the kernel's or a process's.
    fn empty_word(&self, level: u8, init_mm: bool) -> PyResult<u64> {
        Ok(self.runner.format().blank(known_level(level)?, init_mm))
    }

    /// What a word of this level is: `none`, `leaf`, `table`, or `other` (not valid for hardware).
    fn classify(&self, level: u8, word: u64) -> PyResult<&'static str> {
        let level = known_level(level)?;
        let format = self.runner.format();
        Ok(match () {
            () if format.none(level, word) => "none",
            () if !format.walkable(level, word) => "other",
            () if level == Level::Pte || format.leaf(level, word) => "leaf",
            () => "table",
        })
    }

    /// The physical address in a word, as the format has it.
    fn word_address(&self, level: u8, word: u64) -> PyResult<u64> {
        Ok(self.runner.format().address(known_level(level)?, word))
    }

    /// What a word grants, or None where it is no valid leaf.
    fn attributes<'py>(&self, py: Python<'py>, level: u8, word: u64) -> PyResult<Option<Bound<'py, PyDict>>> {
        let level = known_level(level)?;
        let format = self.runner.format();
        let leaf = level == Level::Pte || format.leaf(level, word);
        if !format.walkable(level, word) || !leaf {
            return Ok(None);
        }
        Ok(Some(crate::lists::attributes(py, &format.attributes(level, word))?))
    }

    /// Everything that can come of a program. Its first operations are carried out here, its threads are not.
    #[pyo3(signature = (program, settings, progress=None))]
    fn explore(
        &mut self,
        py: Python<'_>,
        program: &Program,
        settings: Settings,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<RawExploration> {
        let explored = explore::explore(py, self, program, &settings, progress);
        match self.hooks.as_ref().and_then(|hooks| hooks.take_error()) {
            Some(error) => Err(error),
            None => explored,
        }
    }

    /// A copy that shares tables until one of both changes them.
    fn snapshot(&mut self) -> Machine {
        let hooks = self.hooks.clone();
        Machine { runner: self.runner.snapshot(), hooks, log_limit: self.log_limit }
    }

    /// Levels, sizes and address layout.
    #[getter]
    fn geometry<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lists::describe(py, &self.runner.machine().geometry)
    }

    /// Every option with its value.
    #[getter]
    fn options(&self) -> BTreeMap<&'static str, &'static str> {
        self.runner.options().entries().into_iter().map(|(name, value, _)| (name, value)).collect()
    }

    /// `ARCH_PAGE_TABLE_SYNC_MASK`.
    #[getter]
    fn sync_mask(&self) -> u8 {
        self.runner.sync_mask().bits()
    }

    /// Tasks that exist, and on which CPU each is.
    #[getter]
    fn tasks(&self) -> Vec<(u16, u8)> {
        self.runner.machine().tasks.iter().map(|t| (t.mm.0, t.cpu.0)).collect()
    }
}
