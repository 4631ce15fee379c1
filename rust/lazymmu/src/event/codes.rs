//! The small vocabularies that event fields use.

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($variant = $code,)* }

        impl $name {
            /// Code and text of every value.
            pub const ALL: &'static [($name, &'static str)] = &[$(($name::$variant, $text),)*];

            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// Every value as number and text.
            #[must_use]
            pub fn table() -> Vec<(u32, &'static str)> {
                Self::ALL.iter().map(|(value, text)| (*value as u32, *text)).collect()
            }

            #[must_use]
            pub const fn from_code(code: u32) -> Option<$name> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// In which context a step ran (`in_interrupt` is true for all but the first).
    Context {
        Task = 0 "task",
        SoftIrq = 1 "softirq",
        HardIrq = 2 "hardirq",
        Nmi = 3 "nmi",
    }
}

codes! {
    /// Why a table word was stored.
    Store {
        Set = 0 "set",
        Clear = 1 "clear",
        GetAndClear = 2 "get-and-clear",
        Populate = 3 "populate",
        Huge = 4 "huge",
        Sync = 5 "sync",
        Kmap = 6 "kmap",
        Protect = 7 "protect",
        TrySet = 8 "try-set",
        Drain = 9 "drain",
        ClearBad = 10 "clear-bad",
        Fixmap = 11 "fixmap",
        Hash = 12 "hash-fault",
        Young = 20 "clear-young",
        Flags = 21 "access-flags",
        Convert = 22 "contpte-convert",
        Invalidate = 23 "invalidate",
        UserCopy = 24 "user-copy",
    }
}

codes! {
    /// What a TLB invalidation names.
    Tlbi {
        Invlpg = 1 "invlpg",
        InvlpgAll = 2 "all-global",
        Cr3 = 3 "non-global",
        Vaale1is = 4 "vaale1is",
        Vaae1is = 5 "vaae1is",
        Vmalle1is = 6 "vmalle1is",
        Rvaale1is = 7 "rvaale1is",
        Mmuext = 8 "mmuext-invlpg",
        MmuextAll = 9 "mmuext-all",
        Vale1is = 30 "vale1is",
        Vae1is = 31 "vae1is",
        Aside1is = 32 "aside1is",
        Vale1 = 33 "vale1",
        Rvale1is = 34 "rvale1is",
        Rvae1is = 35 "rvae1is",
        Tlbie = 36 "tlbie-va",
        Tlbiel = 37 "tlbiel-va",
        TlbielPid = 38 "tlbiel-pid",
        Tlbiasid = 45 "tlbiasid",
        TlbimvaLocal = 46 "tlbimva-local",
        Tsb = 50 "tsb",
        Sfence = 10 "sfence.vma",
        SfenceAll = 11 "sfence.vma-all",
        Tlbimva = 12 "tlbimva",
        Tlbiall = 13 "tlbiall",
        Invtlb = 14 "invtlb",
        InvtlbAll = 15 "invtlb-all",
        TlbiePid = 16 "tlbie-pid",
        Hpte = 17 "hpte",
        HpteRange = 18 "hpte-range",
        TsbTlb = 19 "tsb-and-tlb",
        DemapRange = 20 "demap-range",
        DemapAll = 21 "demap-all",
        Ipte = 22 "ipte",
        IpteLocal = 23 "ipte-local",
        IpteRange = 24 "ipte-range",
        IpteRangeLocal = 25 "ipte-range-local",
        Idte = 26 "idte",
        IdteSegment = 40 "idte-segment",
        IdteSegmentLocal = 41 "idte-segment-local",
        Rdp = 42 "rdp",
        RdpLocal = 43 "rdp-local",
        Crdte = 44 "crdte",
        InvtlbAsid = 55 "invtlb-asid",
        NewAsid = 56 "new-asid",
        InvtlbCurrent = 57 "invtlb-current-all",
    }
}

impl Tlbi {
    /// Whether it empties the whole TLB.
    #[must_use]
    pub const fn is_all(self) -> bool {
        matches!(
            self,
            Tlbi::InvlpgAll
                | Tlbi::Cr3
                | Tlbi::Vmalle1is
                | Tlbi::MmuextAll
                | Tlbi::SfenceAll
                | Tlbi::Tlbiall
                | Tlbi::InvtlbAll
                | Tlbi::TlbiePid
                | Tlbi::TlbielPid
                | Tlbi::DemapAll
                | Tlbi::Aside1is
                | Tlbi::Tlbiasid
                | Tlbi::Idte
                | Tlbi::NewAsid
                | Tlbi::InvtlbCurrent
        )
    }
}

codes! {
    /// Why a queue was drained.
    FlushReason {
        Full = 1 "full",
        Leave = 2 "leave",
        Hook = 3 "flush-hook",
        Issue = 4 "issue",
        Switch = 5 "switch",
        Other = 6 "other mm or size",
    }
}

codes! {
    /// Which hypercall.
    Hypercall {
        MmuUpdate = 1 "mmu_update",
        MmuextOp = 2 "mmuext_op",
        Multicall = 3 "multicall",
        UpdateVaMapping = 4 "update_va_mapping",
        Emulate = 5 "trap and emulate",
    }
}

codes! {
    /// A function of the walkers where a scheme may call hooks.
    Site {
        VmapPageRange = 1 "vmap_page_range",
        VmapRangeNoflush = 2 "vmap_range_noflush",
        VmapPagesRangeNoflush = 3 "__vmap_pages_range_noflush",
        VmapSmallPagesRangeNoflush = 4 "vmap_small_pages_range_noflush",
        VunmapRangeNoflush = 5 "__vunmap_range_noflush",
        ApplyToPageRange = 6 "__apply_to_page_range",
        VmapPteRange = 7 "vmap_pte_range",
        VmapPagesPteRange = 8 "vmap_pages_pte_range",
        VunmapPteRange = 9 "vunmap_pte_range",
        ApplyToPteRange = 10 "apply_to_pte_range",
        UpdateRangeProt = 11 "update_range_prot",
        PopulateKernel = 12 "populate_kernel",
        CopyPageRange = 20 "copy_page_range",
        UnmapPageRange = 21 "unmap_page_range",
        ChangeProtection = 22 "change_protection",
        MovePageTables = 23 "move_page_tables",
        FreePgtables = 24 "free_pgtables",
        RemapPfnRange = 25 "remap_pfn_range",
        CopyPteRange = 30 "copy_pte_range",
        ZapPteRange = 31 "zap_pte_range",
        ChangePteRange = 32 "change_pte_range",
        MovePtes = 33 "move_ptes",
        RemapPteRange = 34 "remap_pte_range",
        MadviseColdPteRange = 35 "madvise_cold_or_pageout_pte_range",
        MadviseFreePteRange = 36 "madvise_free_pte_range",
        WalkPteRange = 37 "walk_pte_range",
    }
}

impl Site {
    /// Whether it works on user mappings only: there the lazy section is as old as lazy MMU mode.
    #[must_use]
    pub const fn user(self) -> bool {
        self as u8 >= Site::CopyPageRange as u8
    }
}

codes! {
    /// How an address is used.
    Access {
        Read = 0 "read",
        Write = 1 "write",
        Exec = 2 "exec",
    }
}

codes! {
    /// How an access ended.
    Outcome {
        Ok = 0 "ok",
        Repaired = 1 "repaired",
        NotPresent = 2 "not-present",
        Permission = 3 "permission",
    }
}

codes! {
    /// Who handled a fault.
    Handler {
        Nobody = 0 "nobody",
        VmallocFault = 1 "vmalloc_fault",
        TranslationFault = 2 "do_translation_fault",
        NewValidMap = 3 "new_valid_map_check",
        HashPage = 4 "hash_page",
    }
}

codes! {
    /// Where a task may lose the CPU.
    Resched {
        CondResched = 1 "cond_resched",
        MightSleep = 2 "might_sleep",
        Sleep = 3 "sleep",
    }
}

codes! {
    /// Interrupts a scenario can raise.
    Irq {
        Hard = 1 "hardirq",
        Soft = 2 "softirq",
        Nmi = 3 "nmi",
    }
}

codes! {
    /// Warnings that the modelled code contains.
    Warning {
        VmapPagesBusy = 1 "vmap_pages_pte_range: the entry is occupied",
        VmapPagesNull = 2 "vmap_pages_pte_range: no page",
        VmapPagesInvalid = 3 "vmap_pages_pte_range: invalid pfn",
        VunmapNotPresent = 4 "vunmap_pte_range: the entry is neither none nor present",
        VunmapPartialHuge = 5 "vunmap: a huge leaf is covered in part",
        VunmapPartialCont = 6 "vunmap_pte_range: a contiguous group is covered in part",
        ApplyEmpty = 7 "__apply_to_page_range: empty or wrapping range",
        ApplyLeaf = 8 "apply_to_page_range: a leaf is in the way",
        ApplyBad = 9 "apply_to_page_range: a bad entry is in the way",
        IoremapArea = 10 "ioremap_page_range: the area is not VM_IOREMAP",
        IoremapRange = 11 "ioremap_page_range: the range is not that of the area",
        VmapUnaligned = 12 "vmap_pte_range: the range is not page aligned",
        LazyNested = 13 "arch_enter_lazy_mmu_mode: already in lazy MMU mode",
        EnableOverflow = 14 "lazy_mmu_mode_enable: 255 levels",
        DisableUnderflow = 15 "lazy_mmu_mode_disable: not enabled",
        PauseOverflow = 16 "lazy_mmu_mode_pause: 255 levels",
        ResumeUnderflow = 17 "lazy_mmu_mode_resume: not paused",
        FreeNotTable = 18 "pmd_free_pte_page: not a table",
        BadPmd = 19 "bad entry cleared",
        PageShift = 20 "__vmap_pages_range_noflush: page_shift below PAGE_SHIFT",
        ProtPartialLeaf = 21 "update_range_prot: a leaf is covered in part",
        MulticallFailed = 22 "xen_mc_flush: a queued call failed",
        UnsafeChange = 23 "a live entry changes without break-before-make",
        AtomicSleep = 24 "sleeping function called from invalid context",
        CpaHole = 25 "__cpa_process_fault: nothing is mapped there",
    }
}

codes! {
    /// Bugs that the modelled code contains: the task dies.
    BugCode {
        EmptyRange = 1 "empty or wrapping range",
        RemapLive = 2 "vmap_pte_range: remapping an already mapped page",
        ApplyPudLeaf = 3 "apply_to_pmd_range: the pud is a leaf",
        SyncMismatch = 4 "the page tables disagree about a kernel entry",
        KmapOccupied = 5 "kmap_local: the slot is occupied",
        LazyNested = 6 "enter_lazy: the CPU is in a lazy mode",
        LazyNotActive = 7 "leave_lazy: the CPU is not in this lazy mode",
        StrayWalk = 8 "a table pointer leads to memory that is not a table",
        KernelFault = 9 "unable to handle a kernel access",
        Preemptible = 10 "xen_mc_flush: preemptible",
        KunmapOrder = 11 "kunmap_local: not the last slot",
        KmapFull = 12 "kmap_local: all slots are taken",
        RemapPteLive = 20 "remap_pte_range: the entry is occupied",
    }
}

/// Every vocabulary by name.
#[must_use]
pub fn vocabularies() -> Vec<(&'static str, Vec<(u32, &'static str)>)> {
    vec![
        ("context", Context::table()),
        ("store", Store::table()),
        ("tlbi", Tlbi::table()),
        ("flush reason", FlushReason::table()),
        ("hypercall", Hypercall::table()),
        ("site", Site::table()),
        ("access", Access::table()),
        ("outcome", Outcome::table()),
        ("handler", Handler::table()),
        ("resched", Resched::table()),
        ("irq", Irq::table()),
        ("warning", Warning::table()),
        ("bug", BugCode::table()),
    ]
}
