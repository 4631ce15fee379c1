//! lazymmu itself, through the same door that Python uses.

use lazymmu::event::Log;
use lazymmu::kernel::Setup;
use lazymmu::machine::INIT_MM;
use lazymmu::run::{self, AnyRunner, Mode, Spec};
use lazymmu::scenario::Program;
use lazymmu::walk::PteFnKind;
use serde_json::json;

use crate::{PAGE, PAGES, Pass, Subject, addresses, per};

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
    programs: Vec<(&'static str, Program)>,
}

/// Where the large range lies, and the frames it is mapped to.
pub fn start(backend: &str) -> u64 {
    if backend == "arm64" { 0xffff_8000_8000_0000 } else { 0xffff_c900_0000_0000 }
}
pub const FRAMES: u64 = 1 << 32;

/// The bit that makes a kernel page read-only in the entry format, as (set, clear).
fn read_only(backend: &str) -> (u64, u64) {
    if backend == "arm64" { (1 << 7, 1 << 51) } else { (0, 1 << 1) }
}

/// One operation as a program.
pub fn program(op: &serde_json::Value) -> Program {
    Program::from_json(&json!({"ops": [{"op": op}]}).to_string()).expect("a program")
}

/// The operations on a range, by phase.
pub fn operations(backend: &str, pages: u64) -> Vec<(&'static str, serde_json::Value)> {
    let (va, size) = (start(backend), pages * PAGE);
    let (set, clear) = read_only(backend);
    vec![
        ("map", json!({"vmap_range_noflush": {"va": va, "size": size, "pa": FRAMES, "max_shift": 12}})),
        (
            "protect",
            json!({"apply_to_page_range": {"va": va, "size": size, "create": false,
                "callback": {"kind": PteFnKind::Protect, "set": set, "clear": clear}}}),
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
        let programs = operations(config.backend, PAGES).iter().map(|(n, op)| (*n, program(op))).collect();
        Walks { name: format!("lazymmu {} {}, {watched}", config.backend, config.scheme), config, mode, programs }
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
            let (time, log) = per(PAGES, || run(&mut *machine, program));
            pass.push((*phase, time));
            if *phase == "protect" && self.mode == Mode::Quiet {
                pass.extend(translations(&*machine, self.config.backend));
            }
            drop(log);
        }
        pass
    }
}

fn translations(machine: &dyn AnyRunner, backend: &str) -> Pass {
    let mut pass = Vec::new();
    for (phase, single, random) in [
        ("translate sequential", "translate one by one, sequential", false),
        ("translate random", "translate one by one, random", true),
    ] {
        let vas = addresses(start(backend), PAGES, random);
        pass.push((phase, per(PAGES, || machine.translate_many(INIT_MM, &vas)).0));
        let all = || {
            vas.iter()
                .filter(|va| matches!(machine.translate(INIT_MM, **va), lazymmu::kernel::Translation::Leaf { .. }))
                .count()
        };
        pass.push((single, per(PAGES, all).0));
    }
    pass
}
