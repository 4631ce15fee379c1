//! Programs whose threads run at the same time: all that can come of them.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::collections::BTreeSet;

use lazymmu::check::Severity;
use lazymmu::explore::{Exploration, Options};
use lazymmu::run::{Mode, Spec, boot};
use lazymmu::scenario::Program;

const SCHEMES: [&str; 6] = ["v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0"];

fn program(text: &str) -> Program {
    Program::from_json(text).unwrap()
}

fn options(threads: usize, partial_order: bool, symmetry: bool) -> Options {
    Options { threads, partial_order, symmetry, ..Options::default() }
}

fn explore(backend: &str, scheme: &str, program: &Program, options: &Options) -> Exploration {
    let spec = Spec { backend, scheme, ..Spec::default() };
    let mut machine = boot(&spec, &program.setup(), Mode::Checked).unwrap();
    let explored = machine.explore(program, options, None, &mut |_| true).unwrap();
    assert!(explored.report.complete());
    explored
}

/// What breaks in each outcome, and what the operations returned; every schedule is replayed for it.
fn outcomes(backend: &str, scheme: &str, explored: &Exploration) -> BTreeSet<String> {
    let spec = Spec { backend, scheme, ..Spec::default() };
    let mut all = BTreeSet::new();
    for reached in &explored.reached {
        let mut program = explored.program.clone();
        program.concurrent.schedule.clone_from(&reached.schedule);
        let mut machine = boot(&spec, &program.setup(), Mode::Checked).unwrap();
        let run = machine.run(&program, &mut || true).unwrap();
        let found: BTreeSet<_> =
            run.findings.iter().filter(|f| f.severity == Severity::Breaks).map(|f| f.code).collect();
        let returned: Vec<_> = run.results.iter().map(|r| format!("{:?}", r.ending)).collect();
        let injected: Vec<_> = run.injected.iter().map(|i| format!("{:?}", i.result.ending)).collect();
        all.insert(format!("{found:?} {} {returned:?} {injected:?}", reached.deadlock));
    }
    all
}

/// An interrupt maps a page and uses it while a task maps others.
const INTERRUPT: &str = r#"{
    "ops": [{"op": {"populate_kernel": {"va": 18446603338368679936}}},
            {"op": {"vmap_page_range": {"va": 18446603338368684032, "size": 16384, "pa": 268435456}}}],
    "injections": [{"at": {"op": 1, "kind": "STORE"}, "irq": "hard",
                    "ops": [{"pte": {"va": 18446603338368679936, "step": "set", "pa": 2415919104}},
                            {"access": {"va": 18446603338368679936}}]}]}"#;

/// Two CPUs map neighbouring pages, for which both need the same tables.
const NEIGHBOURS: &str = r#"{"cpus": 2, "ops": [], "concurrent": {"threads": [
    {"ops": [{"task": 0, "op": {"vmap_page_range": {"va": 18446603338368684032, "size": 4096, "pa": 268435456}}}]},
    {"ops": [{"task": 1, "op": {"vmap_page_range": {"va": 18446603338368692224, "size": 4096, "pa": 268500992}}}]}]}}"#;

#[test]
fn try_it() {
    for scheme in SCHEMES {
        let p = program(INTERRUPT);
        let e = explore("arm64", scheme, &p, &options(1, true, true));
        println!("{scheme} {} {} {:?}", e.report.states, e.report.depth, e.report.seconds);
        for o in outcomes("arm64", scheme, &e) {
            println!("   {o}");
        }
        let p = program(NEIGHBOURS);
        for (por, sym) in [(false, false), (false, true), (true, true)] {
            let e = explore("arm64", scheme, &p, &options(1, por, sym));
            println!(
                "{scheme} por {por} sym {sym} {} {} {} {:?}",
                e.report.states, e.report.steps, e.report.depth, e.report.seconds
            );
            for o in outcomes("arm64", scheme, &e) {
                println!("   {o}");
            }
        }
    }
}
