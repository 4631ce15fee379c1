//! H1 and H2: a mapping is used before what completes its store has run.

use crate::check::{Info, Pending, Report, Rule, Scene, Severity};
use crate::event::codes::Outcome;
use crate::event::{Event, Kind};

static H1: Info = Info {
    code: "H1",
    name: "use before barrier",
    rule: "an access by the CPU that stored the entry, before the barrier or the drain that completes it",
    source: "facts 8 H1; arm64: DSB ISHST and ISB behind a valid kernel entry (arch/arm64/include/asm/pgtable.h)",
};

static H2: Info = Info {
    code: "H2",
    name: "use before barrier, other CPU",
    rule: "an access by another CPU before the writer's DSB or drain",
    source: "facts 8 H2; 7.1 CPU-to-CPU",
};

#[derive(Clone, Debug)]
pub(super) struct SameCpu;

#[derive(Clone, Debug)]
pub(super) struct OtherCpu;

/// Pending stores through which this access translates. A kmap slot is another rule's business.
fn pending<'a>(event: &'a Event, scene: &'a Scene<'_>) -> impl Iterator<Item = &'a Pending> {
    let outcome = event.aux >> 8;
    let memory_has_it = outcome == Outcome::Ok as u32 || outcome == Outcome::Repaired as u32;
    scene
        .track
        .pending()
        .iter()
        .filter(move |p| p.covers(event.va) && (p.queued || memory_has_it) && !scene.track.is_kmap(event.va))
}

fn story(p: &Pending, scene: &Scene<'_>) -> String {
    let at = scene.event(p.event);
    if p.queued {
        format!("the store queued at {at} is not in memory yet")
    } else if p.dsb_done {
        format!("the store at {at} is visible to walkers, but no ISB followed on this CPU")
    } else {
        format!("the store at {at} has no barrier yet: a walker may still see the old entry")
    }
}

impl Rule for SameCpu {
    fn info(&self) -> &'static Info {
        &H1
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::ACCESS]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if let Some(p) = pending(event, scene).find(|p| p.cpu == event.cpu) {
            report.add(&H1, Severity::Breaks, event, scene, || story(p, scene));
        }
    }
}

impl Rule for OtherCpu {
    fn info(&self) -> &'static Info {
        &H2
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::ACCESS]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if let Some(p) = pending(event, scene).find(|p| p.cpu != event.cpu && !p.dsb_done && !p.seen_by(event.cpu)) {
            report.add(&H2, Severity::Breaks, event, scene, || format!("cpu{}: {}", p.cpu, story(p, scene)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Breaks;
    use crate::check::rules::testing::{access, inject, link, map, on, plain, set};

    #[test]
    fn a_mapping_is_used_inside_the_scope() {
        for (scheme, kind, found) in
            [("begin-end", "STORE", vec![Breaks]), ("begin-end", "END", vec![]), ("v6.12", "BAR", vec![])]
        {
            let bench = on("arm64", scheme);
            let page = bench.page(0);
            let program = inject(&[link(page), map(page, 1)], kind, &json!({}), &[access(page)]);
            assert_eq!(bench.severities("H1", &program), found, "{scheme} after {kind}");
        }
        let coherent = on("x86-64", "begin-end");
        let page = coherent.page(0);
        let program = inject(&[link(page), map(page, 1)], "STORE", &json!({}), &[access(page)]);
        assert!(coherent.severities("H1", &program).is_empty());
    }

    #[test]
    fn a_mapping_is_used_while_its_store_is_queued() {
        let bench = on("xen-pv", "v6.12");
        let page = bench.page(0);
        let before = [link(page), plain("lazy_enable"), set(page)];
        let after = [access(page), plain("lazy_disable")];
        let queued = json!([before.as_slice(), &after].concat());
        assert_eq!(bench.severities("H1", &queued), [Breaks]);
        let flushed = json!([before.as_slice(), &[plain("lazy_flush")], &after].concat());
        assert!(bench.severities("H1", &flushed).is_empty());
    }

    #[test]
    fn another_cpu_uses_the_mapping_inside_the_scope() {
        let bench = on("arm64", "begin-end");
        let page = bench.page(0);
        let other = json!({ "cpu": 1 });
        for (kind, found) in [("STORE", vec![Breaks]), ("END", vec![])] {
            let program = inject(&[link(page), map(page, 1)], kind, &other, &[access(page)]);
            assert_eq!(bench.severities("H2", &program), found, "after {kind}");
            assert!(bench.severities("H1", &program).is_empty());
        }
    }

    #[test]
    fn messages_count_events_from_the_beginning_of_the_run() {
        let bench = on("arm64", "v6.16");
        let (first, second) = (bench.page(0), bench.page(2));
        let found = bench.runs(&[
            json!([link(first), plain("lazy_enable"), set(first)]),
            json!([access(first), set(second), access(second)]),
        ]);
        let messages: Vec<_> = found[1].iter().map(|f| (f.event, f.message.as_str())).collect();
        let rest = "has no barrier yet: a walker may still see the old entry";
        assert_eq!(found[0], []);
        assert_eq!(
            messages,
            [
                (1, &*format!("the store at an event of an earlier run {rest}")),
                (7, &*format!("the store at event 4 {rest}"))
            ]
        );
    }
}
