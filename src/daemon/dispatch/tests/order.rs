//! The revisions of an alert at one receiver, some of whose tries fail.

use super::*;
use crate::route::Why;

fn revisions() -> [Alert; 3] {
    let of = |revision, state, title: &str| Alert {
        revision,
        state,
        title: format!("{title}: of ana1"),
        level: Level::High,
        ..sample::alert(1)
    };
    [of(1, State::Open, "fired"), of(2, State::Updated, "grew"), of(3, State::Resolved, "over")]
}

/// Refuses for a while whatever is called `what`.
fn busy(what: &'static str) -> Arc<Fake> {
    Fake::new(move |given| if given.what == what { try_again(None, false) } else { Attempt::Delivered })
}

fn told(fake: &Fake) -> Vec<String> {
    fake.given().into_iter().filter(|given| given.taken).map(|given| given.what).collect()
}

#[tokio::test]
async fn an_end_is_not_told_before_the_beginning() {
    let (world, fake) = (World::new(), busy("fired"));
    let [fired, _, over] = revisions();
    world.owe(&[fired]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 1).await.unwrap();
    world.owe(&[over]).await;
    until(&mut desk, 20).await.unwrap();
    assert_eq!(told(&fake), [""; 0]);
    let waiting = &world.deliveries().await[1];
    assert_eq!(waiting.last_reason.as_deref(), Some("waits for what came before it of its alert"));
    let why: Vec<Why> = world.deliveries().await.iter().map(Delivery::why).collect();
    assert_eq!(why, [Why::Delayed, Why::Ordered]);
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 120).await.unwrap();
    assert_eq!(told(&fake), ["fired", "over"]);
    assert_eq!(world.standings().await, ["delivered"; 2]);
}

#[tokio::test]
async fn an_end_is_told_once_the_beginning_is_a_dead_letter() {
    let (world, fake) = (World::new(), busy("fired"));
    let [fired, _, over] = revisions();
    world.owe(&[fired, over]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 6 * 24 * 60).await.unwrap();
    assert_eq!(told(&fake), ["over"]);
    assert_eq!(world.standings().await, ["dead", "delivered"]);
}

#[tokio::test]
async fn what_grew_is_told_at_once_and_what_it_was_before_is_not_told_after_it() {
    let (world, fake) = (World::new(), busy("fired"));
    let [fired, grew, over] = revisions();
    world.owe(&[fired]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 1).await.unwrap();
    world.owe(&[grew]).await;
    until(&mut desk, 2).await.unwrap();
    assert_eq!(told(&fake), ["grew"]);
    fake.answers(|_| Attempt::Delivered);
    world.owe(&[over]).await;
    until(&mut desk, 24 * 60).await.unwrap();
    assert_eq!(told(&fake), ["grew", "over"]);
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries[0].standing, Standing::Folded { into: deliveries[1].id });
    assert_eq!(deliveries[0].last_reason.as_deref(), Some("revision 2 says it too"));
}

#[tokio::test]
async fn what_stands_for_another_is_tried_again_where_its_first_try_fails() {
    let (world, fake) = (World::new(), Fake::new(|_| try_again(None, false)));
    let [fired, grew, _] = revisions();
    world.owe(&[fired, grew]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 5).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 60).await.unwrap();
    assert_eq!(told(&fake), ["grew"]);
    assert_eq!(world.standings().await, ["folded", "delivered"]);
}

#[tokio::test]
async fn a_dead_letter_that_is_tried_again_after_the_end_opens_nothing() {
    let (world, fake) = (World::new(), Fake::new(|_| Attempt::Refused { reason: "no".to_owned() }));
    let [fired, _, over] = revisions();
    world.owe(&[fired]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 1).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    world.owe(&[over]).await;
    until(&mut desk, 2).await.unwrap();
    let dead = world.deliveries().await.remove(0);
    let again = Delivery { standing: Standing::Waiting, due: world.office.clock.now(), ..dead };
    world.commit(vec![Change::Delivery(Box::new(again))]).await;
    until(&mut desk, 10).await.unwrap();
    assert_eq!(told(&fake), ["over"]);
    assert_eq!(world.standings().await, ["folded", "delivered"]);
}

#[tokio::test]
async fn a_try_whose_answer_nobody_noted_goes_before_the_end() {
    let store: Arc<dyn Store> = Arc::new(Model::default());
    let [fired, _, over] = revisions();
    let fake = Fake::willing();
    let clock = Clock::at(NOW);
    {
        let steps = Steps::stop_at(crate::daemon::step::Step::AfterSend, 1);
        let world = World::over(store.clone(), clock.clone(), steps);
        world.owe(&[fired]).await;
        let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
        assert!(until(&mut desk, 1).await.is_err());
    }
    let world = World::over(store, clock, Steps::none());
    world.owe(&[over]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 10).await.unwrap();
    // The first may have arrived before the stop, and did: it comes again under its own id.
    assert_eq!(told(&fake), ["fired", "fired", "over"]);
}

#[tokio::test]
async fn what_follows_knows_the_first_and_what_its_receiver_calls_it_after_a_restart_too() {
    let (world, fake) = (World::new(), Fake::willing());
    let [fired, grew, over] = revisions();
    for alert in [fired, grew, over] {
        world.owe(&[alert]).await;
        let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
        until(&mut desk, 1).await.unwrap();
    }
    let given = fake.given();
    let (first, mark) = (given[0].delivery, |id: DeliveryId| Some(format!("<{id}>")));
    assert_eq!(given[0].thread, None);
    assert_eq!(given[1].thread, Some(Thread { first, mark: mark(first) }));
    assert_eq!(given[2].thread, Some(Thread { first, mark: mark(given[1].delivery) }));
}

#[tokio::test]
async fn each_receiver_has_an_order_of_its_own() {
    let (world, broken, fine) = (World::new(), busy("fired"), Fake::willing());
    let [fired, _, over] = revisions();
    for alert in [fired, over] {
        world.commit([owed(&alert, "soc", NOW), owed(&alert, "pager", NOW)].concat()).await;
    }
    let mut soc = Desk::new(world.office.clone(), target(&broken, Limits::none()));
    until(&mut soc, 1).await.unwrap();
    let mut pager =
        Desk::new(world.office.clone(), Target { name: name("pager"), ..target(&fine, Limits::none()) });
    until(&mut pager, 1).await.unwrap();
    assert_eq!((told(&broken), told(&fine)), (vec![], vec!["fired".to_owned(), "over".to_owned()]));
}
