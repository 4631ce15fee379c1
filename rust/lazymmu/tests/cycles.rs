//! Logs and findings are the same whether loops are kept as cycles or every event is taken by itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use lazymmu::event::cycle::{Cycles, Words};
use lazymmu::event::{Counts, Event, Kind, Log};
use lazymmu::kernel::Setup;
use lazymmu::run::{self, Mode, OpError, Output, RunError, Spec};
use lazymmu::scenario::Program;
use serde_json::{Value, json};

/// A small generator: the tests need variety, and the same one each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

fn any_event(dice: &mut Dice) -> Event {
    let word =
        |dice: &mut Dice| if dice.below(3) == 0 { u64::MAX - dice.below(3) * 0x1000 } else { dice.below(1 << 20) };
    let kind = dice.of(Kind::ALL);
    let (va, addr, old, new) = (word(dice), word(dice), dice.below(4), word(dice));
    Event {
        level: dice.below(3) as u8,
        task: dice.below(2) as u16,
        mm: dice.below(2) as u16,
        op: dice.below(2) as u32,
        ..Event { va, addr, old, new, ..Event::of(kind).aux(dice.below(3) as u32) }
    }
}

/// Loops of one to ten events whose fields move by random steps, with single events between and inside.
fn any_stream(dice: &mut Dice) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < 3000 {
        for _ in 0..dice.below(4) {
            events.push(any_event(dice));
        }
        let mut turn: Vec<_> = (0..=dice.below(10))
            .map(|_| (any_event(dice), [0; 4].map(|_| dice.of(&[0, 0, 8, 0x1000, u64::MAX]))))
            .collect();
        let turns = dice.of(&[1, 2, 3, 4, 60, 200]);
        for _ in 0..turns {
            for (event, [va, addr, old, new]) in &mut turn {
                events.push(*event);
                event.va = event.va.wrapping_add(*va);
                event.addr = event.addr.wrapping_add(*addr);
                if matches!(event.kind(), Some(Kind::STORE | Kind::QUEUE)) {
                    event.old = event.old.wrapping_add(*old);
                }
                event.new = event.new.wrapping_add(*new);
                if dice.below(400) == 0 {
                    event.new ^= 1;
                }
            }
        }
        let cut = dice.below(events.len() as u64 / 50 + 1) as usize;
        events.truncate(events.len() - cut);
    }
    events
}

/// What a watch does with its cycles, and nothing else.
fn record(events: &[Event]) -> (Log, Counts) {
    let (mut log, mut counts, mut cycles) = (Log::new(), Counts::default(), Cycles::default());
    for event in events {
        let words = Words::from(event);
        if cycles.expected(&words) {
            continue;
        }
        counts.add_stretch(&cycles.stretch());
        log.push_stretch(&cycles.stretch());
        if cycles.is_open() {
            cycles.close();
        }
        log.push(*event);
        counts.add(event);
        cycles.note(&words);
    }
    counts.add_stretch(&cycles.stretch());
    log.push_stretch(&cycles.stretch());
    (log, counts)
}

#[test]
fn streams_come_back_as_they_were() {
    for seed in 1..60 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let events = any_stream(&mut dice);
        let (log, counts) = record(&events);
        let mut expected = Counts::default();
        events.iter().for_each(|event| expected.add(event));
        assert_eq!(counts, expected, "seed {seed}");
        assert_eq!(log.len(), events.len() as u64, "seed {seed}");
        assert!(log.iter().eq(events.iter().copied()), "seed {seed}");
        for _ in 0..20 {
            let (start, end) = (dice.below(log.len()), dice.below(log.len() + 10));
            let part = &events[start as usize..(end.min(log.len()).max(start)) as usize];
            assert_eq!(log.to_vec(start, end).unwrap(), part, "seed {seed}: {start}..{end}");
            assert!(log.range(start, end).eq(part.iter().copied()), "seed {seed}: {start}..{end}");
            assert_eq!(log.get(start), events.get(start as usize).copied());
        }
        assert_eq!(log.get(log.len()), None);
    }
}

#[test]
fn loops_are_short() {
    let mut store = Event { aux: 7, ..Event::of(Kind::STORE) };
    let mut events = Vec::new();
    for _ in 0..10_000 {
        events.extend([store, Event::of(Kind::BAR)]);
        (store.va, store.addr, store.new) = (store.va + 0x1000, store.addr + 8, store.new + 0x1000);
    }
    let (log, _) = record(&events);
    assert!(log.iter().eq(events));
    assert!(log.bytes() < 1000, "{} bytes", log.bytes());
}

const PAGE: u64 = 4096;

fn va_of(backend: &str, page: u64) -> u64 {
    let start = match backend {
        "arm64" => 0xffff_8000_8000_0000,
        "x86-32" => 0xf880_0000,
        _ => 0xffff_c900_0000_0000,
    };
    start + page * PAGE
}

/// One operation on a few hundred pages around a table boundary.
fn any_op(dice: &mut Dice, backend: &str) -> Value {
    let va = va_of(backend, dice.below(64) * 16);
    let pages = 1 + dice.below(300);
    let size = pages * PAGE;
    let pa = 0x1000_0000 + dice.below(1 << 12) * PAGE;
    let user = [1, 0][dice.below(2) as usize];
    let kind = dice.of(&[
        "set",
        "clear",
        "wrprotect",
        "get-and-clear",
        "pause-set",
        "nested-set",
        "try-set",
        "protect",
        "set-read-back",
        "count",
    ]);
    let (mm, at) = if user == 1 { (1, 0x40_0000 + dice.below(64) * PAGE) } else { (0, va) };
    let prot = dice.of(&["PAGE_KERNEL", "PAGE_KERNEL", "PAGE_KERNEL", "0"]);
    match dice.below(14) {
        0..=2 => json!({"vmap_range_noflush": {"va": va, "size": size, "pa": pa, "max_shift": dice.of(&[12, 12, 21])}}),
        3 => {
            json!({"vmap_pages_range": {"va": va, "pages": {"count": pages, "start": pa, "step": dice.of(&[0, 0x2000])}}})
        }
        4 => json!({"vmap_pages_range": {"va": va, "pages": {"count": pages,
            "list": (0..pages).map(|_| 0x2000_0000 + dice.below(9999) * PAGE).collect::<Vec<_>>()}}}),
        5..=6 => json!({"vunmap_range": {"va": va, "size": size, "noflush": dice.below(2) == 0}}),
        7..=9 => json!({"apply_to_page_range": {"mm": mm, "va": at, "size": size, "create": dice.below(3) > 0,
            "callback": {"kind": kind, "pa": pa, "prot": prot, "set": dice.of(&[0, 1 << 7]), "clear": dice.of(&[0, 1, 2])}}}),
        10 => json!({"access": {"va": va + dice.below(size)}}),
        11 => {
            json!({dice.of(&["lazy_enable", "lazy_disable", "lazy_pause", "lazy_resume", "lazy_flush", "sleep"]): {}})
        }
        12 => json!({"irq": {"ops": [
            {"vmap_range_noflush": {"va": va + 0x40_0000, "size": size, "pa": pa, "max_shift": 12}}]}}),
        _ => json!({"pte": {"va": va, "step": dice.of(&["read", "clear", "wrprotect"])}}),
    }
}

fn run_both(dice: &mut Dice, spec: &Spec<'_>) -> Option<(Output, Output)> {
    let steps: Vec<_> =
        (0..1 + dice.below(12)).map(|_| json!({"op": any_op(dice, spec.backend), "task": dice.below(2)})).collect();
    let mut injections = Vec::new();
    for _ in 0..dice.below(3) {
        let op = any_op(dice, spec.backend);
        let at = dice.below(steps.len() as u64);
        injections
            .push(json!({"at": {"op": at, "event": dice.below(400)}, "irq": dice.of(&["hard", "soft"]), "ops": [op]}));
    }
    let program =
        json!({"cpus": 2, "mms": 1, "tasks": [{"mm": 1}, {"mm": 0, "cpu": 1}], "ops": steps, "injections": injections});
    let program = Program::from_json(&program.to_string()).unwrap();
    let slow = Spec { one_by_one: true, ..spec.clone() };
    let all = (run::run_program(spec, &program, Mode::Logged), run::run_program(&slow, &program, Mode::Logged));
    let checked = run::run_program(spec, &program, Mode::Checked);
    match (all, checked) {
        ((Ok(quick), Ok(slow)), Ok(checked)) => {
            assert_eq!((checked.total, checked.counts, &checked.findings), (slow.total, slow.counts, &slow.findings));
            Some((quick, slow))
        }
        ((Err(quick), Err(slow)), Err(_)) => {
            assert_eq!(quick, slow);
            None
        }
        (all, checked) => panic!("one way fails, the other does not: {all:?} {checked:?}"),
    }
}

#[test]
fn runs_are_the_same_without_cycles() {
    let mut dice = Dice(7);
    let (mut done, mut cycled, mut found) = (0, 0, 0);
    for backend in ["x86-64", "arm64", "x86-32", "xen-pv"] {
        for scheme in ["v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0"] {
            for _ in 0..25 {
                let spec = Spec { backend, scheme, ..Spec::default() };
                let Some((quick, slow)) = run_both(&mut dice, &spec) else { continue };
                let place = format!("{backend} {scheme}, run {done}");
                assert_eq!(quick.results, slow.results, "{place}");
                assert_eq!((quick.total, quick.counts), (slow.total, slow.counts), "{place}");
                assert_eq!(quick.findings, slow.findings, "{place}");
                assert!(quick.events.iter().eq(slow.events.iter()), "{place}");
                assert_eq!((quick.injected, quick.missed), (slow.injected, slow.missed), "{place}");
                done += 1;
                found += quick.findings.len();
                cycled += usize::from(quick.events.bytes() < slow.events.bytes() / 2);
            }
        }
    }
    assert!(done > 200 && cycled > 60 && found > 200, "too tame: {done} runs, {cycled} with cycles, {found} findings");
}

#[test]
fn a_full_log_ends_the_run_with_an_error() {
    let spec = Spec { backend: "arm64", scheme: "v7.0", log_limit: Some(10_000), ..Spec::default() };
    let mut machine = run::boot(&spec, &Setup { cpus: 1, mms: 0, tasks: Vec::new() }, Mode::Logged).unwrap();
    let pages: Vec<u64> = (0..400u64).map(|n| (n * n % 397 + 0x1_0000) * PAGE).collect();
    let va = va_of("arm64", 0);
    let scattered = json!({"ops": [{"op": {"vmap_pages_range": {"va": va, "pages": {"count": 400, "list": pages}}}}]});
    let scattered = Program::from_json(&scattered.to_string()).unwrap();
    let error = machine.run(&scattered.ops, &[], &mut || true).unwrap_err();
    assert!(
        matches!(error, RunError::Op { op: 0, error: OpError::LogFull { limit: 10_000, events: 100.. } }),
        "{error}"
    );
    // A long loop needs little room, and the next run begins with an empty log.
    let far = va_of("arm64", 1 << 20);
    let map =
        json!({"ops": [{"op": {"vmap_range_noflush": {"va": far, "size": 512 * PAGE, "pa": 0, "max_shift": 12}}}]});
    let map = Program::from_json(&map.to_string()).unwrap();
    let output = machine.run(&map.ops, &[], &mut || true).unwrap();
    assert!(output.total > 512 && output.total == output.events.len(), "{}", output.total);
    assert_eq!(output.events.get(0).and_then(|e| e.kind()), Some(Kind::OP));
}
