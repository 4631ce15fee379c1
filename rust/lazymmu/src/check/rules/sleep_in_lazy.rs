//! H6: the task may, or does, give up the CPU inside a section.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::codes::Resched;
use crate::event::{Event, Kind};

static H6: Info = Info {
    code: "H6",
    name: "sleep in a lazy section",
    rule: "cond_resched, might_sleep or a sleep while stores or barriers are postponed and not paused",
    source: "facts 8 H6; 4.7",
};

#[derive(Clone, Debug)]
pub(super) struct SleepInLazy;

impl Rule for SleepInLazy {
    fn info(&self) -> &'static Info {
        &H6
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::RESCHED]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        let section = scene.track.section(event.task);
        let counted = scene.track.laws.counted && section.enable > 0 && section.pause == 0;
        if section.open() || counted {
            let what = Resched::from_code(event.aux).map_or("?", Resched::text);
            report.add(&H6, Severity::Contract, event, scene, || what.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::Contract;
    use crate::check::rules::testing::{on, plain};

    #[test]
    fn a_task_may_sleep_in_a_section() {
        let inside = json!(["lazy_enable", "might_sleep", "lazy_disable"].map(plain));
        let behind = json!(["lazy_enable", "lazy_disable", "might_sleep"].map(plain));
        assert_eq!(on("arm64", "v6.16").severities("H6", &inside), [Contract]);
        assert!(on("arm64", "v6.16").severities("H6", &behind).is_empty());
        assert!(on("arm64", "v6.12").severities("H6", &inside).is_empty());
    }

    #[test]
    fn a_paused_section_may_sleep() {
        let enabled = json!(["lazy_enable", "cond_resched"].map(plain));
        let paused = json!(["lazy_enable", "lazy_pause", "cond_resched"].map(plain));
        assert_eq!(on("arm64", "v7.0").severities("H6", &enabled), [Contract]);
        assert!(on("arm64", "v7.0").severities("H6", &paused).is_empty());
    }
}
