//! Hooks written in Python, called in place of native ones.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use lazymmu::event::codes::{Site, Store};
use lazymmu::kernel::{Call, Generic, Hook, HookSet, Host, HostHandle, Overrides, OwnedEntry, Place};
use lazymmu::machine::{MmId, ThreadFlags};
use lazymmu::modmask::ModMask;
use lazymmu::scheme;
use lazymmu::stop::{Run, Stop};
use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{errors, lists};

/// Hooks that call each other deeper than this are caught in a circle.
const MAX_DEPTH: u32 = 32;

/// A walk function at work: its `site` (the function's name), address space, and range `[start, end)`.
#[pyclass(frozen, module = "lazymmu._native")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk(scheme::Walk);

#[pymethods]
impl Walk {
    #[getter]
    fn site(&self) -> &'static str {
        self.0.site.text()
    }

    #[getter]
    fn mm(&self) -> u16 {
        self.0.mm.0
    }

    #[getter]
    fn start(&self) -> u64 {
        self.0.start
    }

    #[getter]
    fn end(&self) -> u64 {
        self.0.end
    }

    fn __repr__(&self) -> String {
        format!("<Walk {} mm{} {:#x}-{:#x}>", self.site(), self.mm(), self.0.start, self.0.end)
    }
}

/// An entry of a table: `level` (1 pte to 5 pgd), `index`, the address `va` for which it is looked at, `mm`, and
/// `table`, the physical address of its table.
#[pyclass(frozen, module = "lazymmu._native")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(OwnedEntry);

#[pymethods]
impl Entry {
    #[getter]
    fn level(&self) -> u8 {
        self.0.level.number()
    }

    #[getter]
    fn index(&self) -> usize {
        self.0.index
    }

    #[getter]
    fn va(&self) -> u64 {
        self.0.va
    }

    #[getter]
    fn mm(&self) -> u16 {
        self.0.mm.0
    }

    #[getter]
    fn table(&self) -> u64 {
        self.0.table_pa
    }

    fn __repr__(&self) -> String {
        format!("<Entry {}[{}] va {:#x} mm{}>", self.0.level.name(), self.0.index, self.0.va, self.0.mm.0)
    }
}

/// The running kernel, as a hook sees it. It is lent for the time of one call; afterwards every use is an error.
#[pyclass(frozen, module = "lazymmu._native")]
#[derive(Debug)]
pub(crate) struct Kernel {
    host: Mutex<Option<HostHandle>>,
    /// The call being answered: what `native` carries out.
    call: Call,
    /// Why the machine stopped during the call.
    stop: Mutex<Option<Stop>>,
    /// The exception of an inner hook that stopped it.
    error: Arc<Mutex<Option<PyErr>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known_store(why: &str) -> PyResult<Store> {
    Store::ALL.iter().find(|(_, text)| *text == why).map(|(store, _)| *store).ok_or_else(|| {
        let known: Vec<_> = Store::ALL.iter().map(|(_, text)| *text).collect();
        errors::request(format!("unknown store code {why:?}: expected one of {}", known.join(", ")))
    })
}

impl Kernel {
    /// A kernel object that has no machine yet.
    fn idle(call: &Call, error: &Arc<Mutex<Option<PyErr>>>) -> Kernel {
        let error = Arc::clone(error);
        Kernel { host: Mutex::new(None), call: call.clone(), stop: Mutex::new(None), error }
    }

    /// Works on the lent machine. While an inner hook has it, the outer one's object is busy.
    fn with<T>(&self, act: impl FnOnce(&mut dyn Host) -> T) -> PyResult<T> {
        let mut host = match self.host.try_lock() {
            Ok(host) => host,
            Err(TryLockError::Poisoned(host)) => host.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(errors::request("the machine is lent to an inner hook")),
        };
        match host.as_mut() {
            Some(handle) => Ok(act(handle.0.as_mut())),
            None => Err(errors::request("this kernel object was lent for one call of a hook, which is over")),
        }
    }

    /// Does something that may stop the machine; nothing more can be done with it then.
    fn step<T>(&self, act: impl FnOnce(&mut dyn Host) -> Run<T>) -> PyResult<T> {
        if locked(&self.stop).is_some() {
            return Err(errors::stopped());
        }
        match self.with(act)? {
            Ok(value) => Ok(value),
            Err(stop) => {
                locked(&self.stop).get_or_insert(stop);
                // An inner hook's exception goes on through the outer one.
                Err(locked(&self.error).take().unwrap_or_else(errors::stopped))
            }
        }
    }
}

#[pymethods]
impl Kernel {
    /// Does what the replaced hook would have done, with the same arguments. Returns the old word for
    /// `ptep_get_and_clear`, the address for `kmap`, the number of entries copied for `sync`, else 0.
    fn native(&self) -> PyResult<u64> {
        self.step(|host| host.native(&self.call))
    }

    /// The same for a store of another word or for another reason (`set_pte`, `set_entry`).
    #[pyo3(signature = (word, why))]
    fn native_word(&self, word: u64, why: &str) -> PyResult<()> {
        let why = known_store(why)?;
        let call = match &self.call {
            Call::SetPte(entry, ..) => Call::SetPte(*entry, word, why),
            Call::SetEntry(entry, ..) => Call::SetEntry(*entry, word, why),
            other => other.clone(),
        };
        self.step(|host| host.native(&call)).map(|_| ())
    }

    /// Calls generic code's begin hook, as a scheme does.
    fn begin(&self, walk: &Bound<'_, Walk>) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::Begin(walk.get().0)))
    }

    /// Calls generic code's end hook, as a scheme does.
    fn end(&self, walk: &Bound<'_, Walk>, mask: u8) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::End(walk.get().0, ModMask::from_bits(mask))))
    }

    /// `if (mask & ARCH_PAGE_TABLE_SYNC_MASK) arch_sync_kernel_mappings(start, end)`.
    fn sync(&self, walk: &Bound<'_, Walk>, mask: u8) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::Sync(walk.get().0, ModMask::from_bits(mask))))
    }

    /// `arch_enter_lazy_mmu_mode`, or `lazy_mmu_mode_enable` where the API is counted.
    fn lazy_enable(&self) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::Enable))
    }

    /// `arch_leave_lazy_mmu_mode`, or `lazy_mmu_mode_disable`.
    fn lazy_disable(&self) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::Disable))
    }

    /// `arch_flush_lazy_mmu_mode`.
    fn lazy_flush(&self) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::Flush))
    }

    /// `lazy_mmu_mode_pause`.
    fn lazy_pause(&self) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::Pause))
    }

    /// `lazy_mmu_mode_resume`.
    fn lazy_resume(&self) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::Resume))
    }

    /// `set_pte_at`, with its hook.
    #[pyo3(signature = (entry, word, why="set"))]
    fn set_pte(&self, entry: &Bound<'_, Entry>, word: u64, why: &str) -> PyResult<()> {
        let why = known_store(why)?;
        self.step(|host| host.generic(&Generic::SetPte(entry.get().0, word, why)))
    }

    /// `pte_clear`, with its hook.
    fn pte_clear(&self, entry: &Bound<'_, Entry>) -> PyResult<()> {
        self.step(|host| host.generic(&Generic::PteClear(entry.get().0)))
    }

    /// `flush_tlb_kernel_range`.
    fn flush_tlb_kernel_range(&self, start: u64, end: u64) -> PyResult<()> {
        if start >= end {
            return Err(errors::request(format!("flush_tlb_kernel_range: [{start:#x}, {end:#x}) is empty")));
        }
        self.step(|host| host.generic(&Generic::FlushTlbKernelRange(start, end)))
    }

    /// The word of an entry as software reads it.
    fn read(&self, entry: &Bound<'_, Entry>) -> PyResult<u64> {
        self.step(|host| host.read(&entry.get().0))
    }

    /// A plain store to an entry: no barrier, no queue.
    #[pyo3(signature = (entry, word, why="set"))]
    fn store(&self, entry: &Bound<'_, Entry>, word: u64, why: &str) -> PyResult<()> {
        let why = known_store(why)?;
        self.step(|host| host.store(&entry.get().0, word, why))
    }

    /// `DSB ISHST; ISB`.
    fn barrier(&self) -> PyResult<()> {
        self.step(|host| host.barrier())
    }

    /// Leaves a barrier for later: sets the thread flags in addition to those set, and logs `DEFER` if that changes any
    /// or happens in an interrupt.
    #[pyo3(signature = (flags=0))]
    fn defer(&self, flags: u64) -> PyResult<()> {
        self.step(|host| {
            let now = host.task().1.flags.packed();
            host.defer(ThreadFlags::from_packed(now | flags))
        })
    }

    /// Whether the word is a valid mapping of the kernel's.
    fn valid_kernel(&self, word: u64) -> PyResult<bool> {
        self.with(|host| host.valid_kernel(word))
    }

    /// Thread flags of the running task: 1 lazy, 2 pending, 4 updates.
    #[getter]
    fn flags(&self) -> PyResult<u64> {
        self.with(|host| host.task().1.flags.packed())
    }

    #[setter]
    fn set_flags(&self, flags: u64) -> PyResult<()> {
        self.with(|host| host.set_flags(ThreadFlags::from_packed(flags)))
    }

    /// The running task's lazy MMU counters (enable, pause).
    #[getter]
    fn lazy(&self) -> PyResult<(u8, u8)> {
        self.with(|host| {
            let lazy = host.task().1.lazy;
            (lazy.enable_count, lazy.pause_count)
        })
    }

    /// The running task.
    #[getter]
    fn task(&self) -> PyResult<u16> {
        self.with(|host| host.task().0.0)
    }

    /// The executing CPU.
    #[getter]
    fn cpu(&self) -> PyResult<u8> {
        self.with(|host| host.place().cpu)
    }

    /// Index of the running operation.
    #[getter]
    fn op(&self) -> PyResult<u32> {
        self.with(|host| host.place().op)
    }

    /// `in_interrupt()`.
    #[getter]
    fn in_interrupt(&self) -> PyResult<bool> {
        self.with(|host| host.in_interrupt())
    }

    /// `ARCH_PAGE_TABLE_SYNC_MASK`.
    #[getter]
    fn sync_mask(&self) -> PyResult<u8> {
        self.with(|host| host.sync_mask().bits())
    }

    /// Levels, sizes and address layout.
    #[getter]
    fn geometry<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let geometry = self.with(|host| *host.geometry())?;
        lists::describe(py, &geometry)
    }

    /// The value of an option.
    fn option(&self, name: &str) -> PyResult<&'static str> {
        let entries = self.with(|host| host.options().entries())?;
        let found = entries.iter().find(|(known, _, _)| *known == name);
        found.map(|(_, value, _)| *value).ok_or_else(|| errors::request(format!("unknown option {name:?}")))
    }

    /// The physical address of an address space's root table.
    #[pyo3(signature = (mm=0))]
    fn root(&self, mm: u16) -> PyResult<u64> {
        let root = self.with(|host| host.root_of(MmId(mm)))?;
        root.ok_or_else(|| errors::request(format!("mm {mm} does not exist")))
    }
}

/// A Python object whose methods replace hooks.
#[derive(Debug)]
pub(crate) struct PyHooks {
    object: Py<PyAny>,
    set: HookSet,
    error: Arc<Mutex<Option<PyErr>>>,
    depth: AtomicU32,
}

impl PyHooks {
    /// `names` are the methods that replace hooks.
    pub(crate) fn new(object: Py<PyAny>, names: &[String]) -> PyResult<PyHooks> {
        let mut set = HookSet::default();
        for name in names {
            let known = Hook::ALL.iter().find(|(_, text)| text == name);
            let (hook, _) = known.ok_or_else(|| errors::config(format!("unknown hook {name:?}")))?;
            set = set.with(*hook);
        }
        Ok(PyHooks { object, set, error: Arc::default(), depth: AtomicU32::new(0) })
    }

    /// The exception that stopped the last run, if one did.
    pub(crate) fn take_error(&self) -> Option<PyErr> {
        locked(&self.error).take()
    }

    /// Keeps the exception, and says in it where it happened.
    fn failed(&self, py: Python<'_>, error: PyErr, call: &Call, place: Place) -> Run<u64> {
        let Place { op, cpu, event } = place;
        let note = format!("in hook {} on cpu{cpu}, operation {op}, before event {event}", call.hook().name());
        let noted = error.value(py).call_method1("add_note", (note,));
        locked(&self.error).replace(noted.err().unwrap_or(error));
        Err(Stop::Abort)
    }

    fn invoke(&self, py: Python<'_>, kernel: &Bound<'_, Kernel>, call: &Call) -> PyResult<u64> {
        let object = self.object.bind(py);
        let name = call.hook().name();
        let site = |site: &Site| site.text();
        let returned = match call {
            Call::Simple(_) => object.call_method1(name, (kernel,)),
            Call::Walk(Hook::WalkBegin | Hook::Begin, walk, _) => object.call_method1(name, (kernel, Walk(*walk))),
            Call::Walk(_, walk, mask) => object.call_method1(name, (kernel, Walk(*walk), mask.bits())),
            Call::Site(_, at) => object.call_method1(name, (kernel, site(at))),
            Call::SetPte(entry, word, why) | Call::SetEntry(entry, word, why) => {
                object.call_method1(name, (kernel, Entry(*entry), *word, why.text()))
            }
            Call::PteClear(entry) | Call::PtepGetAndClear(entry) | Call::PteFn(entry) => {
                object.call_method1(name, (kernel, Entry(*entry)))
            }
            Call::Kmap(page) => object.call_method1(name, (kernel, *page)),
            Call::Kunmap(slot) => object.call_method1(name, (kernel, slot.va)),
        }?;
        match call {
            Call::PteFn(_) => Ok(or_zero::<i64>(&returned, name)?.cast_unsigned()),
            Call::PtepGetAndClear(_) | Call::Kmap(_) | Call::Walk(Hook::Sync, ..) => or_zero::<u64>(&returned, name),
            _ => Ok(0),
        }
    }
}

fn circle() -> PyErr {
    PyRecursionError::new_err(format!("hooks call each other more than {MAX_DEPTH} deep"))
}

/// A hook's return value; None counts as 0.
fn or_zero<'py, T>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py> + Default,
{
    if value.is_none() {
        return Ok(T::default());
    }
    value.extract().map_err(|_| errors::request(format!("{name} returned {value:?}: expected an integer or None")))
}

impl Overrides for PyHooks {
    fn hooks(&self) -> HookSet {
        self.set
    }

    fn blocking(&self, wait: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(wait));
    }

    fn call(&self, host: HostHandle, call: &Call) -> (Option<HostHandle>, Run<u64>) {
        let place = host.0.place();
        Python::attach(|py| {
            // The object comes first, so that nothing can be lost if it cannot be made.
            let kernel = match Bound::new(py, Kernel::idle(call, &self.error)) {
                Ok(kernel) => kernel,
                Err(error) => return (Some(host), self.failed(py, error, call, place)),
            };
            let lent = kernel.get();
            locked(&lent.host).replace(host);
            let depth = self.depth.fetch_add(1, Ordering::Relaxed);
            let returned = if depth < MAX_DEPTH { self.invoke(py, &kernel, call) } else { Err(circle()) };
            self.depth.fetch_sub(1, Ordering::Relaxed);
            // Another thread may be using the object at this moment, and need the interpreter to finish.
            let (host, stopped) = py.detach(|| (locked(&lent.host).take(), locked(&lent.stop).take()));
            let result = match (stopped, returned) {
                (None, Ok(value)) => Ok(value),
                (Some(Stop::Abort), Ok(_)) => {
                    let error = errors::request("a hook went on after an inner hook had failed");
                    self.failed(py, error, call, place)
                }
                (Some(stop), Ok(_)) => Err(stop),
                (Some(stop), Err(error)) if errors::is_stopped(py, &error) => Err(stop),
                (None, Err(error)) => self.failed(py, error, call, place),
                (Some(_), Err(error)) => {
                    // An inner hook failed, and its exception went through this one.
                    locked(&self.error).replace(error);
                    Err(Stop::Abort)
                }
            };
            (host, result)
        })
    }
}
