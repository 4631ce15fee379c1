//! What can be searched.

/// A transition system.
///
/// A state is a fixed number of words. A step carries a label, a number that together with the state before it says what
/// was done.
pub trait System: Sync {
    /// A state as steps are computed from it.
    type State;
    /// Why a step cannot be computed: the system makes no sense.
    type Error: Send;

    /// Words of an encoded state.
    fn words(&self) -> usize;

    /// What the system and its settings are, as a number: a search that was interrupted goes on only with the same.
    fn fingerprint(&self) -> u64;

    /// The states in which it may begin.
    fn initial(&self, push: &mut dyn FnMut(&[u64])) -> Result<(), Self::Error>;

    /// The state again, from its words and how the search came there.
    fn restore(&self, words: &[u64], path: &Path<'_>) -> Result<Self::State, Self::Error>;

    /// How many processes there are.
    fn processes(&self, state: &Self::State) -> usize;

    /// The steps of one process in a state.
    fn steps(&self, state: &mut Self::State, process: usize, steps: &mut Steps) -> Result<(), Self::Error>;

    /// Whether the search has something to report here. Outcomes are not searched further.
    fn outcome(&self, words: &[u64]) -> bool;

    /// Replaces the state by the one that stands for all that differ from it by a symmetry.
    fn canonical(&self, _words: &mut [u64]) {}

    /// States worked on together: between two batches the search reports, saves itself and looks at its bounds.
    fn batch(&self) -> usize {
        1 << 15
    }

    /// Bits, if a state's words are themselves a digest of something larger: different states may then look the same.
    fn digest_bits(&self) -> Option<u32> {
        None
    }
}

/// The steps that lead out of a state.
#[derive(Debug, Default)]
pub struct Steps {
    pub(super) words: Vec<u64>,
    pub(super) labels: Vec<u16>,
    pub(super) local: bool,
}

impl Steps {
    /// Adds a step.
    ///
    /// `local` claims that no step of any other process, now or ever after, depends on it or is seen to come before or
    /// after it, and that no circle of steps consists of local ones only. Where all steps of a process are local, the
    /// partial-order reduction looks at no other process.
    #[inline]
    pub fn push(&mut self, label: u16, local: bool, words: &[u64]) {
        self.labels.push(label);
        self.words.extend_from_slice(words);
        self.local &= local;
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.labels.clear();
    }

    /// Forgets all but the steps behind the `mark`-th.
    pub(super) fn keep_from(&mut self, mark: usize, words: usize) {
        self.labels.drain(..mark);
        self.words.drain(..mark * words);
    }
}

/// How the search came to a state.
#[derive(Debug)]
pub struct Path<'a> {
    pub(super) labels: &'a dyn LabelsTo,
    pub(super) id: u64,
}

impl Path<'_> {
    /// The labels of the steps, first one first.
    #[must_use]
    pub fn labels(&self) -> Vec<u16> {
        self.labels.labels_to(self.id)
    }
}

pub(super) trait LabelsTo: std::fmt::Debug {
    fn labels_to(&self, id: u64) -> Vec<u16>;
}
