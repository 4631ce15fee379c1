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

fn story(p: &Pending) -> String {
    if p.queued {
        format!("the store queued at event {} is not in memory yet", p.event)
    } else if p.dsb_done {
        format!("the store at event {} is visible to walkers, but no ISB followed on this CPU", p.event)
    } else {
        format!("the store at event {} has no barrier yet: a walker may still see the old entry", p.event)
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
            report.add(&H1, Severity::Breaks, event, scene, || story(p));
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
        if let Some(p) = pending(event, scene).find(|p| p.cpu != event.cpu && !p.dsb_done) {
            report.add(&H2, Severity::Breaks, event, scene, || format!("cpu{}: {}", p.cpu, story(p)));
        }
    }
}
