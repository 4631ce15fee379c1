//! Entry formats: encode, decode, and the predicates that the kernel's walkers apply.
//!
//! A predicate of a level below the root is the kernel's own (`pmd_bad`, `pud_leaf`, ...); where tables live, and which
//! names are folded, is not known here.

mod any;

use std::fmt;

use serde::Serialize;

pub use any::{AnyFormat, Reader, Shape, of_architecture};

use crate::geometry::Level;

include!(concat!(env!("OUT_DIR"), "/descriptor.rs"));

/// A protection that an entry is made from: the bits of `pgprot_t`.
pub type Prot = u64;

/// Memory type of a mapping, in the words of the portable API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryType {
    Normal,
    WriteThrough,
    WriteCombining,
    UncachedMinus,
    Uncached,
    WriteProtected,
    /// arm64 Device-nGnRnE and Device-nGnRE.
    DeviceNGnRnE,
    DeviceNGnRE,
    NormalTagged,
    Reserved,
}

impl MemoryType {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            MemoryType::Normal => "normal",
            MemoryType::WriteThrough => "write-through",
            MemoryType::WriteCombining => "write-combining",
            MemoryType::UncachedMinus => "uncached-minus",
            MemoryType::Uncached => "uncached",
            MemoryType::WriteProtected => "write-protected",
            MemoryType::DeviceNGnRnE => "device-nGnRnE",
            MemoryType::DeviceNGnRE => "device-nGnRE",
            MemoryType::NormalTagged => "normal-tagged",
            MemoryType::Reserved => "reserved",
        }
    }
}

/// What a leaf entry grants, as hardware would read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attributes {
    pub write: bool,
    pub exec: bool,
    pub user: bool,
    pub global: bool,
    pub accessed: bool,
    pub dirty: bool,
    pub contiguous: bool,
    pub memory: MemoryType,
}

/// What entries above a leaf leave to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    pub write: bool,
    pub user: bool,
    /// Execution by the kernel, and by user code.
    pub kernel_exec: bool,
    pub user_exec: bool,
}

impl Grants {
    pub const ALL: Grants = Grants { write: true, user: true, kernel_exec: true, user_exec: true };

    /// What both grant.
    #[must_use]
    pub const fn and(self, other: Grants) -> Grants {
        Grants {
            write: self.write && other.write,
            user: self.user && other.user,
            kernel_exec: self.kernel_exec && other.kernel_exec,
            user_exec: self.user_exec && other.user_exec,
        }
    }
}

impl Attributes {
    /// The same below entries that grant so much.
    #[must_use]
    pub const fn limited(self, grants: Grants) -> Attributes {
        let exec = if self.user { grants.user_exec } else { grants.kernel_exec };
        Attributes {
            write: self.write && grants.write,
            exec: self.exec && exec,
            user: self.user && grants.user,
            ..self
        }
    }
}

/// How the addresses of a tree continue above its own bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// A tree of its own for the kernel's half: ones.
    Upper,
    /// A tree of its own for the user's half: zeros.
    Lower,
    /// A tree of its own for the kernel's region, which begins here (powerpc).
    At(u64),
    /// One tree for both: the highest bit is repeated.
    Signed,
}

/// A memory type the format cannot express, or a protection name it does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protection {name:?} for {format}: expected one of {}, or a number", .known.join(", "))]
pub struct UnknownProt {
    pub name: String,
    pub format: &'static str,
    pub known: Vec<&'static str>,
}

/// The entry format of one architecture configuration.
pub trait Format: Copy + fmt::Debug + Send + Sync + 'static {
    /// Name in messages.
    const NAME: &'static str;

    /// The named protections of the kernel and their values under this configuration.
    fn prots(&self) -> Vec<(&'static str, Prot)>;

    /// `pfn_pte`, with the frame given by its physical address.
    fn pte(&self, pa: u64, prot: Prot) -> u64;
    /// The first word of a run of pages, if the words of the run are one page size apart like their addresses.
    #[inline]
    fn pte_run(&self, pa: u64, bytes: u64, prot: Prot) -> Option<u64> {
        // Below bit 47 every format here keeps address bits in place.
        let last = pa.checked_add(bytes.wrapping_sub(1))?;
        if self.inverted(prot) {
            return None;
        }
        (last >> 47 == pa >> 47 && last <= self.highest_in_place()).then(|| self.pte(pa, prot))
    }
    /// Whether hardware goes on with this word, to a table or to a page.
    #[inline]
    fn walkable(&self, _level: Level, word: u64) -> bool {
        self.valid(word)
    }
    /// Whether a page with this protection has its frame stored inverted.
    #[inline]
    fn inverted(&self, _prot: Prot) -> bool {
        false
    }
    /// Whether a leaf lets its page be read.
    fn readable(&self, _word: u64) -> bool {
        true
    }
    /// Whether a valid leaf may be executed through an address of the kernel's half, or of the user's.
    fn executable(&self, level: Level, word: u64, _kernel: bool) -> bool {
        self.attributes(level, word).exec
    }
    /// The highest address whose bits all stand in the entry where they are in the address.
    fn highest_in_place(&self) -> u64;
    /// The word that `pmd_set_huge` or `pud_set_huge` writes.
    fn huge(&self, level: Level, pa: u64, prot: Prot) -> u64;
    /// The word with which a table is linked into an entry of `level` (`pXd_populate`).
    fn table(&self, level: Level, pa: u64, init_mm: bool) -> u64;

    /// What an entry of this level holds when nothing is there: the word that `pXd_clear` stores.
    #[inline]
    fn empty(&self, _level: Level) -> u64 {
        0
    }
    /// What the entries of a new table of this level hold.
    #[inline]
    fn blank(&self, level: Level, _init_mm: bool) -> u64 {
        self.empty(level)
    }

    /// The bits that `pXd_none` compares with an empty entry. A loop asks once.
    fn none_bits(&self, level: Level) -> u64;
    /// `pXd_none`.
    #[inline]
    fn none(&self, level: Level, word: u64) -> bool {
        (word ^ self.empty(level)) & self.none_bits(level) == 0
    }
    /// `pXd_present`, software's view.
    fn present(&self, level: Level, word: u64) -> bool;
    /// Whether hardware would use the entry.
    fn valid(&self, word: u64) -> bool;
    /// `pXd_bad`; never asked of a leaf table.
    fn bad(&self, level: Level, word: u64) -> bool;
    /// `pXd_leaf`.
    fn leaf(&self, level: Level, word: u64) -> bool;
    /// `pmd_trans_huge`: a large leaf of a user mapping, also one that hardware does not use now.
    #[inline]
    fn trans_huge(&self, word: u64) -> bool {
        self.leaf(Level::Pmd, word)
    }

    /// The physical address that an entry holds: of the table, or of the memory a leaf maps.
    fn address(&self, level: Level, word: u64) -> u64;
    fn attributes(&self, level: Level, word: u64) -> Attributes;
    /// What a table entry leaves to the leaves below it.
    fn table_grants(&self, _level: Level, _word: u64) -> Grants {
        Grants::ALL
    }
    /// Whether the kernel's dump of its tables shows a leaf that is not none.
    fn dumped(&self, _level: Level, word: u64) -> bool {
        self.valid(word)
    }
    /// Which addresses a tree maps: the kernel's, or that of a process.
    fn half(&self, _kernel: bool) -> Half {
        Half::Signed
    }

    /// Every kind of entry at a level with the fields that its bits have, in the order in which they are tried; the last
    /// takes what the others leave.
    fn layouts(&self, _level: Level) -> Vec<field::Layout> {
        Vec::new()
    }

    /// `pgprot_nx`.
    fn pgprot_nx(&self, prot: Prot) -> Prot;
    /// `pte_wrprotect`.
    fn wrprotect(&self, word: u64) -> u64;
    /// The helpers for user mappings; `None` where those are not modelled.
    fn user(&self) -> Option<&dyn user::UserFormat> {
        None
    }
    /// The same for large leaves, where their words are laid out in another way.
    fn user_huge(&self) -> Option<&dyn user::UserFormat> {
        self.user()
    }
    /// `pmd_wrprotect`.
    fn wrprotect_huge(&self, word: u64) -> u64 {
        self.wrprotect(word)
    }
    /// Whether the permission bits of a leaf allow no more than those of another: `new` grants nothing that `old` lacks.
    fn grants_more(&self, level: Level, old: u64, new: u64) -> bool {
        let (old, new) = (self.attributes(level, old), self.attributes(level, new));
        (new.write && !old.write) || (new.exec && !old.exec) || (new.user && !old.user)
    }

    /// The protection of this name, or the number that the text spells.
    fn prot(&self, name: &str) -> Result<Prot, UnknownProt> {
        let known = self.prots();
        if let Some((_, value)) = known.iter().find(|(n, _)| *n == name) {
            return Ok(*value);
        }
        parse_number(name).ok_or_else(|| UnknownProt {
            name: name.to_owned(),
            format: Self::NAME,
            known: known.iter().map(|(n, _)| *n).collect(),
        })
    }
}

fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
