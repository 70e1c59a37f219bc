//! What is remembered of rows when the rules change: marks follow their program to its new number,
//! digests of fields follow their field to its new column.

use crate::record::{Columns, Millis};

use super::{BITS, Is, More, Mores, Seen, SeenRows, Wants, Was};

/// Stands for the digest of a field that was not read then. A real digest is as good as never 0;
/// where it is, one change of one field is not told.
pub(super) const UNREAD: u32 = 0;

/// Where programs went: by old number, the new one; none: it is gone.
pub type Moves = [Option<u32>];

impl SeenRows {
    /// Follows the programs and columns of another generation.
    pub fn follow(&mut self, moves: &Moves, columns: (&Columns, &Columns), wants: Wants) {
        self.noted = None;
        let columns = column_moves(columns);
        let Self { rows, more, .. } = self;
        for seen in rows.iter_mut() {
            seen.follow(moves, more);
        }
        for more in more.values_mut() {
            let fields = more.fields.take().filter(|_| wants.amendments);
            more.fields = fields.map(|fields| moved(&fields, &columns));
        }
        more.retain(|_, more| !more.is_nothing());
    }

    /// What program number `lead` has counted, these have counted too.
    pub fn mark_alike(&mut self, lead: usize, alike: &[usize]) {
        let Ok(lead) = u32::try_from(lead) else { return };
        let alike: Vec<u32> = alike.iter().filter_map(|other| u32::try_from(*other).ok()).collect();
        let Self { rows, more, .. } = self;
        for seen in rows.iter_mut() {
            let bit = lead < BITS && seen.hit >> lead & 1 == 1;
            let listed = more.get(&seen.key).map(|more| more.was.as_slice()).unwrap_or_default();
            let of_lead = listed.iter().filter(|was| was.program == lead).copied();
            let own = Was { program: lead, amended: false, clears: false };
            let was: Vec<Was> = of_lead.chain(bit.then_some(own)).collect();
            for was in was {
                for other in &alike {
                    seen.mark(Was { program: *other, ..was }, more);
                }
            }
        }
    }

    /// Takes over what another life of the same rows knows of the programs that move here. What this
    /// one knew of those programs must be gone.
    pub fn adopt(&mut self, other: Self, moves: &Moves, columns: (&Columns, &Columns), wants: Wants) {
        self.noted = None;
        let columns = column_moves(columns);
        let Self { rows, more: mut mores, .. } = other;
        for mut theirs in rows.into_rows() {
            theirs.follow(moves, &mut mores);
            let mut more = mores.swap_remove(&theirs.key).unwrap_or_default();
            let fields = more.fields.take().filter(|_| wants.amendments);
            more.fields = fields.map(|fields| moved(&fields, &columns));
            let place = self.rows.find(theirs.key);
            if let Some(ours) = place.and_then(|place| self.rows.at(place)) {
                ours.join(&theirs, more, &mut self.more);
                continue;
            }
            if !more.is_nothing() {
                self.more.insert(theirs.key, more);
            }
            self.rows.add(theirs.key, self.sweeps, || theirs);
        }
    }
}

impl More {
    fn is_nothing(&self) -> bool {
        self.was.is_empty() && self.fields.is_none()
    }
}

impl Seen {
    fn follow(&mut self, moves: &Moves, more: &mut Mores) {
        let bits = std::mem::take(&mut self.hit);
        let was = more.get_mut(&self.key).map(|more| std::mem::take(&mut more.was)).unwrap_or_default();
        let by_bit = (0..BITS).filter(|program| bits >> program & 1 == 1);
        let by_bit = by_bit.map(|program| Was { program, amended: false, clears: false });
        for was in by_bit.chain(was) {
            if let Some(program) = moves.get(was.program as usize).copied().flatten() {
                self.mark(Was { program, ..was }, more);
            }
        }
    }

    /// Both lives of one row together.
    fn join(&mut self, theirs: &Self, more: More, mores: &mut Mores) {
        self.is.set(Is::ENDED, self.is.so(Is::ENDED) || theirs.is.so(Is::ENDED));
        self.hit |= theirs.hit;
        for was in more.was {
            self.mark(was, mores);
        }
        self.ends((theirs.lasts >= 0).then(|| theirs.start + Millis(theirs.lasts)));
        if more.fields.is_some() {
            let ours = mores.entry(self.key).or_default();
            ours.fields = ours.fields.take().or(more.fields);
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
