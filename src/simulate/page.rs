//! One page of one list: which rows, in which order, and how they look.

use std::cmp::Reverse;

use serde_json::{Map, Value, json};

use crate::record::{Millis, Timestamp};

use super::ask::Ask;
use super::dress::Dress;
use super::what::{Order, What};
use super::world::{KEPT, List, Row, World, time_in};

/// Rows come in between two pages when they are born, not later.
const FRESH: Millis = Millis::mins(1);

/// What troubles do to the choice of rows.
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    order: Order,
    /// Newest rows left out.
    hidden: usize,
    /// Added to the total.
    total: i64,
    doubled: Option<u64>,
    same_ids: Option<u64>,
    late: Option<(Millis, u64)>,
    moved: Option<(Millis, u64)>,
    items: Items,
}

/// What stands where the rows should.
#[derive(Debug, Clone, Copy, Default)]
enum Items {
    #[default]
    Rows,
    Null,
    Nothing,
}

impl Choice {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what concerns single rows is `Dress`'s")]
    fn of(troubles: &[What]) -> Self {
        let mut choice = Self::default();
        for what in troubles {
            match what {
                What::Order { by } => choice.order = *by,
                What::Inserted { rows } => choice.hidden = *rows,
                What::Total { by } => choice.total = *by,
                What::Doubled { one_in } => choice.doubled = Some(*one_in),
                What::SameIds { one_in } => choice.same_ids = Some(*one_in),
                What::LateBirths { by, one_in } => choice.late = Some((*by, *one_in)),
                What::StartMoves { by, one_in } => choice.moved = Some((*by, *one_in)),
                What::ItemsNull {} => choice.items = Items::Null,
                What::ItemsMissing {} => choice.items = Items::Nothing,
                _ => {}
            }
        }
        choice
    }
}

/// A row that is in the list, and its place among the world's.
#[derive(Debug, Clone, Copy)]
struct Chosen<'w> {
    row: &'w Row,
    place: usize,
    /// Its own time as it looks now.
    at: Option<Timestamp>,
    /// True where that is not its first.
    moved: bool,
}

/// The answer's body for `ask` at `now`.
pub fn page(world: &World, ask: &Ask, now: Timestamp, troubles: &[What]) -> Value {
    let choice = Choice::of(troubles);
    let dress = Dress::of(troubles);
    let mut chosen = chosen(world, ask, now, &choice);
    chosen.sort_by_key(|chosen| Reverse((chosen.at, chosen.row.number)));
    let fresh = |chosen: &&Chosen<'_>| chosen.row.born.is_some_and(|born| now - born < FRESH);
    let hidden = chosen.iter().take(choice.hidden).take_while(fresh).count();
    chosen.drain(..hidden);
    match choice.order {
        Order::NewestFirst => {}
        Order::OldestFirst => chosen.reverse(),
        Order::Shuffled => chosen.sort_by_key(|chosen| world.chance(chosen.row.number, "order")),
    }
    if let Some(one_in) = choice.doubled {
        let twice = |chosen: Chosen<'_>| 1 + usize::from(picked(world, chosen.row, "doubled", one_in));
        chosen = chosen.into_iter().flat_map(|chosen| std::iter::repeat_n(chosen, twice(chosen))).collect();
    }
    let total = i64::try_from(chosen.len()).unwrap_or(i64::MAX).saturating_add(choice.total).max(0);
    let shown = chosen.iter().skip(ask.offset).take(ask.limit);
    let rows: Vec<Value> = shown
        .map(|chosen| {
            let mut fields = form(ask.list, chosen, now);
            if choice.same_ids.is_some_and(|one_in| picked(world, chosen.row, "same_ids", one_in)) {
                borrow_id(world, ask.list, chosen.place, &mut fields);
            }
            dress.put_on(ask.list, chosen.row, world, &mut fields);
            Value::Object(fields)
        })
        .collect();
    let (count, items) = match ask.list {
        List::DesktopLogins => ("total_count", "records"),
        List::AppLogins | List::AppLaunches | List::Sessions | List::UserEvents => ("count", "items"),
    };
    match choice.items {
        Items::Rows => json!({count: total, items: rows}),
        Items::Null => json!({count: total, items: null}),
        Items::Nothing => json!({count: total}),
    }
}

/// True for one row in `one_in`, always the same ones.
fn picked(world: &World, row: &Row, purpose: &str, one_in: u64) -> bool {
    world.chance(row.number, purpose).is_multiple_of(one_in.max(1))
}

/// All rows that are there at `now`, in the world's order.
fn chosen<'w>(world: &'w World, ask: &Ask, now: Timestamp, choice: &Choice) -> Vec<Chosen<'w>> {
    let rows = world.rows(ask.list);
    let forgotten = now - KEPT;
    let shift = choice.moved.map_or(Millis::ZERO, |(by, _)| by);
    let timeless = rows.partition_point(|row| row.at.is_none());
    let least = ask.window.map_or(forgotten, |(start, _)| start.max(forgotten)) - shift;
    let most = ask.window.map_or(now, |(_, end)| end.min(now));
    let from = rows.partition_point(|row| row.at.is_none_or(|at| at < least));
    let to = rows.partition_point(|row| row.at.is_none_or(|at| at <= most)).max(from);
    let places = (0..timeless).chain(from..to);
    let all = places.map(|place| {
        let row = &rows[place];
        let moved = choice.moved.filter(|(_, one_in)| picked(world, row, "moved", *one_in));
        let later = moved.and_then(|(by, _)| Some(row.at? + by));
        let ended = row.end;
        let later = later.filter(|at| *at <= now && ended.is_none_or(|end| *at < end));
        Chosen { row, place, at: later.or(row.at), moved: later.is_some() }
    });
    all.filter(|chosen| {
        let late = choice.late.filter(|(_, one_in)| picked(world, chosen.row, "late", *one_in));
        let by = late.map_or(Millis::ZERO, |(by, _)| by);
        chosen.row.born.is_none_or(|born| born + by <= now)
            && chosen.at.is_none_or(|at| at >= forgotten)
            && ask.takes(chosen.row, chosen.at)
    })
    .collect()
}

/// The row as it looks now; one that was resumed starts anew, and its update time tells.
fn form(list: List, chosen: &Chosen<'_>, now: Timestamp) -> Map<String, Value> {
    let mut fields = chosen.row.at(list, now);
    if let (true, Some(at)) = (chosen.moved, chosen.at) {
        let text = at.to_string().replace(".000Z", "Z");
        if let Some(name) = list.times().starts.first() {
            fields.insert((*name).to_owned(), text.clone().into());
        }
        for name in list.times().updated {
            if fields.contains_key(*name) && time_in(&fields, name).is_none_or(|updated| updated < at) {
                fields.insert((*name).to_owned(), text.clone().into());
            }
        }
    }
    fields
}

fn borrow_id(world: &World, list: List, place: usize, fields: &mut Map<String, Value>) {
    let before = place.checked_sub(1).map(|before| world.rows(list)[before].fields());
    if let Some(id) = before.and_then(|before| before.get(list.key()).cloned()) {
        fields.insert(list.key().to_owned(), id);
    }
}

/// Every row that is asked for, as it looks at `now`, newest first, without any trouble.
pub fn whole(world: &World, ask: &Ask, now: Timestamp) -> Vec<Map<String, Value>> {
    let mut chosen = chosen(world, ask, now, &Choice::default());
    chosen.sort_by_key(|chosen| Reverse((chosen.at, chosen.row.number)));
    chosen.iter().map(|chosen| form(ask.list, chosen, now)).collect()
}
