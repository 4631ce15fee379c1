//! The memory model: what a CPU, a walker or a TLB may still see or hold.
//!
//! There is one log: a total order of the effects that more than one party can notice (writes, hardware updates of
//! entries, completed broadcast invalidations). Nothing else is state. A TLB, a walk cache and a store buffer are not
//! objects that evolve by fill and evict steps; what a CPU may use at an access is a set derived from the log:
//! [`walks`] for translations, [`Ordering::readings`] for data. A store that has not been forced to be visible is one
//! that is not in the log yet.
//!
//! [`Ordering`] holds what one CPU's next effects are ordered after, as positions in the log. The rules are those of
//! the Arm memory model with translation (herd's `aarch64.cat`), of x86-TSO with Intel's caching rules, and of RVWMO
//! with RISC-V's supervisor memory management; [`Profile`] chooses.

mod cpu;
mod effect;
pub mod entry;
mod profile;
mod translate;
mod view;

pub use cpu::{Fence, Ordering, OwnInvalidation, Reading, Strength};
pub use effect::{Cpu, ENVIRONMENT, Effect, Initial, Invalidation, Log, Scope, Source, Version};
pub use profile::{Architecture, Ets, Profile};
pub use translate::{FaultKind, Regime, Request, Step, Update, Walk, walks, without_dominated};
pub use view::{Time, View};
