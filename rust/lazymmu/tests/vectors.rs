//! Conformance vectors of the facts (sections 10, V1 to V16 and W1 to W10), through the whole stack.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use lazymmu::check::Severity;
use lazymmu::event::Kind;
use lazymmu::run::{Ending, Mode, Output, Spec, boot};
use lazymmu::scenario::{Addr, CallbackSpec, Injection, Op, OpStep, Point, Program, ProtSpec};
use lazymmu::walk::{Pages, PteFnKind};

const SCHEMES: [&str; 6] = ["v6.12", "begin-end", "begin-end-lazy", "v6.16-rc1", "v6.16", "v7.0"];

fn spec<'a>(backend: &'a str, geometry: &'a str, scheme: &'a str) -> Spec<'a> {
    Spec { backend, geometry: Some(geometry), scheme, ..Spec::default() }
}

fn vmalloc_start(geometry: &str) -> u64 {
    lazymmu::geometry::by_name(geometry).unwrap().layout.vmalloc_start
}

fn map(va: u64, count: u64) -> Op {
    let pages = Pages::run(0x1000_0000, count);
    Op::VmapPagesRange { va: Addr::Number(va), pages, prot: ProtSpec::default(), page_shift: 0, noflush: false }
}

fn unmap(va: u64, count: u64) -> Op {
    Op::VunmapRange { va: Addr::Number(va), size: count << 12, noflush: false }
}

fn apply(mm: u16, va: u64, count: u64, kind: PteFnKind, create: bool) -> Op {
    let callback =
        CallbackSpec { kind, pa: 0x1000_0000, prot: ProtSpec::default(), set: 0, clear: 0, fail_at: 0, error: 0 };
    Op::ApplyToPageRange { mm, va: Addr::Number(va), size: count << 12, callback: Some(callback), create }
}

/// Runs the operations one program after the other and returns the output of the last.
fn last(spec: &Spec<'_>, ops: Vec<Op>) -> Output {
    let program = Program { cpus: 2, mms: 1, ..Program::of(ops) };
    let mut machine = boot(spec, &program.setup(), Mode::Logged).unwrap();
    let (tail, head) = program.ops.split_last().unwrap();
    machine.run(head, &[], &mut || true).unwrap();
    machine.run(std::slice::from_ref(tail), &[], &mut || true).unwrap()
}

fn ret(output: &Output) -> (i64, u8) {
    let ending = &output.results[0].ending;
    let Ending::Returned { ret, mask, .. } = ending else { unreachable!("{ending:?}") };
    (*ret, mask.bits())
}

fn codes(output: &Output, severity: Severity) -> Vec<&'static str> {
    output.findings.iter().filter(|f| f.severity == severity).map(|f| f.code).collect()
}

#[test]
fn v1_barriers_of_a_map_into_existing_tables() {
    let va = vmalloc_start("arm64-4k-48");
    for (scheme, one, three) in
        [("v6.12", 40, 1100), ("begin-end", 1, 1), ("v6.16", 1, 3), ("v6.16-rc1", 1, 3), ("v7.0", 1, 3)]
    {
        let spec = spec("arm64", "arm64-4k-48", scheme);
        let output = last(&spec, vec![map(va, 1100), unmap(va, 1100), map(va, 40)]);
        assert_eq!(output.counts.barriers, one, "{scheme}: one table");
        let output = last(&spec, vec![map(va, 1100), unmap(va, 1100), map(va, 1100)]);
        assert_eq!(output.counts.barriers, three, "{scheme}: three tables");
    }
}

#[test]
fn v2_barriers_with_new_tables() {
    // The root slot of vmalloc exists; pud exists with it, so pmd and pte tables are new.
    let va = vmalloc_start("arm64-4k-48");
    for (scheme, barriers) in [("v6.12", 10 + 2), ("begin-end", 1), ("v6.16", 3), ("v7.0", 3)] {
        let output = last(&spec("arm64", "arm64-4k-48", scheme), vec![map(va, 10)]);
        assert_eq!((output.counts.allocs, output.counts.barriers), (2, barriers), "{scheme}");
    }
}

#[test]
fn v3_barriers_of_an_unmap() {
    let va = vmalloc_start("arm64-4k-48");
    for (scheme, barriers) in [("v6.12", 0), ("begin-end", 1), ("v6.16", 0), ("v7.0", 0)] {
        let output = last(&spec("arm64", "arm64-4k-48", scheme), vec![map(va, 40), unmap(va, 40)]);
        assert_eq!((output.counts.barriers, output.counts.tlbi), (barriers, 40), "{scheme}");
    }
}

#[test]
fn v4_counted_calls() {
    let va = vmalloc_start("arm64-4k-48");
    let ops = vec![
        map(va, 1),
        Op::Irq { kind: lazymmu::scenario::IrqKind::Hard, ops: vec![Op::LazyEnable {}, Op::LazyDisable {}] },
    ];
    let output = last(&spec("arm64", "arm64-4k-48", "v7.0"), ops);
    assert!(output.events.iter().all(|e| e.kind != Kind::ENTER as u8), "no effect in an interrupt");
    let trace = [Op::LazyEnable {}, Op::LazyEnable {}, Op::LazyPause {}, Op::LazyResume {}, Op::LazyDisable {}]
        .into_iter()
        .chain([Op::LazyDisable {}]);
    let program = Program::of(trace);
    let spec = spec("arm64", "arm64-4k-48", "v7.0");
    let output = lazymmu::run::run_program(&spec, &program, Mode::Logged).unwrap();
    let arch: Vec<_> = output
        .events
        .iter()
        .filter_map(|e| e.kind())
        .filter(|k| matches!(k, Kind::ENTER | Kind::LEAVE | Kind::LAZY_FLUSH))
        .collect();
    assert_eq!(arch, [Kind::ENTER, Kind::LEAVE, Kind::ENTER, Kind::LAZY_FLUSH, Kind::LEAVE]);
}

#[test]
fn v5_xen_hypercalls() {
    let va = vmalloc_start("x86-64-4level");
    for (n, hypercalls) in [(1, 1), (31, 1), (32, 2), (62, 2), (63, 3), (512, 17)] {
        let spec = spec("xen-pv", "x86-64-4level", "v7.0");
        let output = last(&spec, vec![map(va, 512), unmap(va, 512), map(va, n)]);
        assert_eq!((output.counts.hypercalls, output.counts.queued), (hypercalls, n), "{n} updates");
    }
}

#[test]
fn v7_and_v8_masks_and_syncs() {
    let va = vmalloc_start("x86-64-4level");
    let spec64 = spec("x86-64", "x86-64-4level", "v6.12");
    let output = last(&spec64, vec![map(va, 1)]);
    assert_eq!((ret(&output), output.counts.syncs), ((0, 0x1c), 0));
    let output = last(&spec64, vec![map(va, 1), map(va + 0x1000, 1)]);
    assert_eq!(ret(&output), (0, 0x10));
    let va = vmalloc_start("x86-32-pae");
    for geometry in ["x86-32-pae", "x86-32-2level"] {
        let output = last(&spec("x86-32", geometry, "v6.12"), vec![map(va, 1)]);
        assert_eq!((ret(&output), output.counts.syncs, output.counts.copied), ((0, 0x18), 1, 1), "{geometry}");
    }
}

#[test]
fn v9_contiguous_groups() {
    let va = vmalloc_start("arm64-4k-48");
    let spec = spec("arm64", "arm64-4k-48", "v7.0");
    let run = |va: u64, size: u64, pa: u64, max_shift: u32| {
        let op = Op::VmapRangeNoflush { va: Addr::Number(va), size, pa, prot: ProtSpec::default(), max_shift };
        let output = last(&spec, vec![op]);
        let cont = |e: &lazymmu::event::Event| e.level == 1 && e.kind == Kind::STORE as u8 && e.new & (1 << 52) != 0;
        output.events.iter().filter(cont).count()
    };
    assert_eq!(run(va, 0x1_0000, 0x1_0000, 16), 16);
    assert_eq!(run(va, 0x1_0000, 0x1_0000, 12), 0);
    assert_eq!(run(va, 0x1_0000, 0x1_1000, 16), 0);
    assert_eq!(run(va, 0xf000, 0x1_0000, 16), 0);
    assert_eq!(run(va, 0x2_1000, 0x1_0000, 16), 32);
}

#[test]
fn v10_a_failing_page_array() {
    let va = vmalloc_start("x86-64-4level");
    for scheme in SCHEMES {
        let mut pages = Pages::run(0x1000_0000, 5);
        pages.null_at = Some(3);
        let op = Op::VmapPagesRange {
            va: Addr::Number(va),
            pages,
            prot: ProtSpec::default(),
            page_shift: 0,
            noflush: false,
        };
        let output = last(&spec("x86-64", "x86-64-4level", scheme), vec![op]);
        let mask = if scheme == "v6.16-rc1" { 0x0c } else { 0x1c };
        assert_eq!(ret(&output), (-12, mask), "{scheme}");
        let lost = codes(&output, Severity::Contract).contains(&"H8");
        assert_eq!(lost, scheme == "v6.16-rc1", "{scheme}");
    }
}

#[test]
fn v11_and_v12_apply() {
    let va = vmalloc_start("arm64-4k-48");
    for scheme in SCHEMES {
        let spec = spec("arm64", "arm64-4k-48", scheme);
        let output = last(&spec, vec![apply(0, va + (1 << 30), 8, PteFnKind::Count, false)]);
        assert_eq!(output.results[0].ending, Ending::Returned { ret: 0, mask: Default::default(), calls: 0 });
        let op = Op::ApplyToPageRange { mm: 0, va: Addr::Number(va), size: 0x8000, callback: None, create: true };
        let output = last(&spec, vec![op]);
        assert_eq!(ret(&output), (0, 0x1c));
        assert_eq!(output.counts.allocs, 2);
    }
}

#[test]
fn v15_kernel_range_flush() {
    let va = vmalloc_start("arm64-4k-48");
    let flush = |scheme, pages: u64| {
        let op = Op::FlushTlbKernelRange { va: Addr::Number(va), size: pages << 12 };
        let output = last(&spec("arm64", "arm64-4k-48", scheme), vec![op]);
        (output.counts.tlbi, output.counts.tlbi_all)
    };
    assert_eq!((flush("v6.12", 512), flush("v6.12", 513)), ((512, 0), (1, 1)));
    assert_eq!((flush("v7.0", 511), flush("v7.0", 512)), ((511, 0), (1, 1)));
    let op =
        |pages: u64| Op::FlushTlbKernelRange { va: Addr::Number(vmalloc_start("x86-64-4level")), size: pages << 12 };
    let x86 = |pages| last(&spec("x86-64", "x86-64-4level", "v6.12"), vec![op(pages)]).counts;
    assert_eq!((x86(33).tlbi, x86(34).tlbi, x86(34).tlbi_all, x86(34).ipis), (33, 1, 1, 1));
}

#[test]
fn v16_zero_depth_disable() {
    let spec = spec("arm64", "arm64-4k-48", "v7.0");
    let output = last(&spec, vec![Op::LazyDisable {}]);
    assert_eq!(codes(&output, Severity::Breaks), ["H14"]);
    let disable = output.events.iter().find(|e| e.kind == Kind::DISABLE as u8).unwrap();
    assert_eq!((disable.old, disable.new), (0, 255));
    assert!(output.events.iter().any(|e| e.kind == Kind::LAZY_FLUSH as u8));
}

#[test]
fn w3_to_w5_huge_leaves() {
    let va = vmalloc_start("x86-64-4level");
    let vmap = |va: u64, size: u64, pa: u64, shift: u32| Op::VmapRangeNoflush {
        va: Addr::Number(va),
        size,
        pa,
        prot: ProtSpec::default(),
        max_shift: shift,
    };
    let spec64 = spec("x86-64", "x86-64-4level", "v6.12");
    let output = last(&spec64, vec![vmap(va, 0x40_1000, 0x4000_0000, 21)]);
    let huge =
        output.events.iter().filter(|e| e.kind == Kind::STORE as u8 && e.level == 2 && e.new & 0x80 != 0).count();
    assert_eq!((huge, ret(&output)), (2, (0, 0x1c)));
    let output = last(&spec64, vec![vmap(va, 0x40_1000, 0x4000_0000, 12)]);
    assert_eq!(output.counts.stores, 1025 + 3 + 1);
    // The empty table is freed: clear, flush, free, then the leaf.
    let order = |backend, geometry| {
        let va = vmalloc_start(geometry);
        let op =
            Op::VmapPageRange { va: Addr::Number(va), size: 0x20_0000, pa: 0x4000_0000, prot: ProtSpec::default() };
        let output = last(&spec(backend, geometry, "v6.12"), vec![map(va, 1), unmap(va, 1), op]);
        let wanted = [Kind::STORE, Kind::TLBI, Kind::FREE];
        output.events.iter().filter_map(|e| e.kind()).filter(|k| wanted.contains(k)).collect::<Vec<_>>()
    };
    let expected = [Kind::STORE, Kind::TLBI, Kind::FREE, Kind::STORE];
    assert_eq!(order("x86-64", "x86-64-4level"), expected);
    assert_eq!(order("arm64", "arm64-4k-48"), expected);
    assert_eq!(order("x86-32", "x86-32-pae").len(), 1024, "refused: 512 entries of two stores");
}

#[test]
fn w6_allocation_failure_keeps_what_was_mapped() {
    let va = vmalloc_start("x86-64-4level") + (1 << 39) - 0x1000;
    let spec = spec("x86-64", "x86-64-4level", "v6.12");
    let program = Program { ops: vec![OpStep { task: 0, op: map(va, 2), fail_alloc: Some(2) }], ..Program::of([]) };
    let output = lazymmu::run::run_program(&spec, &program, Mode::Logged).unwrap();
    assert_eq!(ret(&output).0, -12);
    assert_eq!(output.counts.allocs, 2);
    assert!(output.events.iter().any(|e| e.kind == Kind::ALLOC_FAIL as u8));
}

#[test]
fn w9_partial_unmap_of_a_group() {
    let va = vmalloc_start("arm64-4k-48");
    let spec = spec("arm64", "arm64-4k-48", "v7.0");
    let op = Op::VmapPageRange { va: Addr::Number(va), size: 0x1_0000, pa: 0x4000_0000, prot: ProtSpec::default() };
    let output = last(&spec, vec![op, unmap(va, 8)]);
    assert_eq!(output.counts.stores, 16);
    assert!(codes(&output, Severity::Contract).contains(&"WARN"));
}

#[test]
fn begin_end_breaks_where_an_interrupt_maps_inside_the_scope() {
    let va = vmalloc_start("arm64-4k-48");
    let run = |scheme| {
        let mut program = Program::of([map(va, 4)]);
        program.injections = vec![Injection {
            at: Point { op: 0, event: None, kind: Some("STORE".to_owned()), nth: 2 },
            irq: Some(lazymmu::scenario::IrqKind::Hard),
            task: None,
            cpu: None,
            ops: vec![
                map(va + (1 << 21), 1),
                Op::Access { va: Addr::Number(va + (1 << 21)), kind: Default::default() },
            ],
        }];
        let output = lazymmu::run::run_program(&spec("arm64", "arm64-4k-48", scheme), &program, Mode::Logged).unwrap();
        codes(&output, Severity::Breaks)
    };
    // Inside the scope the interrupt's own end() emits the barrier, and leaves the interrupted task without its scope.
    assert_eq!(run("v6.12"), Vec::<&str>::new());
    assert_eq!(run("v6.16"), Vec::<&str>::new());
    assert_eq!(run("v7.0"), Vec::<&str>::new());
}

#[test]
fn a_queued_link_is_read_back_too_early() {
    let va = vmalloc_start("x86-64-4level");
    let run = |scheme| codes(&last(&spec("xen-pv", "x86-64-4level", scheme), vec![map(va, 1)]), Severity::Breaks);
    assert_eq!(run("begin-end-lazy"), ["H3", "BUG"]);
    for scheme in ["v6.12", "begin-end", "v6.16-rc1", "v6.16", "v7.0"] {
        assert_eq!(run(scheme), Vec::<&str>::new(), "{scheme}");
    }
}

#[test]
fn a_deferred_kmap_of_a_user_table() {
    let user = |kmap_flush: &str| {
        let options = [("kmap_flush".to_owned(), kmap_flush.to_owned())];
        let spec = Spec { options: &options, ..spec("xen-pv", "x86-32-pae", "begin-end-lazy") };
        // The table exists: only reaching it is at stake.
        let mut program = Program::of([apply(1, 0x1000_0000, 1, PteFnKind::Set, true)]);
        program.mms = 1;
        let mut machine = boot(&spec, &program.setup(), Mode::Logged).unwrap();
        let output = machine.run(&program.ops, &[], &mut || true).unwrap();
        codes(&output, Severity::Breaks)
    };
    assert!(user("true").contains(&"H3"), "the link of the table is queued");
    assert!(user("false").contains(&"H3"));
}

#[test]
fn fork_and_switch_on_xen() {
    let program = Program::of([Op::Fork { mm: None }, Op::Switch { to: 2 }]);
    let run =
        |scheme| lazymmu::run::run_program(&spec("xen-pv", "x86-64-4level", scheme), &program, Mode::Logged).unwrap();
    assert_eq!(codes(&run("v7.0"), Severity::Contract), ["H14"]);
    assert_eq!(codes(&run("v6.16"), Severity::Contract), Vec::<&str>::new());
}
