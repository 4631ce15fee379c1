//! Threads that run at the same time, what may come between their micro-steps, and the order in which it did.

use serde::{Deserialize, Serialize};

use super::{Injection, IrqKind, Op, OpStep};

/// Operations that run one after the other, while other threads do the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thread {
    pub ops: Vec<OpStep>,
}

/// Points of threads: all, those of some operations, those behind an event of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// Indices of operations; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ops: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Something that may come between two micro-steps of a thread, and is over before the thread goes on: an interrupt,
/// another task on this CPU, or operations simply run there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interrupt {
    /// Only on this CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u8>,
    #[serde(default)]
    pub at: Where,
    /// How often at most.
    #[serde(default = "once")]
    pub times: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irq: Option<IrqKind>,
    /// Preempts in favour of this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u16>,
    /// The CPU that runs it, if not the one that is interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<u8>,
    pub ops: Vec<Op>,
}

const fn once() -> u32 {
    1
}

impl From<&Injection> for Interrupt {
    /// The same at any point of the operation.
    fn from(injection: &Injection) -> Interrupt {
        Interrupt {
            cpu: None,
            at: Where { ops: vec![injection.at.op], kind: None },
            times: 1,
            irq: injection.irq,
            task: injection.task,
            on: injection.cpu,
            ops: injection.ops.clone(),
        }
    }
}

/// The task that a thread runs may be moved to another CPU, on which no thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    pub thread: u16,
    pub to: u8,
}

/// Where threads that share a CPU may lose it to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preemption {
    /// Where one is done.
    None,
    /// At `cond_resched` and `might_sleep`.
    Voluntary,
    /// Between any two micro-steps outside of interrupts, locks and disabled bottom halves.
    #[default]
    Full,
}

/// What is done at a point where more than one thing could be.
///
/// Points are counted from 0: the first is before any thread has begun; then there is one behind each event, before each
/// allocation, behind each interrupt, and where a thread waits for a lock or is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub at: u32,
    /// The thread that goes on; the same one if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<u16>,
    /// What comes in between before it does: the number of an interrupt ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupt: Option<u32>,
    /// ... or of a migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<u32>,
    /// The allocation fails.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fail: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Threads, and what may happen to them. Their operations are numbered on behind those of the program, thread by thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrent {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<Thread>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interrupts: Vec<Interrupt>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migration>,
    #[serde(default)]
    pub preemption: Preemption,
    /// Any table allocation of a thread may fail.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_fail_alloc: bool,
    /// Where something else is done than going on with the same thread, or with the first that can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Decision>,
}

impl Concurrent {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Concurrent::default()
    }
}
