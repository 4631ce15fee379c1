//! What a test asks of its final states.

use super::program::Reg;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quantifier {
    Exists,
    NotExists,
    Forall,
}

/// Something observed at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Register { thread: u8, reg: Reg },
    Memory(u64),
}

/// A fault asked for: everything absent matches anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FaultAtom {
    pub thread: u8,
    pub label: Option<String>,
    /// Virtual page, or entry cell.
    pub address: Option<u64>,
    pub kind: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula {
    True,
    False,
    Equal { place: usize, value: u64, mask: u64 },
    Same { place: usize, other: usize },
    Fault(FaultAtom),
    Not(Box<Formula>),
    And(Vec<Formula>),
    Or(Vec<Formula>),
    Implies(Box<Formula>, Box<Formula>),
}

/// The whole final clause.
#[derive(Clone, Debug)]
pub struct Condition {
    pub quantifier: Quantifier,
    pub body: Formula,
    /// Executions that do not satisfy this are left out.
    pub filter: Option<Formula>,
    /// What a state shows, in order: every place the condition and the `locations` clause name.
    pub places: Vec<(Place, String)>,
}
