//! H12: two roots disagree about a kernel entry when the sync compares them.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::BugCode;
use crate::event::{Event, Kind};

static H12: Info = Info {
    code: "H12",
    name: "live change of a synced entry",
    rule: "at a sync an entry of another root is there and leads elsewhere than init_mm's",
    source: "facts 8 H12; vmalloc_sync_one, sync_global_pgds",
};

#[derive(Clone, Debug)]
pub(super) struct SyncMismatch;

impl Rule for SyncMismatch {
    fn info(&self) -> &'static Info {
        &H12
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::BUG]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if event.aux == BugCode::SyncMismatch as u32 {
            let queued = scene.track.pending().iter().any(|p| p.queued && p.covers(event.va));
            report.add(&H12, Severity::Breaks, event, scene, || {
                if queued {
                    "BUG: the copy was queued, and the check behind it reads the old entry".to_owned()
                } else {
                    "BUG: the entries lead to different tables".to_owned()
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Severity::Breaks;
    use crate::check::rules::testing::{map, on, with_mms};

    #[test]
    fn the_check_behind_a_queued_copy_reads_the_old_entry() {
        for (scheme, mms, found) in
            [("begin-end-lazy", 1, vec![Breaks]), ("begin-end-lazy", 0, vec![]), ("v6.12", 1, vec![])]
        {
            let bench = on("xen-pv", scheme).geometry("x86-32-pae").option("begin_end_flush_links", "true");
            let program = with_mms(mms, &[map(bench.page(0), 1)]);
            assert_eq!(bench.severities("H12", &program), found, "{scheme}, {mms} address spaces");
        }
    }
}
