//! Who watches a run. Chosen at compile time.

use std::fmt;

use super::Kernel;
use crate::backend::Backend;
use crate::event::Event;
use crate::geometry::Level;
use crate::machine::Machine;
use crate::stop::{Run, Step};

/// An observer of micro-steps. It never changes the machine; what it may do is ask for an interruption.
pub trait Watch: fmt::Debug + Sized + Send + Sync + 'static {
    /// Whether events are made at all.
    const WATCHES: bool;
    /// Whether user-supplied hooks are consulted.
    const HOOKED: bool;

    /// The machine is set up; what happens from now on counts.
    fn start(&mut self) {}

    /// Takes note of an event; true when the driver wants to act right after it.
    fn event(&mut self, machine: &Machine, event: &Event) -> bool;

    /// Whether an event with this [key](crate::event::cycle::key) and these `va`, `addr`, `old` and `new` is just what the
    /// watch expects after those before it. If so it is noted, and the driver does not want to act behind it.
    #[inline]
    fn again(&mut self, _key: u64, _moving: [u64; 4]) -> bool {
        false
    }

    /// Who executes, or which operation runs, may have changed.
    #[inline]
    fn turned(&mut self) {}

    /// Takes note of a word that software has read.
    #[inline]
    fn read(&mut self, _level: Level, _word: u64) {}

    /// Events so far.
    fn seen(&self) -> u64 {
        0
    }

    /// A watch with nothing in it, which stands in while a user-supplied hook has the real one.
    fn hollow(&mut self) -> Self;

    /// Lets the driver act between two micro-steps.
    fn interrupted<B: Backend>(kernel: &mut Kernel<B, Self>) -> Step;

    /// Whether the driver lets the allocation fail that the kernel is about to make.
    fn alloc_fails<B: Backend>(_kernel: &mut Kernel<B, Self>) -> Run<bool> {
        Ok(false)
    }

    /// The kernel takes a lock. Where several CPUs run, the driver waits here until nobody else has it.
    fn lock<B: Backend>(_kernel: &mut Kernel<B, Self>, _lock: u64) -> Step {
        Ok(())
    }

    /// The kernel gives a lock back.
    fn unlock<B: Backend>(_kernel: &mut Kernel<B, Self>, _lock: u64) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Watch for Silent {
    const WATCHES: bool = false;
    const HOOKED: bool = false;

    #[inline]
    fn event(&mut self, _machine: &Machine, _event: &Event) -> bool {
        false
    }

    fn hollow(&mut self) -> Self {
        Silent
    }

    fn interrupted<B: Backend>(_kernel: &mut Kernel<B, Self>) -> Step {
        Ok(())
    }
}
