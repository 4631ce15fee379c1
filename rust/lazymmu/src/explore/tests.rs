//! The engine on break-before-make: what it finds does not depend on how it looks.

use std::path::PathBuf;
use std::time::Duration;

use super::protocol::BreakBeforeMake;
use super::{Bound, Bounds, Options, Report, Swarm, search, swarm};

fn run(system: &BreakBeforeMake, options: &Options) -> Report {
    search(system, options, &mut |_| true).expect("the system has no errors")
}

/// What is the same however a search is carried out.
fn facts(report: &Report) -> (u64, u64, u32, Vec<super::Found>) {
    (report.states, report.steps, report.depth, report.outcomes.clone())
}

fn place(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("lazymmu-{}-{name}", std::process::id()))
}

#[test]
fn the_protocol_holds_on_two_and_three_cpus() {
    let two = run(&BreakBeforeMake::new(2, true), &Options::default());
    assert_eq!((two.states, two.steps, two.depth, two.outcomes.len()), (1225, 5670, 24, 0));
    assert!(two.complete());
    // 456533 states and 4340028 steps are also what SPIN counts for benches/explore/bbm.pml.
    let three = run(&BreakBeforeMake::new(3, true), &Options::default());
    assert_eq!((three.states, three.steps, three.outcomes.len()), (456_533, 4_340_028, 0));
    assert!(three.bytes_per_state() <= 60.0, "{}", three.bytes_per_state());
}

#[test]
fn threads_make_no_difference() {
    let system = BreakBeforeMake::new(2, false);
    let one = run(&system, &Options { threads: 1, ..Options::default() });
    for threads in [2, 3, 7] {
        assert_eq!(facts(&one), facts(&run(&system, &Options { threads, ..Options::default() })));
    }
    let large = |threads| {
        let bounds = Bounds { states: Some(100_000), ..Bounds::default() };
        run(&BreakBeforeMake::new(3, false), &Options { threads, bounds, ..Options::default() })
    };
    assert_eq!(facts(&large(1)), facts(&large(4)));
}

#[test]
fn a_missing_wait_is_found_by_a_shortest_path() {
    let report = run(&BreakBeforeMake::new(2, false), &Options::default());
    let least = report.outcomes.iter().map(|found| found.path.len()).min();
    // Fill the TLB; break, store drained, DSB; send; no wait; make, store drained: eight steps.
    assert_eq!(least, Some(8));
    let first = &report.outcomes[0];
    assert_eq!((first.path.len(), first.states.len()), (8, 9));
    assert_eq!(first.states.last(), Some(&first.words));
}

#[test]
fn reductions_find_the_same() {
    for waits in [true, false] {
        let system = BreakBeforeMake::new(2, waits);
        let plain = run(&system, &Options::default());
        for (partial_order, symmetry) in [(true, false), (false, true), (true, true)] {
            let reduced = run(&system, &Options { partial_order, symmetry, ..Options::default() });
            assert!(reduced.states < plain.states);
            assert_eq!(reduced.outcomes.is_empty(), plain.outcomes.is_empty());
            if symmetry && !partial_order {
                // Every outcome has its representative, and no representative is invented.
                let canonical = |report: &Report| {
                    let mut all: Vec<_> = report.outcomes.iter().map(|f| f.words.clone()).collect();
                    all.iter_mut().for_each(|words| super::System::canonical(&system, words));
                    all.sort_unstable();
                    all.dedup();
                    all
                };
                assert_eq!(canonical(&reduced), canonical(&plain));
            }
        }
    }
    let whole = |o: &Options| run(&BreakBeforeMake::new(3, true), o);
    let symmetric = whole(&Options { symmetry: true, ..Options::default() });
    assert_eq!((symmetric.states, symmetric.outcomes.len()), (77_462, 0));
    let ordered = whole(&Options { partial_order: true, ..Options::default() });
    assert_eq!((ordered.states, ordered.outcomes.len()), (324_000, 0));
}

#[test]
fn fingerprints_find_the_same_and_say_how_likely_they_err() {
    let system = BreakBeforeMake::new(2, false);
    let (plain, keys) = (run(&system, &Options::default()), |threads| {
        run(&system, &Options { fingerprint: true, threads, ..Options::default() })
    });
    let short = keys(1);
    assert_eq!((short.states, short.steps), (plain.states, plain.steps));
    assert_eq!(plain.error_probability, 0.0);
    let n = short.states as f64;
    assert!((short.error_probability - n * (n - 1.0) / 2.0 / 2f64.powi(64)).abs() < 1e-18);
    assert_eq!(facts(&short), facts(&keys(3)));
    let paths = |report: &Report| report.outcomes.iter().map(|f| (f.words.clone(), f.path.len())).collect::<Vec<_>>();
    assert_eq!(paths(&short), paths(&plain));
}

#[test]
fn bounds_are_met_and_named() {
    let system = BreakBeforeMake::new(3, true);
    let with = |bounds| run(&system, &Options { bounds, threads: 2, ..Options::default() });
    let states = with(Bounds { states: Some(1000), ..Bounds::default() });
    assert_eq!(states.bound, Some(Bound::States(1000)));
    assert!((1000..1400).contains(&states.states), "{}", states.states);
    let depth = with(Bounds { depth: Some(3), ..Bounds::default() });
    assert_eq!((depth.bound, depth.depth), (Some(Bound::Depth(3)), 3));
    let memory = with(Bounds { memory: Some(1), ..Bounds::default() });
    assert_eq!(memory.bound, Some(Bound::Memory(1)));
    let time = with(Bounds { time: Some(Duration::ZERO), ..Bounds::default() });
    assert_eq!(time.bound, Some(Bound::Time(Duration::ZERO)));
    let found = run(
        &BreakBeforeMake::new(3, false),
        &Options { bounds: Bounds { outcomes: Some(1), ..Bounds::default() }, ..Options::default() },
    );
    assert_eq!(found.bound, Some(Bound::Outcomes(1)));
    assert!(!found.outcomes.is_empty());
    let stopped = search(&system, &Options::default(), &mut |_| false).expect("no errors");
    assert_eq!(stopped.bound, Some(Bound::Interrupted));
    // A bound that is not reached is none.
    let roomy = run(
        &BreakBeforeMake::new(1, true),
        &Options { bounds: Bounds { states: Some(1000), ..Bounds::default() }, ..Options::default() },
    );
    assert!(roomy.complete());
}

#[test]
fn a_search_goes_on_from_its_checkpoint() {
    let path = place("resume");
    let system = BreakBeforeMake::new(3, true);
    let whole = run(&system, &Options::default());
    for fingerprint in [false, true] {
        let options = |resume| Options {
            checkpoint: Some((path.clone(), Duration::ZERO)),
            resume,
            fingerprint,
            ..Options::default()
        };
        let mut batches = 0;
        let cut = search(&system, &options(false), &mut |_| {
            batches += 1;
            batches < 12
        });
        assert_eq!(cut.expect("no errors").bound, Some(Bound::Interrupted));
        let report = run(&system, &options(true));
        assert_eq!((report.states, report.steps, report.depth), (whole.states, whole.steps, whole.depth));
        assert!(report.complete());
        // Nothing is left to do, and nothing changes.
        assert_eq!(facts(&run(&system, &options(true))), facts(&report));
    }
    let text = std::fs::read(&path).expect("the checkpoint");
    let refused = |bytes: &[u8], fingerprint: bool, system: &BreakBeforeMake| {
        std::fs::write(&path, bytes).expect("a temporary file");
        let options = Options {
            checkpoint: Some((path.clone(), Duration::ZERO)),
            resume: true,
            fingerprint,
            ..Options::default()
        };
        search(system, &options, &mut |_| true).expect_err("refused").to_string()
    };
    assert!(refused(&text[..text.len() - 9], true, &system).contains("cut off"));
    let mut bad = text.clone();
    bad[text.len() / 2] ^= 1;
    assert!(refused(&bad, true, &system).contains("damaged"));
    assert!(refused(&text, false, &system).contains("another search"));
    assert!(refused(&text, true, &BreakBeforeMake::new(2, true)).contains("another search"));
    assert!(refused(b"not at all", true, &system).contains("not a checkpoint") || text.is_empty());
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn samples_find_what_is_there_and_say_that_they_are_samples() {
    let system = BreakBeforeMake::new(3, false);
    let how = |width| Swarm { seed: 1, seeds: 3, width };
    let narrow = |threads| {
        let options = Options { threads, ..Options::default() };
        swarm(&system, &options, how(50), &mut |_| true).expect("no errors")
    };
    let report = narrow(1);
    assert_eq!(report.bound, Some(Bound::Swarm { seeds: 3, width: 50 }));
    assert!(!report.outcomes.is_empty());
    assert_eq!(facts(&report), facts(&narrow(4)));
    for found in &report.outcomes {
        assert!(super::System::outcome(&system, &found.words));
    }
    // Where nothing is left out the first sample is everything.
    let small = BreakBeforeMake::new(2, false);
    let all = swarm(&small, &Options::default(), how(100_000), &mut |_| true).expect("no errors");
    assert_eq!(facts(&all), facts(&run(&small, &Options::default())));
    assert!(all.complete());
}
