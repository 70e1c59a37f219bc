//! What is remembered of rows when the rules change: marks follow their program to its new number,
//! digests of fields follow their field to its new column.

use indexmap::map::Entry;

use crate::record::Columns;

use super::{More, Seen, SeenRows, Wants, Was};

/// Stands for the digest of a field that was not read then. A real digest is as good as never 0;
/// where it is, one change of one field is not told.
pub(super) const UNREAD: u32 = 0;

/// Where programs went: by old number, the new one; none: it is gone.
pub type Moves = [Option<u32>];

impl SeenRows {
    /// Follows the programs and columns of another generation.
    pub fn follow(&mut self, moves: &Moves, columns: (&Columns, &Columns), wants: Wants) {
        let columns = column_moves(columns);
        for seen in self.rows.values_mut() {
            seen.follow(moves);
            let Some(more) = &mut seen.more else { continue };
            let fields = more.fields.take().filter(|_| wants.amendments);
            more.fields = fields.map(|fields| moved(&fields, &columns));
            if more.was.is_empty() && more.end.is_none() && more.fields.is_none() {
                seen.more = None;
            }
        }
    }

    /// Takes over what another life of the same rows knows of the programs that move here. What this
    /// one knew of those programs must be gone.
    pub fn adopt(&mut self, other: Self, moves: &Moves, columns: (&Columns, &Columns), wants: Wants) {
        let columns = column_moves(columns);
        let sweeps = self.sweeps;
        for (key, mut theirs) in other.rows {
            theirs.follow(moves);
            theirs.sweeps = sweeps;
            if let Some(more) = &mut theirs.more {
                let fields = more.fields.take().filter(|_| wants.amendments);
                more.fields = fields.map(|fields| moved(&fields, &columns));
            }
            match self.rows.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(theirs);
                }
                Entry::Occupied(ours) => ours.into_mut().join(theirs),
            }
        }
    }
}

impl Seen {
    fn follow(&mut self, moves: &Moves) {
        let bits = std::mem::take(&mut self.hit);
        let was = self.more.as_mut().map(|more| std::mem::take(&mut more.was)).unwrap_or_default();
        let by_bit = (0..64).filter(|program| bits >> program & 1 == 1);
        let by_bit = by_bit.map(|program| Was { program, amended: false, clears: false });
        for was in by_bit.chain(was) {
            if let Some(program) = moves.get(was.program as usize).copied().flatten() {
                self.mark(Was { program, ..was });
            }
        }
    }

    /// Both lives of one row together.
    fn join(&mut self, theirs: Self) {
        self.ended |= theirs.ended;
        let bits = theirs.hit;
        self.hit |= bits;
        let Some(theirs) = theirs.more else { return };
        let More { was, end, fields } = *theirs;
        for was in was {
            self.mark(was);
        }
        if end.is_some() || fields.is_some() {
            let more = self.more.get_or_insert_default();
            more.end = more.end.max(end);
            more.fields = more.fields.take().or(fields);
        }
    }
}

/// By new column, the old one of the same field.
fn column_moves((from, to): (&Columns, &Columns)) -> Vec<Option<usize>> {
    to.names().iter().map(|name| from.get(name).map(|column| usize::from(column.0))).collect()
}

fn moved(fields: &[u32], columns: &[Option<usize>]) -> Box<[u32]> {
    let of = |from: &Option<usize>| from.and_then(|from| fields.get(from).copied()).unwrap_or(UNREAD);
    columns.iter().map(of).collect()
}
