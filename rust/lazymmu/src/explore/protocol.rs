//! Break-before-make on several CPUs, as a transition system.
//!
//! Each CPU gives a page of its own a new address while all CPUs use all pages: it stores an invalid entry, waits for the
//! store (`DSB`), sends an invalidation to every CPU, waits until all have carried it out (`DSB`), and stores the new
//! entry. Stores go through a buffer of one; a TLB may take any valid entry from memory and drop any entry at any time.
//! It is an outcome when a TLB has the old address while memory has the new one: what the protocol is there to prevent.
//!
//! The same system stands in `benches/explore/bbm.pml` for SPIN.

use std::convert::Infallible;

use super::system::{Path, Steps, System};

/// CPUs that fit into a state.
pub const MOST_CPUS: usize = 3;

const OLD: u64 = 1;
const NEW: u64 = 2;

/// What a CPU does next about its page.
const BREAK: u64 = 0;
const BREAK_DSB: u64 = 1;
const TLBI: u64 = 2;
const TLBI_DSB: u64 = 3;
const MAKE: u64 = 4;
const MAKE_DSB: u64 = 5;
const DONE: u64 = 6;

// A word: memory and buffers (2 bits a page), program counters (4 bits a CPU), TLB entries (2 bits), invalidations (1 bit).
const MEMORY: usize = 0;
const BUFFER: usize = 8;
const PC: usize = 16;
const TLB: usize = 28;
const PENDING: usize = 46;

/// The protocol with this many CPUs.
#[derive(Clone, Copy, Debug)]
pub struct BreakBeforeMake {
    cpus: usize,
    /// The last `DSB` before the new entry is there.
    waits: bool,
}

impl BreakBeforeMake {
    /// One to three CPUs; other numbers are taken to the nearest.
    #[must_use]
    pub fn new(cpus: usize, waits: bool) -> BreakBeforeMake {
        BreakBeforeMake { cpus: cpus.clamp(1, MOST_CPUS), waits }
    }

    const fn slot(cpu: usize, page: usize) -> usize {
        cpu * MOST_CPUS + page
    }
}

#[inline]
const fn two(s: u64, at: usize, n: usize) -> u64 {
    s >> (at + 2 * n) & 3
}

#[inline]
const fn with_two(s: u64, at: usize, n: usize, value: u64) -> u64 {
    s & !(3 << (at + 2 * n)) | value << (at + 2 * n)
}

#[inline]
const fn pc(s: u64, cpu: usize) -> u64 {
    s >> (PC + 4 * cpu) & 15
}

#[inline]
const fn next_pc(s: u64, cpu: usize) -> u64 {
    s + (1 << (PC + 4 * cpu))
}

impl System for BreakBeforeMake {
    type State = u64;
    type Error = Infallible;

    fn words(&self) -> usize {
        1
    }

    fn fingerprint(&self) -> u64 {
        self.cpus as u64 | u64::from(self.waits) << 8
    }

    fn initial(&self, push: &mut dyn FnMut(&[u64])) -> Result<(), Infallible> {
        let memory = (0..self.cpus).fold(0, |s, page| with_two(s, MEMORY, page, OLD));
        push(&[memory]);
        Ok(())
    }

    #[inline]
    fn restore(&self, words: &[u64], _path: &Path<'_>) -> Result<u64, Infallible> {
        Ok(words[0])
    }

    /// Programs first, then what hardware does on each CPU.
    #[inline]
    fn processes(&self, _state: &u64) -> usize {
        2 * self.cpus
    }

    #[inline]
    fn steps(&self, state: &mut u64, process: usize, steps: &mut Steps) -> Result<(), Infallible> {
        let s = *state;
        if process < self.cpus {
            self.program(s, process, steps);
        } else {
            self.hardware(s, process - self.cpus, steps);
        }
        Ok(())
    }

    #[inline]
    fn outcome(&self, words: &[u64]) -> bool {
        let s = words[0];
        (0..self.cpus).any(|page| {
            two(s, MEMORY, page) == NEW && (0..self.cpus).any(|cpu| two(s, TLB, Self::slot(cpu, page)) == OLD)
        })
    }

    /// CPUs, each with its page, can change places.
    fn canonical(&self, words: &mut [u64]) {
        const ORDERS: [&[[usize; 3]]; 4] = [
            &[],
            &[[0, 1, 2]],
            &[[0, 1, 2], [1, 0, 2]],
            &[[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]],
        ];
        let least = ORDERS[self.cpus].iter().map(|order| self.renamed(words[0], order)).min();
        words[0] = least.unwrap_or(words[0]);
    }
}

impl BreakBeforeMake {
    #[inline]
    fn program(&self, s: u64, cpu: usize, steps: &mut Steps) {
        let label = (cpu * 16) as u16;
        let buffer = two(s, BUFFER, cpu);
        let ahead = next_pc(s, cpu);
        match pc(s, cpu) {
            // Bit 2 of a buffer stands for an invalid entry: 3 is "nothing valid", 0 "empty".
            BREAK => steps.push(label, false, &[with_two(ahead, BUFFER, cpu, 3)]),
            BREAK_DSB | MAKE_DSB if buffer == 0 => steps.push(label, true, &[ahead]),
            TLBI => {
                let sent = (0..self.cpus).fold(ahead, |s, other| s | 1 << (PENDING + Self::slot(other, cpu)));
                steps.push(label, false, &[sent]);
            }
            TLBI_DSB => {
                let busy = (0..self.cpus).any(|other| s >> (PENDING + Self::slot(other, cpu)) & 1 != 0);
                if !self.waits || !busy {
                    steps.push(label, true, &[ahead]);
                }
            }
            MAKE => steps.push(label, false, &[with_two(ahead, BUFFER, cpu, NEW)]),
            _ => {}
        }
    }

    #[inline]
    fn hardware(&self, s: u64, cpu: usize, steps: &mut Steps) {
        let label = (cpu * 16) as u16;
        let buffer = two(s, BUFFER, cpu);
        if buffer != 0 {
            let entry = if buffer == NEW { NEW } else { 0 };
            steps.push(label + 1, false, &[with_two(with_two(s, BUFFER, cpu, 0), MEMORY, cpu, entry)]);
        }
        for page in 0..self.cpus {
            let slot = Self::slot(cpu, page);
            let entry = two(s, MEMORY, page);
            if two(s, TLB, slot) != 0 {
                steps.push(label + 2 + page as u16, false, &[with_two(s, TLB, slot, 0)]);
            } else if entry != 0 {
                steps.push(label + 5 + page as u16, false, &[with_two(s, TLB, slot, entry)]);
            }
            if s >> (PENDING + slot) & 1 != 0 {
                let done = with_two(s & !(1 << (PENDING + slot)), TLB, slot, 0);
                steps.push(label + 8 + page as u16, false, &[done]);
            }
        }
    }

    /// The state with CPU `order[n]` in the place of CPU n.
    fn renamed(&self, s: u64, order: &[usize; 3]) -> u64 {
        let mut out = 0;
        for n in 0..self.cpus {
            let old = order[n];
            out = with_two(out, MEMORY, n, two(s, MEMORY, old));
            out = with_two(out, BUFFER, n, two(s, BUFFER, old));
            out |= pc(s, old) << (PC + 4 * n);
            for (page, from) in order.iter().take(self.cpus).enumerate() {
                let (to, from) = (Self::slot(n, page), Self::slot(old, *from));
                out = with_two(out, TLB, to, two(s, TLB, from));
                out |= (s >> (PENDING + from) & 1) << (PENDING + to);
            }
        }
        out
    }

    /// Whether every CPU is through with its page.
    #[must_use]
    pub fn done(&self, words: &[u64]) -> bool {
        (0..self.cpus).all(|cpu| pc(words[0], cpu) == DONE)
    }
}
