//! How addresses, entries and values are shown.

use crate::descriptor::arm64;
use crate::visibility::entry::{Kind, riscv, x86};
use crate::visibility::{Architecture, Profile};

use super::program::{Litmus, Names};

impl Litmus {
    /// Whether a virtual address is also the physical one.
    #[must_use]
    pub fn is_direct(&self, address: u64) -> bool {
        self.direct.iter().any(|&(from, to)| (from..to).contains(&address))
    }
}

impl Names {
    #[must_use]
    pub fn address(&self, address: u64) -> String {
        if let Some(name) = self.entries.get(&address) {
            return name.clone();
        }
        if let Some(name) = self.code.get(&address) {
            return name.clone();
        }
        match self.pages.get(&(address >> 12)) {
            Some(name) if address & 0xfff == 0 => name.clone(),
            Some(name) => format!("{name}+{}", address & 0xfff),
            None => format!("{address:#x}"),
        }
    }

    #[must_use]
    pub fn entry(&self, cell: u64) -> String {
        self.entries.get(&cell).cloned().unwrap_or_else(|| format!("entry at {cell:#x}"))
    }

    /// A physical cell.
    #[must_use]
    pub fn cell(&self, cell: u64) -> String {
        if let Some(name) = self.entries.get(&cell) {
            return name.clone();
        }
        if let Some(name) = self.physical.get(&cell) {
            return name.clone();
        }
        match self.physical.get(&(cell & !0xfff)) {
            Some(name) => format!("{name}+{}", cell & 0xfff),
            None => format!("[{cell:#x}]"),
        }
    }

    /// A value found in `cell`, decoded where the cell holds an entry.
    #[must_use]
    pub fn word(&self, cell: u64, value: u64, profile: &Profile) -> String {
        if self.entries.contains_key(&cell) { self.descriptor(value, profile) } else { self.value(value, profile) }
    }

    /// A value of a register or data cell.
    #[must_use]
    pub fn value(&self, value: u64, profile: &Profile) -> String {
        if let Some(name) = self.entries.get(&value).or_else(|| self.code.get(&value)) {
            return name.clone();
        }
        if value & 0xfff == 0
            && let Some(name) = self.pages.get(&(value >> 12))
        {
            return name.clone();
        }
        if value > 0xffff_ffff {
            let entry = profile.format().decode(3, value);
            if self.physical.contains_key(&entry.address) {
                return self.descriptor(value, profile);
            }
            return format!("{value:#x}");
        }
        format!("{value}")
    }

    /// An entry by its fields.
    #[must_use]
    pub fn descriptor(&self, word: u64, profile: &Profile) -> String {
        let entry = profile.format().decode(3, word);
        let address = match profile.architecture {
            Architecture::Armv8 => word & 0x0000_ffff_ffff_f000,
            Architecture::X86Tso => word & 0x000f_ffff_ffff_f000,
            Architecture::Rvwmo => word >> riscv::PPN_SHIFT << 12,
        };
        let to = self.physical.get(&address).map_or_else(|| format!("{address:#x}"), |n| format!("PA({n})"));
        let mut out = format!("(oa:{to}");
        let mut field = |name: &str, value: bool, usual: bool| {
            if value != usual {
                out.push_str(&format!(", {name}:{}", u8::from(value)));
            }
        };
        match profile.architecture {
            Architecture::Armv8 => {
                field("valid", entry.kind != Kind::Invalid, true);
                field("af", word & arm64::AF != 0, true);
                field("db", word & arm64::RDONLY == 0, true);
                field("dbm", word & arm64::WRITE != 0, false);
                field("el0", word & arm64::USER != 0, true);
            }
            Architecture::X86Tso => {
                field("p", word & x86::P != 0, true);
                field("rw", word & x86::RW != 0, true);
                field("a", word & x86::A != 0, true);
                field("d", word & x86::D != 0, true);
                field("g", word & x86::G != 0, false);
            }
            Architecture::Rvwmo => {
                field("v", word & riscv::V != 0, true);
                field("w", word & riscv::W != 0, true);
                field("a", word & riscv::A != 0, true);
                field("d", word & riscv::D != 0, true);
                field("g", word & riscv::G != 0, false);
            }
        }
        out.push(')');
        out
    }
}
