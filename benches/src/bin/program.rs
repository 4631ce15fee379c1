//! Runs a program again and again, one pass for each line that comes in, and prints the seconds each took.
//!
//! `program FILE.json BACKEND SCHEME MODE`: the peer of the same program run from Python.

use std::io::{BufRead, Write};
use std::time::Instant;

use lazymmu::run::{Mode, Spec, run_program};
use lazymmu::scenario::Program;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [file, backend, scheme, mode] = &arguments[..] else {
        return Err("program FILE.json BACKEND SCHEME MODE".into());
    };
    let program = Program::from_json(&std::fs::read_to_string(file)?)?;
    let spec = Spec { backend, scheme, ..Spec::default() };
    let mode = match mode.as_str() {
        "quiet" => Mode::Quiet,
        "logged" => Mode::Logged,
        _ => return Err(format!("unknown mode {mode:?}: expected quiet or logged").into()),
    };
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let output = run_program(&spec, &program, mode)?;
        let time = start.elapsed().as_secs_f64();
        println!("{time:e} {}", output.total);
        std::io::stdout().flush()?;
    }
    Ok(())
}
