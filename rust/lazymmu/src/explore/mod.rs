//! Exhaustive search: every order in which things can happen, and what comes of it.
//!
//! [`search`] is an explicit-state search over anything that implements [`System`]. It knows nothing about page tables:
//! states are a few words, steps belong to processes, and an outcome is a state that the system calls one. The search is
//! breadth-first, so the path to an outcome is a shortest one; its results do not depend on the number of threads.
//!
//! | file | what is in it |
//! |---|---|
//! | `system` | what is searched |
//! | `bounds` | how far, and what is reported |
//! | `store` | the states that were seen |
//! | `engine` | the search |
//! | `checkpoint` | the search on disk |
//! | `swarm` | samples of what is too large to search |
//! | `threads` | the threads of a program as such a system |
//! | `protocol` | break-before-make on several CPUs, as such a system |

mod bounds;
mod checkpoint;
mod engine;
pub mod protocol;
mod store;
mod swarm;
mod system;
#[cfg(test)]
mod tests;
mod threads;

pub use bounds::{Bound, Bounds, Found, Options, Progress, Report};
pub use checkpoint::CheckpointError;
pub use engine::{CHECKPOINT_EVERY, SearchError, search};
pub use swarm::{Swarm, swarm};
pub use system::{Path, Steps, System};
pub(crate) use threads::explore;
pub use threads::{Exploration, ExploreError, Reached};

pub use crate::run::Leaf;
