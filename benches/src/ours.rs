//! lazymmu itself, through the same door that Python uses.

use lazymmu::backend;
use lazymmu::event::Log;
use lazymmu::kernel::Setup;
use lazymmu::machine::INIT_MM;
use lazymmu::run::{self, AnyRunner, Mode, Spec};
use lazymmu::scenario::Program;
use lazymmu::walk::PteFnKind;
use serde_json::json;

use crate::{PAGES, Pass, Subject, addresses, per};

/// A backend and a scheme.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub backend: &'static str,
    pub scheme: &'static str,
}

/// Map, protect, translate and unmap of [`PAGES`] pages under one mode of watching.
pub struct Walks {
    name: String,
    config: Config,
    mode: Mode,
    range: Range,
    programs: Vec<(&'static str, Program)>,
}

/// What a backend works on: a range at the start of its vmalloc space, as large as that allows.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub start: u64,
    pub pages: u64,
    pub page: u64,
    /// Bits to set and to clear in a page that becomes read-only, as `PAGE_KERNEL_RO` differs from `PAGE_KERNEL`. Both are 0
    /// where it does not: `pte_wrprotect` is used there.
    read_only: (u64, u64),
}

pub const FRAMES: u64 = 1 << 32;
/// Where there are no frames above 4 GiB.
const LOW_FRAMES: u64 = 1 << 28;

impl Range {
    /// At most so many pages.
    pub fn of(backend: &'static str, pages: u64) -> Range {
        let machine = boot(Config { backend, scheme: "v7.0" }, Mode::Quiet, 0);
        let prots = machine.format().prots();
        let prot = |name| prots.iter().find(|(known, _)| *known == name).map_or(0, |(_, prot)| *prot);
        let (writable, read_only) = (prot("PAGE_KERNEL"), prot("PAGE_KERNEL_RO"));
        let registered = backend::by_name(backend).expect("a backend");
        let geometry = backend::geometry(registered, None).expect("its geometry");
        let (layout, page) = (geometry.layout, geometry.page_size());
        Range {
            start: layout.vmalloc_start,
            pages: pages.min((layout.vmalloc_end - layout.vmalloc_start) / page / 512 * 512),
            page,
            read_only: (read_only & !writable, writable & !read_only),
        }
    }
}

/// One operation as a program.
pub fn program(op: &serde_json::Value) -> Program {
    Program::from_json(&json!({"ops": [{"op": op}]}).to_string()).expect("a program")
}

/// The operations on a range, by phase.
pub fn operations(range: Range) -> Vec<(&'static str, serde_json::Value)> {
    let (va, size) = (range.start, range.pages * range.page);
    let pa = if va >> 32 == 0 { LOW_FRAMES } else { FRAMES };
    let max_shift = range.page.trailing_zeros();
    let callback = match range.read_only {
        (0, 0) => json!({"kind": PteFnKind::Wrprotect}),
        (set, clear) => json!({"kind": PteFnKind::Protect, "set": set, "clear": clear}),
    };
    vec![
        ("map", json!({"vmap_range_noflush": {"va": va, "size": size, "pa": pa, "max_shift": max_shift}})),
        (
            "protect",
            json!({"apply_to_page_range": {"va": va, "size": size, "create": false, "callback": callback}}),
        ),
        ("unmap", json!({"vunmap_range": {"va": va, "size": size, "noflush": true}})),
    ]
}

pub fn boot(config: Config, mode: Mode, mms: u16) -> Box<dyn AnyRunner> {
    let spec = Spec { backend: config.backend, scheme: config.scheme, ..Spec::default() };
    run::boot(&spec, &Setup { cpus: 1, mms, tasks: Vec::new() }, mode).expect("a machine")
}

/// Runs a program and returns what was logged.
pub fn run(machine: &mut dyn AnyRunner, program: &Program) -> Log {
    machine.run(&program.ops, &program.injections, &mut || true).expect("a run").events
}

impl Walks {
    pub fn new(config: Config, mode: Mode) -> Walks {
        let watched = match mode {
            Mode::Quiet => "no observer",
            Mode::Checked => "checker",
            Mode::Logged => "log and checker",
        };
        let range = Range::of(config.backend, PAGES);
        let programs = operations(range).iter().map(|(n, op)| (*n, program(op))).collect();
        Walks { name: format!("lazymmu {} {}, {watched}", config.backend, config.scheme), config, mode, range, programs }
    }
}

impl Subject for Walks {
    fn name(&self) -> &str {
        &self.name
    }

    fn pass(&mut self) -> Pass {
        let mut machine = boot(self.config, self.mode, 0);
        let mut pass = Vec::new();
        for (phase, program) in &self.programs {
            let (time, log) = per(self.range.pages, || run(&mut *machine, program));
            pass.push((*phase, time));
            if *phase == "protect" && self.mode == Mode::Quiet {
                pass.extend(translations(&*machine, self.range));
            }
            drop(log);
        }
        pass
    }
}

fn translations(machine: &dyn AnyRunner, range: Range) -> Pass {
    let mut pass = Vec::new();
    for (phase, single, random) in [
        ("translate sequential", "translate one by one, sequential", false),
        ("translate random", "translate one by one, random", true),
    ] {
        let vas = addresses(range.start, range.page, range.pages, random);
        pass.push((phase, per(range.pages, || machine.translate_many(INIT_MM, &vas)).0));
        let all = || {
            vas.iter()
                .filter(|va| matches!(machine.translate(INIT_MM, **va), lazymmu::kernel::Translation::Leaf { .. }))
                .count()
        };
        pass.push((single, per(range.pages, all).0));
    }
    pass
}
