//! One machine, several threads of the host, and exactly one that has it.
//!
//! Walkers are functions that run to their end. Where several of them are to run at the same time, each has a host thread
//! of its own, and the machine goes from hand to hand between two micro-steps: whoever has it runs, all others wait.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

type Parcel = Box<dyn Any + Send>;

struct Inner {
    /// Who may take the parcel.
    holder: usize,
    parcel: Option<Parcel>,
    /// Host threads that are inside an operation.
    busy: u32,
    /// Whoever is inside an operation gives it up.
    abandon: bool,
    quit: bool,
}

/// The machine's way from thread to thread.
pub(super) struct Baton {
    inner: Mutex<Inner>,
    wake: Vec<Condvar>,
}

impl fmt::Debug for Baton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Baton").field("threads", &self.wake.len()).finish()
    }
}

/// What a waiting thread gets.
pub(super) enum Received {
    Machine(Parcel),
    /// The run is over, or given up.
    Abandoned,
    /// There will be no more runs.
    Quit,
}

impl Baton {
    fn new(threads: usize) -> Baton {
        let inner = Inner { holder: 0, parcel: None, busy: 0, abandon: false, quit: false };
        Baton { inner: Mutex::new(inner), wake: (0..threads).map(|_| Condvar::new()).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the machine to a thread.
    pub(super) fn give(&self, to: usize, parcel: Parcel) {
        let mut inner = self.lock();
        inner.holder = to;
        inner.parcel = Some(parcel);
        drop(inner);
        self.wake[to].notify_one();
    }

    /// Waits for the machine. Thread 0, which runs all, is never told to give up.
    pub(super) fn wait(&self, me: usize, inside: bool) -> Received {
        let mut inner = self.lock();
        loop {
            if inner.holder == me
                && let Some(parcel) = inner.parcel.take()
            {
                if me != 0 && !inside {
                    inner.busy += 1;
                }
                return Received::Machine(parcel);
            }
            if inner.quit {
                return Received::Quit;
            }
            if inner.abandon && inside && me != 0 {
                return Received::Abandoned;
            }
            inner = self.wake[me].wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread is out of its operations.
    pub(super) fn outside(&self) {
        let mut inner = self.lock();
        inner.busy = inner.busy.saturating_sub(1);
        if inner.busy == 0 {
            self.wake[0].notify_one();
        }
    }

    /// Makes all threads give up their operations, and waits until they have.
    pub(super) fn settle(&self) {
        let mut inner = self.lock();
        inner.abandon = true;
        self.wake.iter().for_each(Condvar::notify_all);
        while inner.busy > 0 {
            inner = self.wake[0].wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.abandon = false;
        inner.parcel = None;
    }

    fn quit(&self) {
        self.lock().quit = true;
        self.wake.iter().for_each(Condvar::notify_all);
    }
}

/// The host threads behind thread 0.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(super) baton: Arc<Baton>,
    members: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Host threads for `threads` threads, of which the caller is the first.
    pub(super) fn new(threads: usize, body: fn(&Baton, usize)) -> std::io::Result<Crew> {
        let baton = Arc::new(Baton::new(threads.max(1)));
        let mut crew = Crew { baton, members: Vec::new() };
        for me in 1..threads {
            let baton = Arc::clone(&crew.baton);
            let member =
                std::thread::Builder::new().name(format!("cpu thread {me}")).spawn(move || body(&baton, me))?;
            crew.members.push(member);
        }
        Ok(crew)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.baton.quit();
        for member in self.members.drain(..) {
            // A member that panicked has nothing more to say.
            let _ = member.join();
        }
    }
}
