//! The loops over user mappings, event by event.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use lazymmu::event::{Event, Kind};
use lazymmu::run::{Ending, Mode, Output, Spec, boot};
use lazymmu::scenario::Program;
use serde_json::{Value, json};

const PAGE: u64 = 0x1000;
const USER: u64 = 0x4000_0000;
const RAM: u64 = 0x1_0000_0000;
const PMD: u64 = 0x20_0000;

const X86: (&str, &str) = ("x86-64", "x86-64-4level");
const XEN: (&str, &str) = ("xen-pv", "x86-64-4level");
const ARM: (&str, &str) = ("arm64", "arm64-4k-48");

/// Runs operations, and returns the events and results of the last of them.
fn last_of((backend, geometry): (&str, &str), scheme: &str, options: &[(&str, &str)], ops: Value) -> Output {
    let program: Program = serde_json::from_value(json!({ "mms": 2, "tasks": [{ "mm": 1 }], "ops": ops })).unwrap();
    let options: Vec<_> = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let spec = Spec { backend, geometry: Some(geometry), scheme, options: &options, ..Spec::default() };
    let mut machine = boot(&spec, &program.setup(), Mode::Logged).unwrap();
    let (tail, head) = program.ops.split_last().unwrap();
    machine.run(head, &[], &mut || true).unwrap();
    machine.run(std::slice::from_ref(tail), &[], &mut || true).unwrap()
}

fn last(place: (&str, &str), scheme: &str, ops: Value) -> Output {
    last_of(place, scheme, &[], ops)
}

fn events(output: &Output) -> Vec<Event> {
    output.events.iter().collect()
}

fn kinds(output: &Output) -> Vec<&'static str> {
    events(output).iter().map(|e| e.kind().unwrap().name()).collect()
}

/// Indices of the events of a kind.
fn places(output: &Output, kind: Kind) -> Vec<usize> {
    let is = |e: &Event| e.kind() == Some(kind);
    events(output).iter().enumerate().filter(|(_, e)| is(e)).map(|(n, _)| n).collect()
}

fn first(output: &Output, kind: Kind) -> usize {
    *places(output, kind).first().unwrap_or_else(|| panic!("no {} in {:?}", kind.name(), kinds(output)))
}

fn ret(output: &Output) -> i64 {
    let Ending::Returned { ret, .. } = output.results[0].ending else { panic!("{:?}", output.results) };
    ret
}

fn fault(page: u64, pages: u64) -> Value {
    json!({ "op": { "do_anonymous_page": { "mm": 1, "va": USER + page * PAGE, "pa": RAM + page * PAGE, "pages": pages } } })
}

fn run(op: Value) -> Value {
    json!({ "op": op })
}

#[test]
fn fork_allocates_first_then_locks_and_only_then_enters_lazy_mode() {
    for scheme in ["v6.12", "begin-end", "v6.16", "v7.0"] {
        let fork = run(json!({ "copy_page_range": { "mm": 1, "to": 2, "va": USER, "size": PAGE } }));
        let output = last(XEN, scheme, json!([fault(0, 1), fork]));
        assert_eq!(ret(&output), 0);
        let (locks, unlocks) = (places(&output, Kind::LOCK), places(&output, Kind::UNLOCK));
        let (enter, leave) = (first(&output, Kind::ENTER), first(&output, Kind::LEAVE));
        assert_eq!((locks.len(), unlocks.len()), (2, 2));
        assert!(places(&output, Kind::ALLOC).iter().all(|n| *n < locks[0]), "{scheme}");
        assert!(locks[1] < enter && enter < leave && leave < unlocks[0], "{scheme}");
        let log = events(&output);
        assert_eq!(log[locks[0]].addr, log[unlocks[1]].addr, "the child's is taken first and released last");
        assert!(output.findings.is_empty(), "{:?}", output.findings);
    }
}

#[test]
fn fork_write_protects_the_parent_by_a_trap_under_xen() {
    let fork = run(json!({ "copy_page_range": { "mm": 1, "to": 2, "va": USER, "size": 4 * PAGE } }));
    let output = last(XEN, "v7.0", json!([fault(0, 1), fault(1, 1), fork]));
    let protects: Vec<_> = events(&output).into_iter().filter(|e| e.kind() == Some(Kind::STORE) && e.mm == 1).collect();
    assert_eq!(protects.len(), 2);
    assert!(protects.iter().all(|e| e.old & 2 != 0 && e.new & 2 == 0));
    assert_eq!(output.counts.traps, 2);
    // The child's entries are queued, and written when lazy mode ends.
    let queued = places(&output, Kind::QUEUE);
    assert!(queued.iter().filter(|n| **n > first(&output, Kind::ENTER)).count() >= 2);
}

#[test]
fn a_failed_allocation_ends_fork_outside_of_locks() {
    let fork = json!({ "op": { "copy_page_range": { "mm": 1, "to": 2, "va": USER, "size": PAGE } }, "fail_alloc": 2 });
    let output = last(X86, "v7.0", json!([fault(0, 1), fork]));
    assert_eq!(ret(&output), -12);
    assert!(places(&output, Kind::LOCK).is_empty());
}

#[test]
fn unmapping_invalidates_before_it_frees() {
    let unmap = run(json!({ "unmap_region": { "mm": 1, "vmas": [{ "start": USER, "end": USER + PMD }] } }));
    for place in [X86, ARM, XEN] {
        let output = last(place, "v7.0", json!([fault(0, 1), fault(1, 1), unmap]));
        let log = events(&output);
        let flushes = places(&output, Kind::TLBI);
        let freed = |level: u8| -> Vec<usize> {
            let is = |n: &&usize| log[**n].level == level;
            places(&output, Kind::FREE).iter().filter(is).copied().collect()
        };
        assert!(!flushes.is_empty());
        assert!(freed(1).iter().chain(&freed(0)).all(|n| flushes[0] < *n), "{place:?}");
        assert_eq!((freed(1).len(), freed(2).len(), freed(3).len()), (1, 1, 1));
        // Tables wait for RCU; pages do not.
        let rcu = first(&output, Kind::CALL_RCU);
        assert_eq!(log[rcu].old, 3);
        assert!(freed(1)[0] > rcu && freed(1)[0] == log.len() - 1 - (3 + 1), "tables, and the page of their list");
        assert!(flushes.iter().any(|n| *n < rcu && log[*n].level == 0), "walk caches, too");
    }
}

#[test]
fn without_rcu_tables_are_freed_behind_the_flush() {
    let unmap = run(json!({ "unmap_region": { "mm": 1, "vmas": [{ "start": USER, "end": USER + PMD }] } }));
    let output = last_of(X86, "v7.0", &[("rcu_table_free", "false")], json!([fault(0, 1), unmap]));
    assert!(places(&output, Kind::CALL_RCU).is_empty());
    let log = events(&output);
    let levels: Vec<_> = places(&output, Kind::FREE).iter().map(|n| log[*n].level).collect();
    assert_eq!(levels, [0, 1, 2, 3], "in the order in which the gather got them");
}

#[test]
fn tables_that_neighbours_need_stay() {
    let unmap = |floor: u64, ceiling: u64| {
        let vmas = json!([{ "start": USER, "end": USER + PAGE }]);
        run(json!({ "unmap_region": { "mm": 1, "vmas": vmas, "floor": floor, "ceiling": ceiling } }))
    };
    let freed = |floor, ceiling| last(X86, "v7.0", json!([fault(0, 1), unmap(floor, ceiling)])).counts.frees;
    let all = freed(0, 0);
    // A neighbour in the same leaf table, in the next one, in the same pud table.
    assert_eq!(all - freed(0, USER + 2 * PAGE), 4, "three tables and the page of their list");
    assert_eq!(all - freed(0, USER + PMD), 2);
    assert_eq!(all - freed(USER, 0), 1, "the pud table reaches below the floor");
}

#[test]
fn a_gather_takes_more_pages_inside_the_section() {
    // Six places of the gather itself are used before the next page is needed.
    let zap = |pages: u64| run(json!({ "zap_page_range": { "mm": 1, "va": USER, "size": pages * PAGE } }));
    let batches = |pages: u64| {
        let ops: Vec<_> = (0..pages).map(|n| fault(n, 1)).chain([zap(pages)]).collect();
        let output = last(X86, "v6.12", json!(ops));
        assert_eq!(output.counts.tlbi, pages, "one flush");
        let inside = places(&output, Kind::ALLOC).iter().all(|n| *n > first(&output, Kind::LOCK));
        (places(&output, Kind::ALLOC).len(), inside)
    };
    assert_eq!(batches(6), (0, true));
    assert_eq!(batches(7), (1, true));
}

#[test]
fn dirty_pages_of_a_file_are_flushed_under_the_lock() {
    let map = |write: bool| run(json!({ "finish_fault": { "mm": 1, "va": USER, "pa": RAM, "write": write } }));
    let zap = run(json!({ "zap_page_range": { "mm": 1, "va": USER, "size": PAGE } }));
    for (write, inside) in [(true, true), (false, false)] {
        let output = last(X86, "v7.0", json!([map(write), zap]));
        assert_eq!(first(&output, Kind::TLBI) < first(&output, Kind::UNLOCK), inside);
        assert!(places(&output, Kind::FREE).is_empty(), "the page cache keeps it");
    }
}

#[test]
fn madvise_frees_emptied_tables_from_6_14_on() {
    let zap = run(json!({ "zap_page_range": { "mm": 1, "va": USER, "size": PMD } }));
    for (scheme, tables) in [("v6.12", 0), ("v7.0", 1)] {
        let output = last(X86, scheme, json!([fault(0, 1), zap]));
        let log = events(&output);
        let freed = places(&output, Kind::FREE).iter().filter(|n| log[**n].level == 1).count();
        assert_eq!(freed, tables, "{scheme}");
    }
}

#[test]
fn mprotect_exchanges_words_but_xen_only_reads_and_queues() {
    let protect = run(json!({ "change_protection": { "mm": 1, "va": USER, "size": PAGE, "prot": "PAGE_READONLY" } }));
    let stores = |place| {
        let output = last(place, "v7.0", json!([fault(0, 1), protect]));
        assert_eq!(ret(&output), 1);
        (places(&output, Kind::STORE).len(), output.counts.traps)
    };
    assert_eq!(stores(X86), (2, 0), "cleared, then set");
    assert_eq!(stores(XEN), (1, 0), "one update, and nothing trapped");
}

#[test]
fn what_becomes_more_permissive_is_not_flushed_on_x86() {
    let protect = |prot: &str, writable: bool| {
        let args = json!({ "mm": 1, "va": USER, "size": PAGE, "prot": prot, "try_writable": writable });
        run(json!({ "change_protection": args }))
    };
    let none = protect("PAGE_NONE", false);
    let flushes = |ops| places(&last(X86, "v6.12", ops), Kind::TLBI).len();
    assert_eq!(flushes(json!([fault(0, 1), none])), 1);
    assert_eq!(flushes(json!([fault(0, 1), none, protect("PAGE_READONLY", true)])), 0, "it was not present");
}

#[test]
fn a_group_is_folded_by_its_last_fault_and_unfolded_before_a_part_changes() {
    let ops: Vec<_> = (0..16)
        .map(|n| {
            json!({ "op": { "finish_fault": {
        "mm": 1, "va": USER + n * PAGE, "pa": RAM + n * PAGE, "pages": 1 } } })
        })
        .collect();
    // One page each: sixteen folios are no group.
    let output = last(ARM, "v6.12", json!(ops));
    assert_eq!(places(&output, Kind::STORE).len(), 1);

    let output = last(ARM, "v6.12", json!([fault(0, 16)]));
    let leaves: Vec<_> =
        events(&output).into_iter().filter(|e| e.kind() == Some(Kind::STORE) && e.level == 1).collect();
    assert_eq!(leaves.len(), 16);
    assert!(leaves.iter().all(|e| e.new >> 52 & 1 == 1), "contiguous from the beginning");

    let protect = run(json!({ "change_protection": { "mm": 1, "va": USER, "size": PAGE, "prot": "PAGE_READONLY" } }));
    let output = last(ARM, "v6.12", json!([fault(0, 16), protect]));
    let log = events(&output);
    let flush = first(&output, Kind::TLBI);
    let before = log[..flush].iter().filter(|e| e.kind() == Some(Kind::STORE)).count();
    assert_eq!(before, 16, "all broken before the invalidation");
    assert!(log[..flush].iter().filter(|e| e.kind() == Some(Kind::STORE)).all(|e| e.new == 0));
    assert_eq!(places(&output, Kind::STORE).len(), 16 + 16 + 2);
}

#[test]
fn a_whole_group_is_cleared_without_being_taken_apart() {
    let zap = run(json!({ "zap_page_range": { "mm": 1, "va": USER, "size": 16 * PAGE } }));
    let output = last(ARM, "v6.12", json!([fault(0, 16), zap]));
    assert_eq!(places(&output, Kind::STORE).len(), 16);
    assert_eq!(places(&output, Kind::TLBI).len(), 1);
    assert_eq!(places(&output, Kind::FREE).len(), 1, "one folio");
}

#[test]
fn moving_a_table_stores_two_entries_moving_pages_two_each() {
    let up =
        |size: u64| run(json!({ "move_page_tables": { "mm": 1, "va": USER, "to": USER + 2 * PMD, "size": size } }));
    let output = last(X86, "v6.12", json!([fault(0, 1), fault(1, 1), up(PMD)]));
    assert_eq!(ret(&output), PMD as i64);
    assert_eq!(places(&output, Kind::STORE).len(), 2);
    let output = last(X86, "v6.12", json!([fault(0, 1), fault(1, 1), up(2 * PAGE)]));
    assert_eq!(ret(&output), 2 * PAGE as i64);
    // Also the target's leaf table is linked.
    assert_eq!(places(&output, Kind::STORE).len(), 1 + 4);
    assert!(first(&output, Kind::TLBI) < first(&output, Kind::UNLOCK), "nobody may free the pages earlier");
}

#[test]
fn looking_at_ages_flushes_nothing_except_where_one_page_is_asked_for_on_arm64() {
    let walk = run(json!({ "walk_pte_range": { "mm": 1, "va": USER, "size": PAGE } }));
    let one = run(json!({ "ptep_clear_flush_young": { "mm": 1, "va": USER } }));
    for (place, flushes) in [(X86, 0), (ARM, 1)] {
        let output = last(place, "v6.12", json!([fault(0, 1), walk]));
        assert_eq!((ret(&output), output.counts.tlbi), (1, 0));
        let output = last(place, "v6.12", json!([fault(0, 1), one]));
        assert_eq!((ret(&output), output.counts.tlbi), (1, flushes));
        // Begun, and not waited for.
        assert_eq!(places(&output, Kind::DSB).len() as u64, flushes);
    }
}

#[test]
fn an_ending_address_space_on_arm64_invalidates_its_walk_caches_only() {
    let exit = run(json!({ "exit_mmap": { "mm": 1, "vmas": [{ "start": USER, "end": USER + PMD }] } }));
    let output = last(ARM, "v6.12", json!([fault(0, 1), exit]));
    assert_eq!((output.counts.tlbi, output.counts.tlbi_all), (1, 1));
}

#[test]
fn operations_without_a_model_are_refused() {
    let program: Program = serde_json::from_value(json!({ "mms": 1, "ops": [
        { "op": { "do_huge_pmd_anonymous_page": { "mm": 1, "va": USER, "pa": 0x4000_0000 } } },
    ] }))
    .unwrap();
    let spec = Spec { backend: XEN.0, geometry: Some(XEN.1), scheme: "v7.0", ..Spec::default() };
    let mut machine = boot(&spec, &program.setup(), Mode::Logged).unwrap();
    let error = machine.run(&program.ops, &[], &mut || true).unwrap_err();
    assert!(error.to_string().contains("not modelled"), "{error}");
}
