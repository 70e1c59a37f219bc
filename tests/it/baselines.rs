//! The verbs that compare with what was before, against slow models: any records, any order ahead of
//! the watermark, any restart, late records.

mod first_seen;
mod others;
mod travel;
mod usual;

use std::cell::RefCell;
use std::rc::Rc;

use larum::record::{Batch, Phase};
use proptest::prelude::*;
use proptest::sample::Index;

use super::slow::{Hit, Slow, SlowAlert, SlowRule};
use super::world::{SECOND, START, Told, World, rule, time};

const LATE_WITHIN: i64 = 300 * SECOND;

/// A successful sign-in and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    pub id: usize,
    /// Milliseconds after the start.
    pub at: i64,
    pub user: Option<String>,
    pub ip: Option<String>,
    pub asn: Option<u32>,
    /// Latitude, longitude, radius.
    pub place: Option<(f64, f64, Option<u32>)>,
    pub rtt: Option<u32>,
}

impl Visit {
    pub fn new(id: usize, at: i64, user: &str) -> Self {
        let user = Some(user.to_owned());
        Self { id, at, user, ip: None, asn: None, place: None, rtt: None }
    }

    fn line(&self) -> String {
        let mut row = serde_json::json!({
            "id": format!("row-{}", self.id), "kind": "login", "phase": "start",
            "start_time": time(self.at).to_string(), "outcome": "success",
        });
        let mut put = |name: &str, value: Option<serde_json::Value>| {
            if let Some(value) = value {
                row[name] = value;
            }
        };
        put("user_name", self.user.clone().map(Into::into));
        put("public_ip", self.ip.clone().map(Into::into));
        put("asn.number", self.asn.map(Into::into));
        put("geo.lat", self.place.map(|(lat, ..)| lat.into()));
        put("geo.lon", self.place.map(|(_, lon, _)| lon.into()));
        put("geo.radius", self.place.and_then(|(.., radius)| radius).map(Into::into));
        put("network_rtt", self.rtt.map(Into::into));
        row.to_string()
    }
}

/// A visit that is a hit.
#[derive(Debug, Clone)]
pub struct Seen {
    pub visit: Visit,
    pub id: [u8; 16],
    /// Nothing is learnt from it.
    pub left_out: bool,
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        (&self.visit, self.id) == (&other.visit, other.id)
    }
}

impl Hit for Seen {
    fn at(&self) -> i64 {
        self.visit.at
    }

    fn order(&self) -> (i64, [u8; 16]) {
        (self.visit.at, self.id)
    }

    fn clears(&self) -> bool {
        false
    }

    fn leave_out(&mut self) {
        self.left_out = true;
    }
}

/// Every hit that a rule has had, of all groups.
pub type All = Rc<RefCell<Vec<Seen>>>;

/// A rule as its file says it and as the model knows it.
pub struct Case {
    pub body: &'static str,
    pub key: fn(&Visit) -> Option<String>,
    pub is_hit: fn(&Visit) -> bool,
    /// The model, which may look at the hits of other groups.
    pub rule: fn(All) -> SlowRule<Seen>,
}

#[expect(clippy::unnecessary_wraps, reason = "a key of a case, as the others are")]
pub fn by_user(visit: &Visit) -> Option<String> {
    Some(visit.user.clone().unwrap_or_default())
}

/// An alert as both sides tell it: time, group, count, late.
type Line = (i64, String, u64, bool);

fn lines_of(told: &Told) -> Vec<Line> {
    let group = |group: &[(larum::record::FieldName, Option<String>)]| {
        group.first().and_then(|(_, value)| value.clone()).unwrap_or_default()
    };
    let line = |fired: &larum::alert::Fired| {
        (fired.at.0 - START, group(&fired.group), fired.finding.count, fired.late)
    };
    let mut lines: Vec<Line> = told.fired().map(line).collect();
    lines.sort();
    lines
}

fn lines_of_model(slow: &Slow<Seen>) -> Vec<Line> {
    let line = |key: &String, alert: &SlowAlert<Seen>| (alert.at, key.clone(), alert.count, alert.late);
    let groups = slow.groups.iter();
    let mut lines: Vec<Line> =
        groups.flat_map(|(key, group)| group.alerts.iter().map(move |alert| line(key, alert))).collect();
    lines.sort();
    lines
}

fn ids(batch: &Batch) -> Vec<[u8; 16]> {
    (0..batch.rows.len()).map(|row| batch.record(row, Phase::Start).id().0).collect()
}

/// What arrives when: each visit with its delay.
pub fn arrivals(visits: &[Visit], delays: &[Option<i64>]) -> Vec<(i64, usize)> {
    let delay = |number: usize| delays.get(number).copied().flatten().unwrap_or(0);
    let mut arrivals: Vec<(i64, usize)> =
        visits.iter().enumerate().map(|(number, visit)| (visit.at + delay(number), number)).collect();
    arrivals.sort_unstable();
    arrivals
}

impl Case {
    fn world(&self) -> World {
        World::new(&[rule("r", self.body) + "late_within: 5m\n"])
    }

    /// All at once, in any order: fires when the model does; how often it fired.
    pub fn holds_in_order(&self, visits: &[Visit], order: &[Index]) -> Result<usize, TestCaseError> {
        let world = self.world();
        let lines: Vec<String> = visits.iter().map(Visit::line).collect();
        let ids = ids(&world.batch(&lines));
        let mut shuffled: Vec<(usize, &String)> =
            lines.iter().zip(order).map(|(line, place)| (place.index(1_000), line)).collect();
        shuffled.sort();
        let mut run = world.run();
        for part in shuffled.chunks(7) {
            run.take_lines(&part.iter().map(|(_, line)| *line).collect::<Vec<_>>());
        }
        run.finish();
        let all = All::default();
        let (model, mut slow) = ((self.rule)(all.clone()), Slow::new());
        let mut hits: Vec<Seen> = self.hits(visits, &ids).flatten().collect();
        hits.sort_by_key(Hit::order);
        for hit in hits {
            all.borrow_mut().push(hit.clone());
            slow.group(&(self.key)(&hit.visit).unwrap()).observe(&hit, &model);
        }
        let told = lines_of(&run.told);
        prop_assert_eq!(&told, &lines_of_model(&slow));
        Ok(told.len())
    }

    fn hits<'a>(
        &'a self,
        visits: &'a [Visit],
        ids: &'a [[u8; 16]],
    ) -> impl Iterator<Item = Option<Seen>> + 'a {
        visits.iter().zip(ids).map(|(visit, id)| {
            let hit = (self.is_hit)(visit) && (self.key)(visit).is_some();
            hit.then(|| Seen { visit: visit.clone(), id: *id, left_out: false })
        })
    }

    /// One by one, some of them late, with restarts between: fires when the model does; how often
    /// it fired late.
    pub fn holds_late(
        &self,
        visits: &[Visit],
        delays: &[Option<i64>],
        restart_every: usize,
    ) -> Result<usize, TestCaseError> {
        let world = self.world();
        let lines: Vec<String> = visits.iter().map(Visit::line).collect();
        let ids = ids(&world.batch(&lines));
        let hits: Vec<Option<Seen>> = self.hits(visits, &ids).collect();
        let all = All::default();
        let (model, mut slow, mut run) = ((self.rule)(all.clone()), Slow::new(), world.run());
        let mut waiting: Vec<Seen> = Vec::new();
        let judge_up_to = |watermark: i64, waiting: &mut Vec<Seen>, slow: &mut Slow<Seen>| {
            waiting.sort_by_key(Hit::order);
            let due = waiting.partition_point(|hit| hit.at() <= watermark);
            for hit in waiting.drain(..due) {
                all.borrow_mut().push(hit.clone());
                slow.group(&(self.key)(&hit.visit).unwrap()).observe(&hit, &model);
            }
        };
        for (step, (arrival, number)) in arrivals(visits, delays).into_iter().enumerate() {
            run.progress(arrival - 1);
            run.take_lines(&[&lines[number]]);
            if step % restart_every == 0 {
                run.restart();
            }
            judge_up_to(arrival - 1, &mut waiting, &mut slow);
            let Some(hit) = hits[number].clone() else { continue };
            if hit.at() >= arrival {
                waiting.push(hit);
            } else if hit.at() > arrival - 1 - LATE_WITHIN {
                all.borrow_mut().push(hit.clone());
                slow.group(&(self.key)(&hit.visit).unwrap()).observe_late(&hit, &model);
            }
        }
        run.finish();
        judge_up_to(i64::MAX, &mut waiting, &mut slow);
        let told = lines_of(&run.told);
        prop_assert_eq!(&told, &lines_of_model(&slow));
        Ok(told.iter().filter(|(.., late)| *late).count())
    }
}

/// The alerts that `body` gives for `visits`, read to the end: each as the text `{at} {actual}`.
pub fn fired(body: &str, visits: &[Visit]) -> Vec<String> {
    let world = World::new(&[rule("r", body)]);
    let mut run = world.run();
    run.take_lines(&visits.iter().map(Visit::line).collect::<Vec<_>>());
    run.finish();
    let line = |fired: &larum::alert::Fired| {
        let actual = serde_json::Value::Object(fired.finding.actual.clone());
        format!("{} {actual}", fired.at.0 - START)
    };
    run.told.fired().map(line).collect()
}
