//! A search on disk.
//!
//! The file is written beside its place and renamed: whatever kills the program, one whole checkpoint is there. Its words
//! are little-endian; the last one is a hash of all before it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::engine::State;
use super::store::{SHARDS, Shard, Store, fold};

const MAGIC: u64 = u64::from_le_bytes(*b"lmmuexp\x01");

/// A checkpoint that cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: not a checkpoint of this version", .path.display())]
    Format { path: PathBuf },
    #[error("{}: the checkpoint is cut off or damaged", .path.display())]
    Damaged { path: PathBuf },
    #[error("{}: a checkpoint of another search: system or settings differ", .path.display())]
    Other { path: PathBuf },
}

struct Out<W: Write> {
    to: W,
    sum: u64,
}

impl<W: Write> Out<W> {
    fn word(&mut self, word: u64) -> io::Result<()> {
        self.sum = fold(self.sum ^ word, 0x9e37_79b9_7f4a_7c15);
        self.to.write_all(&word.to_le_bytes())
    }

    fn list(&mut self, words: &[u64]) -> io::Result<()> {
        self.word(words.len() as u64)?;
        words.iter().try_for_each(|word| self.word(*word))
    }
}

struct In<R: Read> {
    from: R,
    sum: u64,
    left: u64,
}

impl<R: Read> In<R> {
    /// `None`: nothing is left.
    fn word(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes)?;
        let word = u64::from_le_bytes(bytes);
        self.sum = fold(self.sum ^ word, 0x9e37_79b9_7f4a_7c15);
        self.left = self.left.saturating_sub(1);
        Ok(word)
    }

    fn list(&mut self) -> io::Result<Vec<u64>> {
        let n = self.word()?;
        if n > self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (0..n).map(|_| self.word()).collect()
    }
}

/// Writes a checkpoint; it appears whole or not at all.
pub(super) fn write(path: &Path, identity: u64, state: &State, seconds: f64) -> Result<(), CheckpointError> {
    let failed = |error| CheckpointError::Io { path: path.to_owned(), error };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    put(&partial, identity, state, seconds).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)
}

fn put(path: &Path, identity: u64, state: &State, seconds: f64) -> io::Result<()> {
    let mut out = Out { to: BufWriter::with_capacity(1 << 20, File::create(path)?), sum: 0 };
    for word in [
        MAGIC,
        identity,
        state.cursor as u64,
        u64::from(state.depth),
        state.steps,
        state.dead_ends,
        u64::from(state.sampled),
        seconds.to_bits(),
    ] {
        out.word(word)?;
    }
    out.list(&state.frontier)?;
    out.list(&state.next)?;
    out.word(state.outcomes.len() as u64)?;
    for (id, words) in &state.outcomes {
        out.word(*id)?;
        out.list(words)?;
    }
    for (shard, from) in state.store.shards.iter().zip(&state.store.fresh_from) {
        out.list(&shard.keys)?;
        out.list(&shard.from)?;
        out.list(&shard.fresh)?;
        out.word(*from as u64)?;
    }
    let sum = out.sum;
    out.word(sum)?;
    out.to.flush()?;
    out.to.get_ref().sync_all()
}

/// Reads a checkpoint of the search with this identity.
pub(super) fn read(path: &Path, identity: u64, words: usize, fingerprint: bool) -> Result<State, CheckpointError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => CheckpointError::Damaged { path: path.to_owned() },
        _ => CheckpointError::Io { path: path.to_owned(), error },
    };
    let file = File::open(path).map_err(failed)?;
    let left = file.metadata().map_err(failed)?.len() / 8;
    let mut from = In { from: BufReader::with_capacity(1 << 20, file), sum: 0, left };
    if from.word().map_err(failed)? != MAGIC {
        return Err(CheckpointError::Format { path: path.to_owned() });
    }
    if from.word().map_err(failed)? != identity {
        return Err(CheckpointError::Other { path: path.to_owned() });
    }
    let state = take(&mut from, words, fingerprint).map_err(failed)?;
    let sum = from.sum;
    if from.word().map_err(failed)? != sum {
        return Err(CheckpointError::Damaged { path: path.to_owned() });
    }
    Ok(state)
}

fn take(from: &mut In<impl Read>, words: usize, fingerprint: bool) -> io::Result<State> {
    let (cursor, depth) = (from.word()? as usize, from.word()? as u32);
    let (steps, dead_ends, sampled) = (from.word()?, from.word()?, from.word()? != 0);
    let before = f64::from_bits(from.word()?);
    let (frontier, next) = (from.list()?, from.list()?);
    let found = from.word()?;
    let mut outcomes = Vec::new();
    for _ in 0..found {
        outcomes.push((from.word()?, from.list()?));
    }
    let mut store = Store::new(words, fingerprint);
    for n in 0..SHARDS {
        let shard = Shard { keys: from.list()?, from: from.list()?, fresh: from.list()?, ..Shard::default() };
        store.shards[n] = shard;
        store.shards[n].grow(store.width);
        store.fresh_from[n] = from.word()? as usize;
    }
    Ok(State { store, frontier, cursor, next, depth, steps, dead_ends, outcomes, sampled, before })
}
