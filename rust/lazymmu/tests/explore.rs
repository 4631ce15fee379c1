//! Programs whose threads run at the same time: all that can come of them.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::collections::BTreeSet;

use lazymmu::check::Severity;
use lazymmu::event::Counts;
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
        let run = machine.perform(&program, &mut || true).unwrap();
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

/// Both CPUs need the same tables, and any allocation may fail.
fn neighbours(may_fail: bool) -> Program {
    let mut program = program(NEIGHBOURS);
    program.concurrent.may_fail_alloc = may_fail;
    program
}

#[test]
fn reductions_and_threads_reach_the_same_outcomes() {
    for scheme in SCHEMES {
        for text in [program(INTERRUPT), neighbours(false)] {
            let plain = explore("arm64", scheme, &text, &options(1, false, false));
            let wanted = outcomes("arm64", scheme, &plain);
            for (threads, partial_order, symmetry) in [(1, true, false), (1, false, true), (2, true, true)] {
                let reduced = explore("arm64", scheme, &text, &options(threads, partial_order, symmetry));
                assert_eq!(outcomes("arm64", scheme, &reduced), wanted, "{scheme}");
                assert!(reduced.report.states <= plain.report.states);
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let program = neighbours(true);
    let one = explore("arm64", "v7.0", &program, &options(1, true, true));
    for threads in [2, 3] {
        let more = explore("arm64", "v7.0", &program, &options(threads, true, true));
        assert_eq!((one.report.states, one.report.steps), (more.report.states, more.report.steps));
        assert_eq!(one.reached, more.reached);
    }
}

#[test]
fn a_lost_race_for_a_table_frees_the_loser_s() {
    let explored = explore("arm64", "v7.0", &neighbours(false), &options(1, true, true));
    let tables: BTreeSet<_> = explored.reached.iter().map(|r| r.tables).collect();
    assert_eq!(tables.len(), 1, "no order of events loses or leaks a table: {tables:?}");
    let leaves: BTreeSet<_> = explored.reached.iter().map(|r| r.leaves.clone()).collect();
    assert_eq!(leaves.len(), 1);
    assert_eq!(leaves.first().map(Vec::len), Some(2));
    // Somewhere the second test under the lock found a table.
    let spec = Spec { backend: "arm64", scheme: "v7.0", ..Spec::default() };
    let freed = explored.reached.iter().any(|reached| {
        let mut program = explored.program.clone();
        program.concurrent.schedule.clone_from(&reached.schedule);
        let mut machine = boot(&spec, &program.setup(), Mode::Logged).unwrap();
        let run = machine.perform(&program, &mut || true).unwrap();
        Counts::entries(&run.counts).iter().any(|(name, n)| *name == "frees" && *n > 0)
    });
    assert!(freed);
}

#[test]
fn failing_allocations_are_tried_wherever_they_happen() {
    let explored = explore("x86-64", "v6.12", &neighbours(true), &options(1, true, true));
    let ends: BTreeSet<_> = outcomes("x86-64", "v6.12", &explored);
    let failed = |text: &str| text.matches("ret: -12").count();
    for n in 0..=2 {
        assert!(ends.iter().any(|text| failed(text) == n), "{n} operations fail: {ends:?}");
    }
}

#[test]
fn interrupts_break_the_scope_and_nothing_else() {
    for (scheme, breaks) in [("v6.12", false), ("begin-end", true), ("v6.16", false), ("v7.0", false)] {
        let explored = explore("arm64", scheme, &program(INTERRUPT), &options(1, true, true));
        let found = outcomes("arm64", scheme, &explored);
        assert_eq!(found.iter().any(|text| text.starts_with("{\"H1\"")), breaks, "{scheme}: {found:?}");
        // The interrupt may also not come at all.
        assert!(found.iter().any(|text| text.ends_with("[]")), "{scheme}: {found:?}");
    }
}

#[test]
fn a_schedule_that_cannot_be_followed_is_refused() {
    let run = |schedule: &str| {
        let mut program = neighbours(false);
        program.concurrent.schedule = serde_json::from_str(schedule).unwrap();
        let spec = Spec { backend: "arm64", scheme: "v7.0", ..Spec::default() };
        let mut machine = boot(&spec, &program.setup(), Mode::Checked).unwrap();
        machine.perform(&program, &mut || true).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(run(r#"[{"at": 0, "thread": 1}, {"at": 4, "thread": 0}]"#), Ok(()));
    for (schedule, words) in [
        (r#"[{"at": 3, "thread": 7}]"#, "entry 0: thread 7 cannot do that at point 3"),
        (r#"[{"at": 3, "interrupt": 0}]"#, "entry 0"),
        (r#"[{"at": 4, "thread": 1}, {"at": 2, "thread": 0}]"#, "entry 1: point 2 is past"),
        (r#"[{"at": 100000, "thread": 1}]"#, "entry 0: point 100000 never came"),
    ] {
        let error = run(schedule).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn nonsense_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Program)| {
        let mut program = neighbours(false);
        change(&mut program);
        let spec = Spec { backend: "arm64", scheme: "v7.0", ..Spec::default() };
        let mut machine = boot(&spec, &program.setup(), Mode::Checked).unwrap();
        machine.explore(&program, &Options::default(), None, &mut |_| true).unwrap_err().to_string()
    };
    let interrupt = |text: &str| serde_json::from_str(text).unwrap();
    type Case<'a> = (&'a dyn Fn(&mut Program), &'a str);
    let cases: [Case<'_>; 6] = [
        (&|p| p.concurrent.threads[1].ops[0].task = 9, "thread 1: task 9 does not exist: expected below 4"),
        (&|p| p.concurrent.threads[1].ops[0].task = 0, "task 0 cannot run in two threads, 0 and 1"),
        (&|p| p.concurrent.interrupts = vec![interrupt(r#"{"cpu": 5, "ops": []}"#)], "interrupt 0: CPU 5"),
        (
            &|p| p.concurrent.interrupts = vec![interrupt(r#"{"at": {"ops": [7]}, "ops": []}"#)],
            "interrupt 0: op 7 is in no thread: expected 0 to 1",
        ),
        (
            &|p| p.concurrent.interrupts = vec![interrupt(r#"{"at": {"kind": "STOER"}, "ops": []}"#)],
            "unknown event kind \"STOER\"",
        ),
        (&|p| p.concurrent.threads = vec![p.concurrent.threads[0].clone(); 17], "17 threads: at most 16"),
    ];
    for (change, words) in cases {
        let error = refused(change);
        assert!(error.contains(words), "{error}");
    }
}
