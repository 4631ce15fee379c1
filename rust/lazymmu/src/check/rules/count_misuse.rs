//! H14: the counters of the nestable API wrap.

use crate::check::{Info, Report, Rule, Scene, Severity};
use crate::event::{Event, Kind};

static H14: Info = Info {
    code: "H14",
    name: "misuse of the counts",
    rule: "enable or pause at 255, disable or resume at 0: the counter wraps",
    source: "facts 8 H14; include/linux/pgtable.h of 7.x",
};

/// The event carries this where the call had no effect.
const IGNORED: u32 = 1;

#[derive(Clone, Debug)]
pub(super) struct CountMisuse;

impl Rule for CountMisuse {
    fn info(&self) -> &'static Info {
        &H14
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::ENABLE, Kind::DISABLE, Kind::PAUSE, Kind::RESUME]
    }

    fn see(&mut self, event: &Event, scene: &Scene<'_>, report: &mut Report) {
        if event.aux == IGNORED {
            return;
        }
        let (enable, pause) = (event.old as u8, (event.old >> 8) as u8);
        let wrapped = match event.kind() {
            Some(Kind::ENABLE) if enable == u8::MAX => {
                Some((Severity::Contract, "enable count 255 wraps to 0: the section is not lazy"))
            }
            Some(Kind::DISABLE) if enable == 0 => {
                Some((Severity::Breaks, "enable count 0 wraps to 255: everything after is postponed, nothing ends it"))
            }
            Some(Kind::PAUSE) if pause == u8::MAX => {
                Some((Severity::Breaks, "pause count 255 wraps to 0: paused code is lazy"))
            }
            Some(Kind::RESUME) if pause == 0 => {
                Some((Severity::Contract, "pause count 0 wraps to 255: the task never batches again"))
            }
            _ => None,
        };
        if let Some((severity, story)) = wrapped {
            report.add(&H14, severity, event, scene, || story.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::Severity::{Breaks, Contract};
    use crate::check::rules::testing::{on, plain};

    #[test]
    fn counters_wrap_at_both_ends() {
        let bench = on("arm64", "v7.0");
        for (name, times, found) in [
            ("lazy_resume", 1, Contract),
            ("lazy_disable", 1, Breaks),
            ("lazy_enable", 256, Contract),
            ("lazy_pause", 256, Breaks),
        ] {
            let program = json!(vec![plain(name); times]);
            assert_eq!(bench.severities("H14", &program), [found], "{times} times {name}");
        }
        let balanced = json!(["lazy_enable", "lazy_pause", "lazy_resume", "lazy_disable"].map(plain));
        assert!(bench.severities("H14", &balanced).is_empty());
        let deep = json!([vec![plain("lazy_enable"); 255], vec![plain("lazy_disable"); 255]].concat());
        assert!(bench.severities("H14", &deep).is_empty());
    }
}
