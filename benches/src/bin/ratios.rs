//! One table of measurements, as JSON: nanoseconds for each page, of us and of the peers, measured in turns.
//!
//! `ratios [ROUNDS [PART]]`: only subjects whose name has this part.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

use lazymmu::backend;
use lazymmu::run::Mode;
use lazymmu_benches::ours::{Config, Range, Walks, boot, operations, program, run};
use lazymmu_benches::peers::{Aarch64Paging, X86_64};
use lazymmu_benches::{PAGES, Subject, fastest, per};
use serde_json::{Value, json};

/// Counts the bytes that live.
struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is held against peers, and measured in detail.
const CONFIGS: [(&str, &str); 4] = [("x86-64", "v7.0"), ("x86-64", "v6.12"), ("arm64", "v7.0"), ("arm64", "v6.12")];

/// Bytes for each mapped page: of the tables as the model counts them, of the process, and of the log.
fn memory(config: Config) -> Value {
    let map = program(&operations(Range::of(config.backend, PAGES))[0].1);
    let mut machine = boot(config, Mode::Logged, 0);
    let (tables, live) = (machine.machine().memory.len(), LIVE.load(Ordering::Relaxed));
    let log = run(&mut *machine, &map);
    let (tables, live) = (machine.machine().memory.len() - tables, LIVE.load(Ordering::Relaxed) - live);
    let each = |bytes: u64| bytes as f64 / PAGES as f64;
    json!({
        "tables": each(tables as u64 * 4096),
        "process": each(live as u64 - log.bytes()),
        "log": each(log.bytes()),
        "log as array": each(log.len() * 48),
    })
}

/// Nanoseconds to map and unmap ranges of growing size.
fn by_range(config: Config, rounds: usize) -> Value {
    let points = (12..=20).step_by(2).map(|shift| {
        let pages = 1u64 << shift;
        let all: Vec<_> = operations(Range::of(config.backend, pages)).iter().map(|(_, op)| program(op)).collect();
        let pass = || {
            let mut machine = boot(config, Mode::Quiet, 0);
            per(1, || all.iter().for_each(|program| drop(run(&mut *machine, program)))).0
        };
        (pages, (0..rounds).map(|_| pass()).fold(f64::MAX, f64::min))
    });
    json!(points.collect::<Vec<_>>())
}

/// Nanoseconds to map a range whose pmd entries have to reach the tables of ever more address spaces (x86-32: each
/// process has its own pmd pages).
fn by_mms(rounds: usize) -> Value {
    let config = Config { backend: "x86-32", scheme: "v6.12" };
    let map = json!({"vmap_range_noflush": {"va": 0xf880_0000u32, "size": 1 << 22, "pa": 1 << 24, "max_shift": 12}});
    let map = program(&map);
    let points = [0u16, 64, 128, 256, 512, 1024].map(|mms| {
        let pass = || {
            let mut machine = boot(config, Mode::Quiet, mms);
            per(1, || drop(run(&mut *machine, &map))).0
        };
        (mms, (0..rounds).map(|_| pass()).fold(f64::MAX, f64::min))
    });
    json!(points)
}

fn main() {
    let rounds = std::env::args().nth(1).map_or(8, |n| n.parse().expect("a number of rounds"));
    let part = std::env::args().nth(2).unwrap_or_default();
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(X86_64), Box::new(Aarch64Paging)];
    let others = backend::ALL.iter().map(|info| (info.name, "v7.0")).filter(|config| !CONFIGS.contains(config));
    for (backend, scheme) in CONFIGS.into_iter().chain(others) {
        for mode in [Mode::Quiet, Mode::Logged] {
            subjects.push(Box::new(Walks::new(Config { backend, scheme }, mode)));
        }
    }
    subjects.retain(|subject| subject.name().contains(&part));
    let times = fastest(&mut subjects, rounds);
    let times: serde_json::Map<_, _> = times
        .into_iter()
        .map(|(name, pass)| (name, pass.into_iter().map(|(phase, time)| (phase.to_owned(), json!(time))).collect()))
        .collect();
    let config = |(backend, scheme)| Config { backend, scheme };
    let memory: serde_json::Map<_, _> =
        CONFIGS.iter().map(|c| (format!("{} {}", c.0, c.1), memory(config(*c)))).collect();
    let range: serde_json::Map<_, _> =
        CONFIGS.iter().map(|c| (format!("{} {}", c.0, c.1), by_range(config(*c), rounds))).collect();
    let all = json!({"pages": PAGES, "times": times, "memory": memory, "by range": range, "by mms": by_mms(rounds)});
    println!("{all}");
}
