//! The derived sets: what a CPU may use, given a log of effects.

use std::sync::Arc;

use lazymmu::visibility::{
    Effect, Ets, FaultKind, Fence, Initial, Invalidation, Log, Ordering, OwnInvalidation, Profile, Regime, Request,
    Scope, Source, Strength, View, Walk, walks,
};

const TABLE: u64 = 0x4000_0000;
const ENTRY: u64 = TABLE + 8;
const PAGE: u64 = 0x1000;
const OLD: u64 = 0x1_0000_1000 | 3 | 1 << 10 | 1 << 6;
const NEW: u64 = 0x1_0000_2000 | 3 | 1 << 10 | 1 << 6;

fn regime() -> Regime {
    Regime {
        root: TABLE,
        level: 3,
        asid: 0,
        view: View::default(),
        hardware_access: false,
        hardware_dirty: false,
        user: false,
    }
}

fn request() -> Request {
    Request { address: PAGE, view: View::default(), ordered: View::default(), write: false, dirties: true }
}

fn write(cpu: u8, value: u64) -> Effect {
    Effect::Write { cpu, cell: ENTRY, value, source: Source::Program }
}

fn found(profile: &Profile, cpu: &Ordering, initial: u64, settled: &[Effect]) -> Vec<Walk> {
    let initial = Initial::new(vec![(ENTRY, initial)]);
    let log = Log { initial: &initial, settled, ahead: &[] };
    let mut touched = Vec::new();
    let walks = walks(&log, profile, cpu, &regime(), &request(), &mut touched);
    assert_eq!(touched, [ENTRY]);
    walks
}

fn results(walks: &[Walk]) -> Vec<Result<u64, FaultKind>> {
    walks.iter().map(|w| w.result).collect()
}

#[test]
fn a_replaced_entry_may_still_be_cached() {
    let walks = found(&Profile::armv8(), &Ordering::new(1), OLD, &[write(0, NEW)]);
    assert_eq!(results(&walks), [Ok(0x1_0000_1000), Ok(0x1_0000_2000)]);
    assert_eq!(walks[1].view, View::at(1));
}

#[test]
fn an_invalid_entry_is_read_as_memory_is() {
    let mut cpu = Ordering::new(1);
    let both = found(&Profile::armv8(), &cpu, 0, &[write(0, NEW)]);
    assert_eq!(results(&both), [Err(FaultKind::Translation), Ok(0x1_0000_2000)]);
    // Once context is synchronised after the store, the old one is gone.
    cpu.context = View::at(1);
    assert_eq!(results(&found(&Profile::armv8(), &cpu, 0, &[write(0, NEW)])), [Ok(0x1_0000_2000)]);
    // RISC-V may keep it until SFENCE.VMA.
    assert_eq!(found(&Profile::rvwmo(), &cpu, 0, &[write(0, 0)]).len(), 2);
}

#[test]
fn a_completed_shootdown_ends_the_use_of_what_it_removed() {
    let invalidation = Invalidation { scope: Scope::ALL, since: 1, reaches: None };
    let done = Effect::Completed { cpu: 0, invalidations: Arc::from([invalidation]) };
    let log = [write(0, NEW), done];
    let mut cpu = Ordering::new(1);
    let walks = found(&Profile::armv8(), &cpu, OLD, &log);
    assert_eq!(walks[0].limit, 2);
    cpu.context = View::at(2);
    assert_eq!(results(&found(&Profile::armv8(), &cpu, OLD, &log)), [Ok(0x1_0000_2000)]);
}

#[test]
fn an_own_invalidation_is_felt_after_isb_and_with_ets2_after_dsb() {
    let invalidation = Invalidation { scope: Scope::ALL, since: 1, reaches: None };
    let mut cpu = Ordering::new(0);
    cpu.own.push(OwnInvalidation { invalidation, completed: Some(1), felt: false });
    let log = [write(0, NEW)];
    let base = Profile::armv8();
    assert_eq!(found(&base, &cpu, OLD, &log).len(), 2);
    let ets2 = Profile { ets: Ets::Ets2, ..Profile::armv8() };
    assert_eq!(results(&found(&ets2, &cpu, OLD, &log)), [Ok(0x1_0000_2000)]);
    cpu.synchronise_context(View::default());
    assert_eq!(results(&found(&base, &cpu, OLD, &log)), [Ok(0x1_0000_2000)]);
}

#[test]
fn an_invalidation_of_another_page_reaches_nothing() {
    let scope = Scope { page: Some(7), ..Scope::ALL };
    let mut cpu = Ordering::new(0);
    let invalidation = Invalidation { scope: Scope { all_tables: false, ..scope }, since: 1, reaches: None };
    cpu.own.push(OwnInvalidation { invalidation, completed: Some(1), felt: true });
    assert_eq!(found(&Profile::armv8(), &cpu, OLD, &[write(0, NEW)]).len(), 2);
}

#[test]
fn loads_see_the_log_from_their_lower_bound_on() {
    let initial = Initial::new(vec![(ENTRY, 5)]);
    let settled = [write(0, 6), write(0, 7)];
    let log = Log { initial: &initial, settled: &settled, ahead: &[] };
    let mut cpu = Ordering::new(1);
    let values = |cpu: &Ordering| -> Vec<u64> {
        let found = cpu.readings(&log, ENTRY, View::default(), Strength::Plain, u16::MAX);
        found.iter().map(|r| r.value).collect()
    };
    assert_eq!(values(&cpu), [5, 6, 7]);
    cpu.reads.raise(View::at(1));
    cpu.reads_returning.raise(View::at(1));
    let fence = Fence { reads: true, before_reads: true, ..Fence::default() };
    cpu.fence(fence, None);
    assert_eq!(values(&cpu), [6, 7]);
}
