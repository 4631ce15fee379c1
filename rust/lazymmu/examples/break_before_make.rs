//! Searches the break-before-make protocol, for `benches/explore`: `break_before_make [threads] [cpus] [flags...]`.

use lazymmu::explore::protocol::BreakBeforeMake;
use lazymmu::explore::{Options, search};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, or| arguments.get(n).and_then(|text| text.parse().ok()).unwrap_or(or);
    let has = |name: &str| arguments.iter().any(|text| text == name);
    let system = BreakBeforeMake::new(number(1, 3), !has("--no-wait"));
    let options = Options {
        threads: number(0, 1),
        partial_order: has("--partial-order"),
        symmetry: has("--symmetry"),
        fingerprint: has("--fingerprint"),
        ..Options::default()
    };
    let result = search(&system, &options, &mut |_| true);
    #[allow(clippy::print_stdout, reason = "this is a program")]
    match result {
        Ok(report) => println!(
            "{{\"states\": {}, \"steps\": {}, \"depth\": {}, \"outcomes\": {}, \"complete\": {}, \"seconds\": {:.4}, \
             \"bytes_per_state\": {:.1}}}",
            report.states,
            report.steps,
            report.depth,
            report.outcomes.len(),
            report.complete(),
            report.seconds,
            report.bytes_per_state()
        ),
        Err(error) => println!("{{\"error\": \"{error}\"}}"),
    }
}
