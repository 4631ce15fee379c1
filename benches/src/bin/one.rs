use lazymmu::run::Mode;
use lazymmu_benches::ours::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let backend: &'static str = Box::leak(a[1].clone().into_boxed_str());
    let scheme: &'static str = Box::leak(a[2].clone().into_boxed_str());
    let mut m = boot(Config { backend, scheme }, Mode::Logged, 0);
    for (n, op) in operations(backend, 1 << 20) {
        let log = run(&mut *m, &program(&op));
        println!("{n} events {} bytes {}", log.len(), log.bytes());
    }
}
