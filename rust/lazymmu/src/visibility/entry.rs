//! Entries as the hardware walker reads them.

use crate::descriptor::arm64;

/// Whose bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Arm64,
    X86,
    RiscV,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Invalid,
    Table,
    Leaf,
}

/// What a walker makes of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Of the next table, or of the page or block.
    pub address: u64,
    pub accessed: bool,
    /// A store may go through as it stands: Arm's AP[2] clear, x86's R/W, RISC-V's W.
    pub writable: bool,
    /// The hardware may make it dirty: Arm's DBM, x86's R/W with D clear, RISC-V's W with D clear.
    pub clean: bool,
    pub user: bool,
    pub global: bool,
}

const PAGE: u64 = !0xfff;
/// Output address bits 47:12.
const ARM_ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const X86_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

pub mod x86 {
    pub const P: u64 = 1;
    pub const RW: u64 = 1 << 1;
    pub const US: u64 = 1 << 2;
    pub const A: u64 = 1 << 5;
    pub const D: u64 = 1 << 6;
    pub const PS: u64 = 1 << 7;
    pub const G: u64 = 1 << 8;
}

pub mod riscv {
    pub const V: u64 = 1;
    pub const R: u64 = 1 << 1;
    pub const W: u64 = 1 << 2;
    pub const X: u64 = 1 << 3;
    pub const U: u64 = 1 << 4;
    pub const G: u64 = 1 << 5;
    pub const A: u64 = 1 << 6;
    pub const D: u64 = 1 << 7;
    pub const PPN_SHIFT: u32 = 10;
}

impl Format {
    /// `level` counts down to the last one, 3.
    #[must_use]
    pub fn decode(self, level: u8, word: u64) -> Entry {
        match self {
            Format::Arm64 => decode_arm64(level, word),
            Format::X86 => decode_x86(level, word),
            Format::RiscV => decode_riscv(level, word),
        }
    }

    /// The word after the walker has set the access flag.
    #[must_use]
    pub const fn set_accessed(self, word: u64) -> u64 {
        match self {
            Format::Arm64 => word | arm64::AF,
            Format::X86 => word | x86::A,
            Format::RiscV => word | riscv::A,
        }
    }

    /// The word after the walker has set access flag and dirty state.
    #[must_use]
    pub const fn set_dirty(self, word: u64) -> u64 {
        match self {
            Format::Arm64 => (word | arm64::AF) & !arm64::RDONLY,
            Format::X86 => word | x86::A | x86::D,
            Format::RiscV => word | riscv::A | riscv::D,
        }
    }
}

fn decode_arm64(level: u8, word: u64) -> Entry {
    let kind = match word & 3 {
        3 if level < 3 => Kind::Table,
        3 => Kind::Leaf,
        1 if level == 1 || level == 2 => Kind::Leaf,
        _ => Kind::Invalid,
    };
    let low = if kind == Kind::Leaf { !((1u64 << (12 + 9 * u32::from(3 - level.min(3)))) - 1) } else { PAGE };
    let writable = word & arm64::RDONLY == 0;
    Entry {
        kind,
        address: word & ARM_ADDRESS & low,
        accessed: word & arm64::AF != 0,
        writable,
        clean: !writable && word & arm64::WRITE != 0,
        user: word & arm64::USER != 0,
        global: word & arm64::NG == 0,
    }
}

fn decode_x86(level: u8, word: u64) -> Entry {
    let kind = match (word & x86::P != 0, level == 3 || (level > 0 && word & x86::PS != 0)) {
        (false, _) => Kind::Invalid,
        (true, true) => Kind::Leaf,
        (true, false) => Kind::Table,
    };
    let low = if kind == Kind::Leaf { !((1u64 << (12 + 9 * u32::from(3 - level.min(3)))) - 1) } else { PAGE };
    Entry {
        kind,
        address: word & X86_ADDRESS & low,
        accessed: word & x86::A != 0,
        writable: word & x86::RW != 0 && (kind != Kind::Leaf || word & x86::D != 0),
        clean: word & x86::RW != 0 && word & x86::D == 0,
        user: word & x86::US != 0,
        global: word & x86::G != 0,
    }
}

fn decode_riscv(level: u8, word: u64) -> Entry {
    let leaf = word & (riscv::R | riscv::W | riscv::X) != 0;
    let kind = if word & riscv::V == 0 || word & (riscv::R | riscv::W) == riscv::W {
        Kind::Invalid
    } else if leaf {
        Kind::Leaf
    } else if level < 3 {
        Kind::Table
    } else {
        Kind::Invalid
    };
    let writes = word & riscv::W != 0;
    Entry {
        kind,
        address: (word >> riscv::PPN_SHIFT << 12) & 0x00ff_ffff_ffff_f000,
        accessed: word & riscv::A != 0,
        writable: writes && word & riscv::D != 0,
        clean: writes && word & riscv::D == 0,
        user: word & riscv::U != 0,
        global: word & riscv::G != 0,
    }
}
