//! What is measured, and the peers it is measured against.
//!
//! A subject does one pass over a fresh machine or peer and says how long each phase took. Subjects of one table run in
//! turns, so that a noisy moment hits all of them; of many passes the fastest counts.

pub mod ours;
pub mod peers;

use std::hint::black_box;
use std::time::Instant;

/// Pages of the large range: 4 GiB of 4K pages.
pub const PAGES: u64 = 1 << 20;
pub const PAGE: u64 = 4096;

/// Phases of a pass with the nanoseconds they took for each page.
pub type Pass = Vec<(&'static str, f64)>;

/// Something that can do passes.
pub trait Subject {
    fn name(&self) -> &str;
    fn pass(&mut self) -> Pass;
}

/// Runs something and says how many nanoseconds it took for each of `count` things.
pub fn per<T>(count: u64, work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = black_box(work());
    (start.elapsed().as_secs_f64() * 1e9 / count as f64, value)
}

/// The fastest of each phase over rounds in which all subjects take turns.
pub fn fastest(subjects: &mut [Box<dyn Subject>], rounds: usize) -> Vec<(String, Pass)> {
    let mut best: Vec<(String, Pass)> = subjects.iter().map(|s| (s.name().to_owned(), Vec::new())).collect();
    for _ in 0..rounds {
        for (subject, (_, best)) in subjects.iter_mut().zip(&mut best) {
            for (phase, time) in subject.pass() {
                match best.iter_mut().find(|(known, _)| *known == phase) {
                    Some((_, known)) => *known = known.min(time),
                    None => best.push((phase, time)),
                }
            }
        }
    }
    best
}

/// `count` page addresses from `start`, in order or (the same ones, with repetitions) at random.
pub fn addresses(start: u64, page: u64, count: u64, random: bool) -> Vec<u64> {
    let mut x = 12345u64;
    let mut any = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x % count
    };
    (0..count).map(|n| start + if random { any() } else { n } * page).collect()
}
