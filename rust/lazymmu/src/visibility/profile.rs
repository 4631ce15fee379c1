//! Which machine: its ordering rules and the optional features that change them.

use super::entry::Format;

/// The architecture whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Arm ARM B2.3 and D8; herd's `aarch64.cat`.
    Armv8,
    /// Intel SDM volume 3, 4.10 and 9.2.
    X86Tso,
    /// RISC-V unprivileged specification (RVWMO) and privileged specification (supervisor memory management).
    Rvwmo,
}

/// What translation faults are ordered after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ets {
    None,
    /// The withdrawn `FEAT_ETS`: the walk behind a translation or access flag fault comes after what the access would
    /// have been ordered after, had it not faulted.
    Ets,
    /// `FEAT_ETS2`: the walk behind a translation or access flag fault comes after all earlier accesses.
    Ets2,
    /// `FEAT_ETS3`: the walk behind any MMU fault does.
    Ets3,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    pub architecture: Architecture,
    pub ets: Ets,
    /// `FEAT_ExS`: exception entry of an SVC and exception return synchronise only where said.
    pub exs: bool,
    pub eis: bool,
    pub eos: bool,
    /// RISC-V Svvptc: an entry made valid becomes visible without a fence.
    pub svvptc: bool,
    /// RISC-V Svinval.
    pub svinval: bool,
}

impl Profile {
    #[must_use]
    pub const fn armv8() -> Profile {
        Profile {
            architecture: Architecture::Armv8,
            ets: Ets::None,
            exs: false,
            eis: false,
            eos: false,
            svvptc: false,
            svinval: false,
        }
    }

    #[must_use]
    pub const fn x86_tso() -> Profile {
        Profile { architecture: Architecture::X86Tso, ..Profile::armv8() }
    }

    #[must_use]
    pub const fn rvwmo() -> Profile {
        Profile { architecture: Architecture::Rvwmo, ..Profile::armv8() }
    }

    /// The entry format its walker reads.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self.architecture {
            Architecture::Armv8 => Format::Arm64,
            Architecture::X86Tso => Format::X86,
            Architecture::Rvwmo => Format::RiscV,
        }
    }

    /// Exception entry synchronises context; `call` for a supervisor call.
    #[must_use]
    pub const fn entry_synchronises(&self, call: bool) -> bool {
        !(self.exs && call) || self.eis
    }

    /// Exception return synchronises context.
    #[must_use]
    pub const fn return_synchronises(&self) -> bool {
        !self.exs || self.eos
    }
}
