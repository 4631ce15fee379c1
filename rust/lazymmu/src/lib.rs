//! An executable model of how the Linux kernel changes page tables.
pub mod backend;
pub mod check;
pub mod cost;
pub mod descriptor;
pub mod event;
pub mod geometry;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod modmask;
pub mod run;
pub mod scenario;
pub mod scheme;
pub mod stop;
pub mod walk;
