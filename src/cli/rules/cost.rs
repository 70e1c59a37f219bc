//! What rules cost: each by itself over the end of the archive.
//!
//! A daemon judges all rules at once and looks at what they ask in common once for all of them, so no
//! clock around one rule in it would be honest. Here each rule goes alone, with the rules that it hears
//! of, over the same rows, and what the rows cost without any rule is taken off. It is time of this
//! machine at this moment: good for finding the slow one, not for keeping.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::Failure;
use crate::cli::archive::rows_of;
use crate::daemon::intake;
use crate::daemon::life::{Halt, Rehearsal};
use crate::engine::{Generation, GenerationText};
use crate::record::RuleId;
use crate::store::sqlite::Sqlite;
use crate::store::{Entry, Lane, Store};

/// Rows of the archive that rules are measured over: a second's work for some twenty rules.
const SAMPLE_ROWS: usize = 5_000;
/// Entries of the journal that are looked at for them, the last ones.
const SAMPLE_ENTRIES: u64 = 2_000;
/// Bytes of them.
const SAMPLE_BYTES: usize = 8 << 20;
/// Each is measured so often, and the best counts: the others were disturbed.
const TRIES: usize = 3;

/// What rules cost.
#[derive(Debug, Default)]
pub struct Costs {
    /// Nanoseconds a row, by rule.
    pub nanos: BTreeMap<String, u64>,
    /// The rows that they were measured over.
    pub rows: usize,
}

/// What is measured over.
struct Sample<'a> {
    tenant: &'a str,
    lanes: Vec<Lane>,
    entries: Vec<Entry>,
    rows: usize,
}

impl Costs {
    /// Measures the rules in force for `tenant`; nothing where there is no archive.
    pub async fn add(&mut self, store: &Sqlite, tenant: &Arc<str>) -> Result<(), Failure> {
        let life = intake::revived(store, tenant).await?;
        let text = intake::text(store, &life.generation().digest).await?;
        let Some(sample) = Sample::of(store, tenant).await? else { return Ok(()) };
        let without = sample.time(&text, &BTreeSet::new())?;
        for program in &life.generation().programs.list {
            let rule = program.rule.id();
            let with = sample.time(&text, &BTreeSet::from([rule.clone()]))?;
            let rows = u128::try_from(sample.rows).unwrap_or(1).max(1);
            let nanos = u64::try_from(with.saturating_sub(without).as_nanos() / rows).unwrap_or(u64::MAX);
            let most = self.nanos.entry(rule.to_string()).or_default();
            *most = (*most).max(nanos);
        }
        self.rows += sample.rows;
        Ok(())
    }
}

impl<'a> Sample<'a> {
    async fn of(store: &Sqlite, tenant: &'a Arc<str>) -> Result<Option<Self>, Failure> {
        let Some((first, last)) = store.span(tenant.clone()).await? else { return Ok(None) };
        let after = last.saturating_sub(SAMPLE_ENTRIES).max(first.saturating_sub(1));
        let mut entries = store.journal(tenant.clone(), after, SAMPLE_BYTES).await?;
        let (mut rows, mut from) = (0, entries.len());
        while rows < SAMPLE_ROWS && from > 0 {
            from -= 1;
            rows += rows_of(&entries[from]);
        }
        entries.drain(..from);
        let lanes = store.lanes(tenant.clone()).await?;
        Ok((rows > 0).then_some(Self { tenant, lanes, entries, rows }))
    }

    /// How long the rules take over it, and those that they hear of.
    fn time(&self, text: &GenerationText, rules: &BTreeSet<RuleId>) -> Result<Duration, Halt> {
        let generation = text.compile_only(rules).generation;
        let mut best = self.once(&generation)?;
        for _ in 1..TRIES {
            best = best.min(self.once(&generation)?);
        }
        Ok(best)
    }

    fn once(&self, generation: &Arc<Generation>) -> Result<Duration, Halt> {
        let mut rehearsal = Rehearsal::new(self.tenant, generation.clone(), &self.lanes);
        #[expect(clippy::disallowed_methods, reason = "measures for a person, decides nothing")]
        let begun = Instant::now();
        for entry in &self.entries {
            rehearsal.take(entry)?;
        }
        Ok(begun.elapsed())
    }
}
