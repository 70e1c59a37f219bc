//! An engine's state, written down: all of it, or what changed since it was last written.
//!
//! It is written item by item into pieces of about [`PIECE`] bytes, each with a digest. A whole state, and what
//! changed after it in order, read again give the state as it was when the last of them was written.
//! Groups are written as they are packed, rows of the table as they came; what is small is written whole
//! where it is not as it was written last.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::lanes::Lanes;
use super::memory::MemoryState;
use super::program::ProgramState;
use super::{Engine, Generation, seen};

/// Bytes of a piece, about: many are written and read one by one, so that no state is in memory twice.
const PIECE: usize = 1 << 20;

/// How a state is written: raised when a part of it has another shape, so that bytes of one version
/// are never read as those of another. What cannot be restored is judged anew from the journal.
const LAYOUT: u32 = 7;

/// Bytes of a digest.
const DIGEST: usize = size_of::<u64>();

/// An engine's state, for restoring it under the same generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// All of it; else what changed since it was last written.
    pub whole: bool,
    /// Its pieces, in order.
    pub pieces: Vec<Vec<u8>>,
}

impl Snapshot {
    /// Bytes of all pieces.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }
}

/// A snapshot that cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// It is of other rules.
    #[error("the snapshot is of generation {0}, not of this one")]
    OtherGeneration(String),
    /// It is of another version of Larum.
    #[error("the snapshot is written as version {0} does it, not as version {LAYOUT}")]
    OtherLayout(u32),
    /// Bytes of it have changed, or pieces are missing.
    #[error("the snapshot is damaged")]
    Damaged,
    /// It cannot be read, or the state cannot be written.
    #[error("the snapshot cannot be read or written")]
    Unreadable(#[from] postcard::Error),
}

/// What an item is of. A value of the type that is named follows.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Digest and meaning of the generation, and whether the state is whole.
    Begin,
    /// A program's number, and its state but for what is written apart.
    State,
    /// A program's number, and hits that wait.
    Waiting,
    /// A program's number, whether all groups before are gone, else keys of those that are, and groups, as
    /// bytes.
    Groups,
    /// A memory's number, and its state but for what is written apart.
    Memory,
    /// A memory's number, whether all groups before are gone, and groups by key; none: it is gone.
    Known,
    /// What is remembered of rows besides them, whether all that was remembered of them before is gone, and the
    /// place before which they are.
    Seen,
    /// The place of the first, the age of their chunk, and rows in the order they came.
    Rows,
    /// The place of a row that changed, and the row.
    Row,
    /// A row's identity, and what is remembered besides, if anything.
    More,
    /// Lanes, and what rows were.
    Lanes,
}

/// Bytes as they are.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Items on their way into pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Pieces {
    /// Adds an item.
    pub(super) fn add(&mut self, kind: Kind, value: &impl Serialize) -> Result<(), postcard::Error> {
        if self.open.is_empty() {
            self.open.extend_from_slice(&[0; DIGEST]);
            self.open = postcard::to_extend(&LAYOUT, std::mem::take(&mut self.open))?;
        }
        self.open = postcard::to_extend(&(kind, value), std::mem::take(&mut self.open))?;
        if self.open.len() >= PIECE {
            self.seal();
        }
        Ok(())
    }

    fn seal(&mut self) {
        let mut piece = std::mem::take(&mut self.open);
        if let Some((digest, rest)) = piece.split_first_chunk_mut::<DIGEST>() {
            *digest = xxh3_64(rest).to_le_bytes();
            piece.shrink_to_fit();
            self.done.push(piece);
        }
    }

    fn end(mut self) -> Vec<Vec<u8>> {
        self.seal();
        self.done
    }
}

/// Items of a piece.
pub(super) struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    fn of(piece: &'a [u8]) -> Result<Self, BadSnapshot> {
        let (digest, rest) = piece.split_first_chunk::<DIGEST>().ok_or(BadSnapshot::Damaged)?;
        if u64::from_le_bytes(*digest) != xxh3_64(rest) {
            return Err(BadSnapshot::Damaged);
        }
        let (layout, items) = postcard::take_from_bytes(rest)?;
        if layout != LAYOUT {
            return Err(BadSnapshot::OtherLayout(layout));
        }
        Ok(Self(items))
    }

    /// What the next item is of; none where there is none.
    fn next(&mut self) -> Result<Option<Kind>, BadSnapshot> {
        if self.0.is_empty() { Ok(None) } else { self.take().map(Some) }
    }

    /// The value that follows.
    pub(super) fn take<T: Deserialize<'a>>(&mut self) -> Result<T, BadSnapshot> {
        let (value, rest) = postcard::take_from_bytes(self.0)?;
        self.0 = rest;
        Ok(value)
    }
}

/// What was written last: what changed since can be told.
#[derive(Debug)]
pub(super) struct Kept {
    /// Bytes of the whole state.
    whole: usize,
    /// Bytes of what was written after it.
    after: usize,
    /// Digests of programs' and memories' states.
    digests: Digests,
}

#[derive(Debug, Default)]
struct Digests {
    states: Vec<u64>,
    memories: Vec<u64>,
}

/// Adds `value` if it is not as it was written; its digest.
fn add_changed(
    pieces: &mut Pieces,
    kind: Kind,
    (number, value): (usize, &impl Serialize),
    written: Option<&Vec<u64>>,
) -> Result<u64, postcard::Error> {
    let bytes = postcard::to_stdvec(value)?;
    let digest = xxh3_64(&bytes);
    if written.and_then(|written| written.get(number)) != Some(&digest) {
        pieces.add(kind, &(number, value))?;
    }
    Ok(digest)
}

impl Engine {
    /// The whole state. An error means that a part of it cannot be written: never restore from less.
    pub fn snapshot(&self) -> Result<Snapshot, BadSnapshot> {
        let (pieces, _) = self.write(None)?;
        Ok(Snapshot { whole: true, pieces })
    }

    /// What changed since this was last called; the whole state at first, under a new generation, and once
    /// what was written since is more than that. Whoever cannot keep it must not go on with this engine.
    pub fn checkpoint(&mut self) -> Result<Snapshot, BadSnapshot> {
        let kept = self.kept.take().filter(|kept| kept.after <= kept.whole);
        let (pieces, digests) = self.write(kept.as_ref().map(|kept| &kept.digests))?;
        let snapshot = Snapshot { whole: kept.is_none(), pieces };
        let bytes = snapshot.bytes();
        let (whole, after) = kept.map_or((bytes, 0), |kept| (kept.whole, kept.after + bytes));
        self.kept = Some(Kept { whole, after, digests });
        self.states.iter_mut().for_each(ProgramState::note_anew);
        self.memories.iter_mut().for_each(MemoryState::note_anew);
        self.seen.note_anew();
        Ok(snapshot)
    }

    /// What was given last was not kept: the next is the whole state.
    pub fn keep_anew(&mut self) {
        self.kept = None;
    }

    /// Writes all, or what is not as it was written.
    fn write(&self, written: Option<&Digests>) -> Result<(Vec<Vec<u8>>, Digests), BadSnapshot> {
        let (mut pieces, mut digests, whole) = (Pieces::default(), Digests::default(), written.is_none());
        let Generation { digest, meaning, .. } = &*self.generation;
        pieces.add(Kind::Begin, &(digest, meaning, whole))?;
        for one in self.states.iter().enumerate() {
            let before = written.map(|written| &written.states);
            digests.states.push(add_changed(&mut pieces, Kind::State, one, before)?);
            one.1.write(one.0, whole, &mut pieces)?;
        }
        for one in self.memories.iter().enumerate() {
            let before = written.map(|written| &written.memories);
            digests.memories.push(add_changed(&mut pieces, Kind::Memory, one, before)?);
            one.1.write(one.0, whole, &mut pieces)?;
        }
        self.seen.write(whole, &mut pieces)?;
        pieces.add(Kind::Lanes, &(&self.lanes, self.rows))?;
        Ok((pieces.end(), digests))
    }

    /// The engine as it was when the last of `pieces` was written: those of a whole state, then those of what
    /// changed after it, in order.
    pub fn restore(
        generation: Arc<Generation>,
        tenant: &str,
        pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Self, BadSnapshot> {
        let mut engine = Self::new(generation, tenant);
        let mut begun = false;
        for piece in pieces {
            let mut items = Items::of(piece.as_ref())?;
            while let Some(kind) = items.next()? {
                engine.read(kind, &mut items, &mut begun)?;
            }
        }
        if !begun {
            return Err(BadSnapshot::Damaged);
        }
        engine.states.iter_mut().for_each(ProgramState::wake);
        Ok(engine)
    }

    /// Takes in one item.
    fn read(&mut self, kind: Kind, items: &mut Items<'_>, begun: &mut bool) -> Result<(), BadSnapshot> {
        if let Kind::Begin = kind {
            let (digest, meaning, whole): (&str, &str, bool) = items.take()?;
            if (digest, meaning) != (&*self.generation.digest, &*self.generation.meaning) {
                return Err(BadSnapshot::OtherGeneration(digest.to_owned()));
            }
            // The whole state comes first, and once.
            return if std::mem::replace(begun, true) == whole { Err(BadSnapshot::Damaged) } else { Ok(()) };
        }
        if !*begun {
            return Err(BadSnapshot::Damaged);
        }
        match kind {
            Kind::Begin => {}
            Kind::State => {
                let state = numbered(&mut self.states, items)?;
                let before = std::mem::replace(state, items.take()?);
                state.take_apart(before);
            }
            Kind::Waiting => numbered(&mut self.states, items)?.read_waiting(items)?,
            Kind::Groups => numbered(&mut self.states, items)?.read_groups(items)?,
            Kind::Memory => {
                let memory = numbered(&mut self.memories, items)?;
                let before = std::mem::replace(memory, items.take()?);
                memory.take_apart(before);
            }
            Kind::Known => numbered(&mut self.memories, items)?.read(items)?,
            Kind::Seen | Kind::Rows | Kind::Row | Kind::More => self.seen.read(kind, items)?,
            Kind::Lanes => {
                let (lanes, rows): (Lanes, seen::Tally) = items.take()?;
                (self.lanes, self.rows) = (lanes, rows);
            }
        }
        Ok(())
    }
}

/// The one of `list` whose number follows.
fn numbered<'l, T>(list: &'l mut [T], items: &mut Items<'_>) -> Result<&'l mut T, BadSnapshot> {
    let number: usize = items.take()?;
    list.get_mut(number).ok_or(BadSnapshot::Damaged)
}
