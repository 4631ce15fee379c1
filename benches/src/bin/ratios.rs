use lazymmu::run::Mode;
use lazymmu_benches::ours::{Config, Walks};
use lazymmu_benches::peers::{Aarch64Paging, X86_64};
use lazymmu_benches::{Subject, fastest};

fn main() {
    let rounds = std::env::args().nth(1).map_or(5, |n| n.parse().expect("a number"));
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(X86_64), Box::new(Aarch64Paging)];
    for (backend, scheme) in [("x86-64", "v7.0"), ("x86-64", "v6.12"), ("arm64", "v7.0"), ("arm64", "v6.12")] {
        for mode in [Mode::Quiet, Mode::Logged] {
            subjects.push(Box::new(Walks::new(Config { backend, scheme }, mode)));
        }
    }
    if let Some(part) = std::env::args().nth(2) {
        subjects.retain(|s| s.name().contains(&part));
    }
    for (name, pass) in fastest(&mut subjects, rounds) {
        println!("{name}");
        for (phase, time) in pass {
            println!("    {phase:34} {time:7.2}");
        }
    }
}
