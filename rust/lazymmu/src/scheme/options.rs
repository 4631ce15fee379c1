//! Dated facts: what changed between releases, or between builds, apart from where hooks stand.
//!
//! A scheme fixes a default for each; a run may override any. Values are text on the outside.

use std::fmt;

/// An option that does not exist, or a value it cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("unknown option {name:?}: expected one of {}", .known.join(", "))]
    Unknown { name: String, known: Vec<&'static str> },
    #[error("option {name}: {value:?} is not one of {}", .expected.join(", "))]
    Value { name: &'static str, value: String, expected: Vec<&'static str> },
}

/// A value of an option.
pub trait OptionValue: Copy {
    fn parse(text: &str) -> Option<Self>;
    fn text(self) -> &'static str;
    fn expected() -> Vec<&'static str>;
}

impl OptionValue for bool {
    fn parse(text: &str) -> Option<bool> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
    fn text(self) -> &'static str {
        if self { "true" } else { "false" }
    }
    fn expected() -> Vec<&'static str> {
        vec!["true", "false"]
    }
}

macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl OptionValue for $name {
            fn parse(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
            fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
            fn expected() -> Vec<&'static str> {
                vec![$($text,)*]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

choice! {
    /// What the physical-range walkers make of an error from below.
    ChildErrors {
        /// Every level returns -ENOMEM (up to v7.0).
        Enomem = "enomem",
        /// The error is returned as it is (7.3).
        Unchanged = "unchanged",
    }
}

choice! {
    /// How `vmap_pages_pte_range` leaves its loop on an error.
    ErrorExit {
        /// Out of the loop, to the common tail.
        Break = "break",
        /// Straight out of the function: the section stays open and the bit unset (v6.16-rc1).
        Return = "return",
    }
}

choice! {
    /// The lazy MMU API that generic code calls.
    LazyApi {
        /// `arch_enter_lazy_mmu_mode` and `arch_leave_lazy_mmu_mode` (up to v6.19).
        Plain = "plain",
        /// `lazy_mmu_mode_enable` and its kin, counted per task (v7.0).
        Counted = "counted",
    }
}

choice! {
    /// What the plain API does in interrupt context on arm64.
    LazyIrq {
        /// It works on the interrupted task's flags (v6.16-rc1).
        Acts = "acts",
        /// It is ignored, and barriers are immediate (v6.16).
        Ignored = "ignored",
    }
}

choice! {
    /// When arm64 completes a valid kernel entry with DSB ISHST; ISB.
    Arm64Barriers {
        /// After each store (up to v6.15).
        EachStore = "each-store",
        /// At the end of begin/end, if the task is inside one.
        BeginEnd = "begin-end",
        /// At the end of a lazy section, by thread flag (v6.16).
        LazyFlag = "lazy-flag",
        /// At the end of a lazy section, by the generic counters (v7.0).
        LazyActive = "lazy-active",
    }
}

choice! {
    /// How Xen PV keeps its lazy mode.
    XenLazy {
        /// Per CPU, nesting of the same mode counted (v6.6 to v6.14).
        Nested = "nested",
        /// Per CPU, nesting is a BUG (v6.15 to v6.19).
        Single = "single",
        /// Per CPU, re-entered by the context switch from the task's counters (v7.0 as released).
        PerCpuCounts = "per-cpu-counts",
        /// No CPU state: the task's counters decide (7.2, 7.3).
        TaskCounts = "task-counts",
    }
}

macro_rules! options {
    ($($name:ident: $type:ty = $default:expr, $doc:literal;)*) => {
        /// All dated facts of one run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Options { $(#[doc = $doc] pub $name: $type,)* }

        impl Options {
            /// v6.12 as Debian's 6.12.117 has it.
            pub const BASE: Options = Options { $($name: $default,)* };

            /// Name and meaning of every option.
            pub const ALL: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $doc),)*];

            /// Sets one option from text.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
                match name {
                    $(stringify!($name) => {
                        self.$name = <$type>::parse(value).ok_or_else(|| OptionError::Value {
                            name: stringify!($name),
                            value: value.to_owned(),
                            expected: <$type>::expected(),
                        })?;
                        Ok(())
                    })*
                    _ => Err(OptionError::Unknown {
                        name: name.to_owned(),
                        known: Options::ALL.iter().map(|(n, _)| *n).collect(),
                    }),
                }
            }

            /// Name, value and possible values of every option.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
                vec![$((stringify!($name), self.$name.text(), <$type>::expected()),)*]
            }
        }
    };
}

options! {
    child_errors: ChildErrors = ChildErrors::Enomem,
        "what the physical-range walkers return when a level below fails";
    vmap_alignment_check: bool = false,
        "vmap_pte_range refuses an unaligned range with -EINVAL (7.3)";
    pages_error_exit: ErrorExit = ErrorExit::Break,
        "how vmap_pages_pte_range leaves its loop on an error";
    huge_table_trylock: bool = true,
        "a huge vmap over a table needs init_mm's mmap lock, which a dump holds (6.12.105, v7.2)";
    partial_unmap_warn: bool = false,
        "unmapping a part of a huge leaf warns (v6.16)";
    hugetlb: bool = true,
        "CONFIG_HUGETLB_PAGE: without it vmap makes no contiguous entries";
    huge_vmap: bool = true,
        "huge leaves in vmap and ioremap (false: nohugeiomap)";
    lazy_api: LazyApi = LazyApi::Plain,
        "the lazy MMU API of generic code";
    lazy_irq: LazyIrq = LazyIrq::Acts,
        "what the plain lazy API does in interrupt context on arm64";
    begin_end_pending: bool = false,
        "begin/end v1: end() emits a barrier only if one was queued";
    begin_end_init_mm_only: bool = false,
        "begin/end is called for init_mm only (patch 13/14)";
    begin_end_lazy: bool = false,
        "begin enters lazy MMU mode and end leaves it where the backend has one";
    begin_end_flush_links: bool = false,
        "a new table's link is followed by a flush of the lazy queue: a repair of begin-end-lazy, to see what breaks next";
    arm64_barriers: Arm64Barriers = Arm64Barriers::EachStore,
        "when arm64 completes a valid kernel entry";
    arm64_cont_vmap: bool = false,
        "vmap makes contiguous-PTE groups (v6.16)";
    arm64_block_vmap: bool = true,
        "vmap makes blocks (false: up to v6.17 with PTDUMP_DEBUGFS)";
    arm64_table_af: bool = false,
        "entries that lead to tables carry the access flag (7.x)";
    arm64_tlbi_all_at_limit: bool = false,
        "a kernel range of exactly PTRS_PER_PTE pages is flushed whole (7.3), not only a larger one";
    arm64_range_tlbi: bool = false,
        "kernel ranges use range TLBI (7.3 on a CPU with FEAT_TLBIRANGE)";
    arm64_bbml3: bool = false,
        "the CPU takes other sizes of live leaves without break-before-make and conflict aborts (BBML3, used from v6.17)";
    arm64_root_fixmap: bool = true,
        "the root of init_mm is read-only and written through a fixmap alias (rodata)";
    x86_64_sync: bool = true,
        "x86-64 defines ARCH_PAGE_TABLE_SYNC_MASK (v6.17, 6.12.48)";
    x86_shared_kernel_pmd: bool = false,
        "PAE processes share the kernel PMD page (up to v6.15 without PTI)";
    x86_pud_free_scratch: bool = true,
        "pud_free_pmd_page copies the pmds to a scratch page first (before 7.x)";
    x86_pse: bool = true,
        "the CPU has large pages";
    x86_gbpages: bool = true,
        "the CPU has 1 GiB pages";
    x86_global: bool = true,
        "kernel mappings are global (false: page-table isolation, or a Xen PV guest)";
    x86_pti: bool = false,
        "page-table isolation: user mode runs on a root of its own (not with two levels, nor under Xen)";
    riscv_svpbmt: bool = true,
        "the CPU has page-based memory types (Svpbmt)";
    riscv_napot_vmap: bool = false,
        "vmap makes 64 KiB groups (6.4 to 6.7, reverted)";
    riscv_svvptc: bool = false,
        "the CPU forgets by itself that an entry was invalid (Svvptc), so a fault that fills one fences nothing";
    highpte: bool = true,
        "user leaf tables may come from highmem (x86-32 up to v6.14)";
    kmap_flush: bool = true,
        "arch_kmap_local_post_map drains the lazy queue, as on x86";
    xen_lazy: XenLazy = XenLazy::Nested,
        "how Xen PV keeps its lazy mode";
    batched_user_ptes: bool = false,
        "mprotect and mremap work on batches of a large folio (v6.17)";
    pt_reclaim: bool = false,
        "MADV_DONTNEED of all that a leaf table maps frees the table (v6.14)";
    rcu_table_free: bool = true,
        "table pages of user address spaces are freed by RCU (x86: with PARAVIRT, from v6.14 always)";
    arm64_contpte: bool = true,
        "user mappings of large folios are folded into contiguous groups (v6.9)";
    arm64_flush_valid_only: bool = false,
        "mprotect flushes only entries that were valid (7.x)";
    arm64_flush_relaxed_local: bool = false,
        "an entry that a fault made more permissive is flushed on this CPU only (7.x)";
    s390_pte_batch: bool = false,
        "lazy sections keep the entries of their range in a cache of the CPU, and invalidate many with one IPTE (list, 2026)";
    s390_rdp: bool = false,
        "the CPU can take the protection of a valid entry away (facility 194, RDP)";
    s390_present_bits: bool = false,
        "segment-table entries have a present bit and their permissions elsewhere; PAGE_KERNEL_EXEC is PAGE_KERNEL (7.3, not 6.12)";
    xen_fork_balanced: bool = false,
        "a new task's first switch-in does not resume what was never paused (a cure for 7.2 and 7.3)";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_by_name() {
        let mut options = Options::BASE;
        assert_eq!(options.set("arm64_barriers", "lazy-flag"), Ok(()));
        assert_eq!(options.arm64_barriers, Arm64Barriers::LazyFlag);
        assert!(matches!(options.set("nonsense", "1"), Err(OptionError::Unknown { .. })));
        let error = options.set("huge_vmap", "maybe").map_err(|e| e.to_string());
        assert_eq!(error, Err("option huge_vmap: \"maybe\" is not one of true, false".to_owned()));
    }
}
