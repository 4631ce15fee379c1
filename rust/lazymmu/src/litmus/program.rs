//! A litmus test in the form all front ends share.

use rustc_hash::FxHashMap;

use crate::visibility::{Fence, Initial, Profile, Strength};

use super::condition::Condition;

/// A register of one thread, by its place in [`Thread::registers`].
pub type Reg = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    Reg(Reg),
    Imm(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    Byte,
    Half,
    Word,
    Double,
}

impl Width {
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Width::Byte => 1,
            Width::Half => 2,
            Width::Word => 4,
            Width::Double => 8,
        }
    }

    #[must_use]
    pub const fn cut(self, value: u64) -> u64 {
        match self {
            Width::Byte => value & 0xff,
            Width::Half => value & 0xffff,
            Width::Word => value & 0xffff_ffff,
            Width::Double => value,
        }
    }
}

/// How an index register is extended and shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extend {
    Shift(u8),
    SignedWord(u8),
    UnsignedWord(u8),
}

impl Extend {
    #[must_use]
    pub const fn apply(self, value: u64) -> u64 {
        match self {
            Extend::Shift(by) => value << by,
            Extend::SignedWord(by) => ((value as u32 as i32 as i64) << by) as u64,
            Extend::UnsignedWord(by) => (value & 0xffff_ffff) << by,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub base: Operand,
    pub index: Option<(Reg, Extend)>,
    pub offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Add,
    Sub,
    And,
    Or,
    Xor,
    /// And with the complement.
    Clear,
    ShiftLeft,
    ShiftRight,
    ShiftRightSigned,
    /// The new value, whatever the old.
    Swap,
    MaxSigned,
    MinSigned,
    MaxUnsigned,
    MinUnsigned,
    Mul,
    /// Bits of the first: the second has the lowest in bits 15:8 and their number in bits 7:0.
    Extract,
    LessSigned,
    LessUnsigned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    Always,
    /// By the flags, as Arm's condition numbers them.
    Flags(u8),
    Zero(Reg),
    NotZero(Reg),
    BitClear(Reg, u8),
    BitSet(Reg, u8),
    Equal(Operand, Operand),
    NotEqual(Operand, Operand),
    Less(Operand, Operand),
    GreaterEqual(Operand, Operand),
    LessUnsigned(Operand, Operand),
    GreaterEqualUnsigned(Operand, Operand),
}

/// What an invalidation instruction reaches; the page and identifier come from its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Invalidate {
    /// Arm's one register with page and ASID in it; otherwise an address.
    pub packed: Option<Operand>,
    pub address: Option<Operand>,
    pub asid: Option<Operand>,
    /// By the identifier in the packed operand.
    pub by_asid: bool,
    pub by_page: bool,
    pub last_level: bool,
    pub global: bool,
    /// Reaches every CPU, at its completing barrier; otherwise only this one.
    pub broadcast: bool,
    /// Reaches exactly this CPU and waits (an inter-processor interrupt that invalidates there).
    pub remote: Option<u8>,
    /// Complete and felt at once (INVLPG, SFENCE.VMA).
    pub immediate: bool,
    /// Every cached table entry too, whatever the page (INVLPG).
    pub all_tables: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    Nop,
    Compute {
        op: Op,
        to: Option<Reg>,
        a: Operand,
        b: Operand,
        extend: Extend,
        width: Width,
        flags: bool,
    },
    Select {
        to: Reg,
        condition: u8,
        yes: Operand,
        no: Operand,
        change: Change,
        width: Width,
    },
    Load {
        to: Option<Reg>,
        address: Address,
        width: Width,
        signed: bool,
        strength: Strength,
        exclusive: bool,
    },
    Store {
        from: Operand,
        address: Address,
        width: Width,
        strength: Strength,
    },
    StoreExclusive {
        status: Option<Reg>,
        from: Operand,
        address: Address,
        width: Width,
        strength: Strength,
    },
    Atomic {
        op: Op,
        to: Option<Reg>,
        operand: Operand,
        address: Address,
        width: Width,
        acquire: bool,
        release: bool,
    },
    CompareSwap {
        expected: Reg,
        new: Operand,
        address: Address,
        width: Width,
        acquire: bool,
        release: bool,
    },
    Fence(Fence),
    SynchroniseContext,
    Invalidate(Invalidate),
    Branch {
        test: Test,
        target: u16,
    },
    /// To the link register's, or the exception link register's, address.
    Return {
        exception: bool,
    },
    Call {
        hypervisor: bool,
        number: u16,
    },
    Undefined,
    /// Writes the root of the translation regime of EL1&0 or of EL2.
    SetRoot {
        from: Operand,
        hypervisor: bool,
    },
    Stop,
}

/// What [`Inst::Select`] does to the register not chosen by the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Keep,
    Increment,
    Invert,
    Negate,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub inst: Inst,
    /// As the file has it.
    pub text: String,
    pub labels: Vec<String>,
    /// Where the instruction stands, as a code address.
    pub address: u64,
    pub handler: bool,
}

/// What happens after a fault without a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnFault {
    /// The thread ends.
    Fatal,
    /// The instruction runs again, and must not fault then.
    Handled,
    /// The next instruction follows.
    Skip,
}

/// Where an exception goes.
#[derive(Clone, Debug, Default)]
pub struct Vectors {
    /// herd's `Pn.F` column.
    pub handler: Option<u16>,
    /// Arm's vector base of EL1 and EL2: handlers are found by address.
    pub base: [Option<u64>; 3],
}

/// The condition flags, as N, Z, C, V in bits 3 to 0: the first register of every thread.
pub const FLAGS: Reg = 0;

#[derive(Clone, Debug)]
pub struct Thread {
    pub code: Vec<Line>,
    pub registers: Vec<String>,
    pub initial: Vec<u64>,
    pub vectors: Vectors,
    /// Exception level at the start, and whether it uses its own stack pointer.
    pub level: u8,
    pub own_stack: bool,
    /// The file tells exception levels apart.
    pub levels: bool,
    /// Unprivileged, where levels are not told apart otherwise.
    pub user: bool,
    pub hardware_access: bool,
    pub hardware_dirty: bool,
    /// Root of the EL1&0 regime, and of EL2's: address and identifier.
    pub roots: [(u64, u16); 2],
}

impl Default for Thread {
    fn default() -> Thread {
        Thread {
            code: Vec::new(),
            registers: vec!["NZCV".to_owned()],
            initial: vec![0],
            vectors: Vectors::default(),
            level: 0,
            own_stack: false,
            levels: false,
            user: false,
            hardware_access: false,
            hardware_dirty: false,
            roots: [(0, 0); 2],
        }
    }
}

impl Thread {
    #[must_use]
    pub fn register(&self, name: &str) -> Option<Reg> {
        self.registers.iter().position(|r| r == name).map(|i| i as Reg)
    }

    /// The register of this name, made where it is new.
    pub fn intern(&mut self, name: &str) -> Reg {
        self.register(name).unwrap_or_else(|| {
            self.registers.push(name.to_owned());
            self.initial.push(0);
            (self.registers.len() - 1) as Reg
        })
    }

    #[must_use]
    pub fn at_address(&self, address: u64) -> Option<u16> {
        self.code.iter().position(|l| l.address == address).map(|i| i as u16)
    }
}

/// Names that addresses, entries and values are shown by.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Virtual page number to variable.
    pub pages: FxHashMap<u64, String>,
    /// Physical page or cell to name.
    pub physical: FxHashMap<u64, String>,
    /// Entry cell to name.
    pub entries: FxHashMap<u64, String>,
    /// Code address to label.
    pub code: FxHashMap<u64, String>,
}

/// A whole test.
#[derive(Clone, Debug)]
pub struct Litmus {
    pub name: String,
    pub profile: Profile,
    pub threads: Vec<Thread>,
    pub initial: Initial,
    /// Virtual address ranges that are physical addresses: tables, identity mapped code.
    pub direct: Vec<(u64, u64)>,
    /// Level of the root table.
    pub root_level: u8,
    pub on_fault: OnFault,
    pub condition: Condition,
    pub names: Names,
    /// As the file or caller asked.
    pub variants: Vec<String>,
    /// Cells that hold entries the environment may set the access flag of.
    pub managed: Vec<u64>,
}
