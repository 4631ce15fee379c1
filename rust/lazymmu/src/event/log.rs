//! The record of a run.

use super::Event;

/// Events in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub struct Log {
    events: Vec<Event>,
}

impl Log {
    #[must_use]
    pub fn new() -> Log {
        Log::default()
    }

    #[inline]
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }
}
