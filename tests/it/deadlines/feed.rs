//! One and the same records into an engine and into a model of it: all ahead of the watermark, or some late.

use larum::record::Phase;

use crate::world::{Login, Run, World};

/// What an engine is held against.
pub trait Model {
    /// A login comes in.
    fn take(&mut self, login: &Login, id: [u8; 16]);

    /// All up to here is known.
    fn come_to(&mut self, reached: i64);
}

fn ids(world: &World, logins: &[Login]) -> Vec<[u8; 16]> {
    let batch = world.batch(&logins.iter().map(Login::line).collect::<Vec<_>>());
    (0..logins.len()).map(|row| batch.record(row, Phase::Start).id().0).collect()
}

/// Feeds `logins` in another order, a few at a time, none behind the watermark, with restarts; all is over
/// at `end`.
pub fn in_order<'w>(
    world: &'w World,
    model: &mut impl Model,
    logins: &[Login],
    order: &[usize],
    end: i64,
) -> Run<'w> {
    let mut shuffled: Vec<(usize, &Login)> = order.iter().copied().zip(logins).collect();
    shuffled.sort_by_key(|(place, login)| (*place, login.id.clone()));
    let mut run = world.run();
    for (step, part) in shuffled.chunks(4).enumerate() {
        run.take(&part.iter().map(|(_, login)| (*login).clone()).collect::<Vec<_>>());
        let left = shuffled.iter().skip(4 * (step + 1)).map(|(_, login)| login.at).min();
        if let Some(left) = left {
            run.progress(left - 1);
        }
        if step % 3 == 0 {
            run.restart();
        }
    }
    run.finish();
    for (login, id) in logins.iter().zip(ids(world, logins)) {
        model.take(login, id);
    }
    model.come_to(end);
    run
}

/// Feeds `logins` as time goes by, each so much later than it happened, with restarts.
pub fn late<'w>(
    world: &'w World,
    model: &mut impl Model,
    logins: &[Login],
    (delays, every): (&[i64], usize),
    end: i64,
) -> Run<'w> {
    let ids = ids(world, logins);
    let mut arrivals: Vec<(i64, usize)> = (0..logins.len()).map(|n| (logins[n].at + delays[n], n)).collect();
    arrivals.sort_unstable();
    let mut run = world.run();
    for (step, (now, number)) in arrivals.into_iter().enumerate() {
        run.progress(now - 1);
        model.come_to(now - 1);
        run.take(std::slice::from_ref(&logins[number]));
        model.take(&logins[number], ids[number]);
        if step % every == 0 {
            run.restart();
        }
    }
    run.finish();
    model.come_to(end);
    run
}
