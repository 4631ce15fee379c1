//! The same work under criterion: distributions instead of the fastest pass. `cargo bench --manifest-path
//! benches/Cargo.toml`; the ratios and what they have to reach are printed by `make bench`.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use lazymmu::run::Mode;
use lazymmu_benches::ours::{Config, Walks};
use lazymmu_benches::peers::{Aarch64Paging, X86_64};
use lazymmu_benches::{PAGES, Subject};

fn phases(c: &mut Criterion, subject: &mut dyn Subject) {
    let names: Vec<_> = subject.pass().iter().map(|(phase, _)| *phase).collect();
    let mut group = c.benchmark_group(subject.name().to_owned());
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for name in names {
        group.bench_function(name, |b| {
            b.iter_custom(|times| {
                let once = |_| subject.pass().into_iter().find(|(phase, _)| *phase == name).map_or(0.0, |(_, ns)| ns);
                Duration::from_nanos(((0..times).map(once).sum::<f64>() * PAGES as f64) as u64)
            });
        });
    }
    group.finish();
}

fn walks(c: &mut Criterion) {
    phases(c, &mut X86_64);
    phases(c, &mut Aarch64Paging);
    for (backend, scheme) in [("x86-64", "v7.0"), ("arm64", "v7.0"), ("arm64", "v6.12")] {
        for mode in [Mode::Quiet, Mode::Logged] {
            phases(c, &mut Walks::new(Config { backend, scheme }, mode));
        }
    }
}

criterion_group!(benches, walks);
criterion_main!(benches);
