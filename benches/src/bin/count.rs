//! One workload under callgrind: only what runs in `measured` is counted.
//!
//! `count` lists the workloads with their number of pages, `count NAME` runs one.

use std::hint::black_box;

use lazymmu::machine::INIT_MM;
use lazymmu::run::Mode;
use lazymmu_benches::addresses;
use lazymmu_benches::ours::{Config, boot, operations, program, run, start};

const PAGES: u64 = 16 * 512;
const CONFIGS: [(&str, &str); 3] = [("x86-64", "v7.0"), ("arm64", "v7.0"), ("arm64", "v6.12")];

/// Callgrind counts while this runs.
#[inline(never)]
fn measured(work: impl FnOnce()) {
    work();
    black_box(());
}

fn workloads() -> Vec<(String, Config, Mode, &'static str)> {
    let mut all = Vec::new();
    for (backend, scheme) in CONFIGS {
        let config = Config { backend, scheme };
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
        workloads().iter().for_each(|(name, ..)| println!("{PAGES}\t{name}"));
        return;
    };
    let (_, config, mode, wanted) = workloads().into_iter().find(|w| w.0 == name).expect("a workload that is listed");
    let mut machine = boot(config, mode, 0);
    for (phase, op) in operations(config.backend, PAGES) {
        if wanted == "translate" && phase == "protect" {
            let vas = addresses(start(config.backend), PAGES, true);
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
