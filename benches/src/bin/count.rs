//! One workload under callgrind: only what runs in `measured` is counted.
//!
//! `count` lists the workloads with their number of pages, `count NAME` runs one.

use std::hint::black_box;

use lazymmu::backend;
use lazymmu::machine::INIT_MM;
use lazymmu::run::Mode;
use lazymmu_benches::addresses;
use lazymmu_benches::ours::{Config, Range, boot, operations, program, run};

const PAGES: u64 = 16 * 512;

/// Every backend, and the one scheme that makes arm64 do more for each page.
fn configs() -> Vec<Config> {
    let all = backend::ALL.iter().map(|info| Config { backend: info.name, scheme: "v7.0" });
    all.chain([Config { backend: "arm64", scheme: "v6.12" }]).collect()
}

/// Callgrind counts while this runs.
#[inline(never)]
fn measured(work: impl FnOnce()) {
    work();
    black_box(());
}

fn workloads() -> Vec<(String, Config, Mode, &'static str)> {
    let mut all = Vec::new();
    for config in configs() {
        let Config { backend, scheme } = config;
        for (mode, text) in [(Mode::Quiet, "quiet"), (Mode::Logged, "logged")] {
            for phase in ["map", "protect", "unmap"] {
                all.push((format!("{backend} {scheme} {text} {phase}"), config, mode, phase));
            }
        }
        all.push((format!("{backend} {scheme} translate"), config, Mode::Quiet, "translate"));
    }
    all
}

fn main() {
    let Some(name) = std::env::args().nth(1) else {
        for (name, config, ..) in workloads() {
            println!("{}\t{name}", Range::of(config.backend, PAGES).pages);
        }
        return;
    };
    let (_, config, mode, wanted) = workloads().into_iter().find(|w| w.0 == name).expect("a workload that is listed");
    let mut machine = boot(config, mode, 0);
    let range = Range::of(config.backend, PAGES);
    for (phase, op) in operations(range) {
        if wanted == "translate" && phase == "protect" {
            let vas = addresses(range.start, range.page, range.pages, true);
            measured(|| drop(black_box(machine.translate_many(INIT_MM, &vas))));
        }
        let program = program(&op);
        if phase == wanted {
            measured(|| drop(run(&mut *machine, &program)));
        } else {
            drop(run(&mut *machine, &program));
        }
    }
}
