//! Counts per kind, and the quantities that several kinds share.

use super::codes::{Hypercall, Store, Tlbi};
use super::cycle::Stretch;
use super::{Event, Kind};

/// How much of everything happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stores to table words.
    pub stores: u64,
    /// Stores put in a queue.
    pub queued: u64,
    /// Queue drains, empty ones too.
    pub flushes: u64,
    /// Entries into the hypervisor.
    pub hypercalls: u64,
    /// Writes to a read-only table page that the hypervisor had to emulate.
    pub traps: u64,
    /// `DSB ISHST; ISB` pairs.
    pub barriers: u64,
    /// Other DSBs.
    pub dsb: u64,
    /// Other ISBs.
    pub isb: u64,
    /// TLB invalidation instructions.
    pub tlbi: u64,
    /// Full TLB invalidations among them.
    pub tlbi_all: u64,
    /// Interrupts sent to other CPUs for a TLB invalidation.
    pub ipis: u64,
    /// Calls of `arch_sync_kernel_mappings`.
    pub syncs: u64,
    /// Roots visited by them.
    pub synced: u64,
    /// Entries that they copied.
    pub copied: u64,
    /// Table pages allocated.
    pub allocs: u64,
    /// Table pages freed.
    pub frees: u64,
    /// Temporary mappings of highmem pages.
    pub kmaps: u64,
    /// Lazy sections entered in the architecture.
    pub enters: u64,
    /// Accesses that a fault handler had to repair.
    pub repairs: u64,
    /// Context switches.
    pub switches: u64,
}

impl Counts {
    /// Names and values, in a fixed order.
    #[must_use]
    pub fn entries(&self) -> [(&'static str, u64); 20] {
        [
            ("stores", self.stores),
            ("queued", self.queued),
            ("flushes", self.flushes),
            ("hypercalls", self.hypercalls),
            ("traps", self.traps),
            ("barriers", self.barriers),
            ("dsb", self.dsb),
            ("isb", self.isb),
            ("tlbi", self.tlbi),
            ("tlbi_all", self.tlbi_all),
            ("ipis", self.ipis),
            ("syncs", self.syncs),
            ("synced", self.synced),
            ("copied", self.copied),
            ("allocs", self.allocs),
            ("frees", self.frees),
            ("kmaps", self.kmaps),
            ("enters", self.enters),
            ("repairs", self.repairs),
            ("switches", self.switches),
        ]
    }

    /// Counts an event.
    #[inline]
    pub fn add(&mut self, event: &Event) {
        self.add_times(event, 1);
    }

    /// Counts the events of a cycle.
    pub fn add_stretch(&mut self, stretch: &Stretch<'_>) {
        for (n, turning) in stretch.cycle.iter().enumerate() {
            let event = turning.event();
            if turning.step_old() == 0 || matches!(event.kind(), Some(Kind::STORE | Kind::QUEUE)) {
                self.add_times(&event, stretch.times(n));
            } else {
                // Of some kinds `old` is what is counted.
                (0..stretch.times(n)).for_each(|turn| self.add(&turning.after(turn)));
            }
        }
    }

    #[inline]
    fn add_times(&mut self, event: &Event, times: u64) {
        let Some(kind) = event.kind() else { return };
        match kind {
            Kind::STORE => {
                self.stores += times;
                if event.aux == Store::Sync as u32 {
                    self.copied += times;
                }
            }
            Kind::QUEUE => {
                self.queued += times;
                if event.aux == Store::Sync as u32 {
                    self.copied += times;
                }
            }
            Kind::FLUSH => self.flushes += times,
            Kind::HYPERCALL if event.aux == Hypercall::Emulate as u32 => self.traps += times,
            Kind::HYPERCALL => self.hypercalls += times,
            Kind::BAR => self.barriers += times,
            Kind::DSB => self.dsb += times,
            Kind::ISB => self.isb += times,
            Kind::TLBI => {
                self.tlbi += event.old * times;
                if Tlbi::from_code(event.aux).is_some_and(Tlbi::is_all) {
                    self.tlbi_all += times;
                }
            }
            Kind::IPI => self.ipis += u64::from(event.aux) * times,
            Kind::SYNC => self.syncs += times,
            Kind::SYNC_ONE => self.synced += times,
            Kind::ALLOC => self.allocs += times,
            Kind::FREE => self.frees += times,
            Kind::KMAP => self.kmaps += u64::from(event.aux == 0) * times,
            Kind::ENTER => self.enters += times,
            Kind::FAULT => self.repairs += u64::from(event.aux >> 8 != 0) * times,
            Kind::SWITCH => self.switches += times,
            _ => {}
        }
    }
}
