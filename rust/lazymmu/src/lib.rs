//! An executable model of how the Linux kernel changes page tables, and a checker that says when a deferral, a missed
//! synchronisation or a missed barrier would break a machine.
//!
//! A [program](scenario::Program) is a list of kernel operations, and of things that happen between two of their
//! micro-steps. It runs on a machine of one *backend* (what a store, a barrier, a flush does on an architecture), one
//! *geometry* (levels, sizes, addresses) and one *scheme* (where the hooks are called). The three are independent.
//!
//! # A hook placement that breaks
//!
//! A patch of 2025 proposed to open a scope around the whole walk in which arm64 leaves its barriers to the end. Here an
//! interrupt maps a page of its own while a task is inside that scope, and uses it:
//!
//! ```
//! use lazymmu::check::Severity;
//! use lazymmu::run::{Mode, Spec, run_program};
//! use lazymmu::scenario::Program;
//!
//! let program: Program = serde_json::from_str(
//!     r#"{
//!         "ops": [
//!             {"op": {"populate_kernel": {"va": 18446603338368679936}}},
//!             {"op": {"vmap_page_range": {"va": 18446603338368684032, "size": 16384, "pa": 268435456}}}
//!         ],
//!         "injections": [{
//!             "at": {"op": 1, "kind": "STORE"}, "irq": "hard",
//!             "ops": [{"pte": {"va": 18446603338368679936, "step": "set", "pa": 2415919104}},
//!                     {"access": {"va": 18446603338368679936}}]
//!         }]
//!     }"#,
//! )?;
//!
//! let mut found = Vec::new();
//! for scheme in ["v6.12", "begin-end", "v7.0"] {
//!     let spec = Spec { backend: "arm64", scheme, ..Spec::default() };
//!     let run = run_program(&spec, &program, Mode::Checked)?;
//!     let breaks = run.findings.iter().filter(|f| f.severity == Severity::Breaks);
//!     found.push(breaks.map(|f| f.code).collect::<Vec<_>>());
//! }
//! assert_eq!(found, [vec![], vec!["H1", "H15"], vec![]]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing in the model knows of this case: [`check::rules`] knows that arm64 needs `DSB ISHST; ISB` between a store to a
//! kernel table and the use of its address.
//!
//! # The rooms
//!
//! | module | owns |
//! |---|---|
//! | [`geometry`] | levels, shifts, entries, folding, address stepping |
//! | [`descriptor`] | encode, decode, predicates of each entry format |
//! | [`memory`] | table pages by frame number, their lifetime, snapshots |
//! | [`machine`] | CPUs, tasks, contexts, address spaces |
//! | [`kernel`] | machine, backend, scheme and observers as one running kernel |
//! | [`walk`], [`modmask`] | the kernel's generic operations, and the mask of levels they touched |
//! | [`scheme`] | where hooks are called |
//! | [`backend`] | what they do |
//! | [`event`] | micro-steps as fixed-size records |
//! | [`check`], [`cost`] | what is wrong, and what it costs |
//! | [`scenario`], [`run`] | programs, and how they are carried out |
//!
//! # Honest limits
//!
//! A run shows one order of events, with every deferred effect as late as the rules allow. What is not modelled on a
//! backend is said on its page of the documentation.
pub mod backend;
pub mod check;
pub mod cost;
pub mod descriptor;
pub mod event;
pub mod explore;
pub mod geometry;
pub mod kernel;
pub mod litmus;
pub mod machine;
pub mod memory;
pub mod modmask;
pub mod run;
pub mod scenario;
pub mod scheme;
pub mod stop;
pub mod visibility;
pub mod walk;
