//! What routes ask besides: groups, repeats, escalation.

use super::*;
use crate::daemon::routing::Routing;
use crate::route::{Escalate, Match, Route, Routes, Together, Why};

fn route(to: &[&str]) -> Route {
    Route { matches: Match::default(), to: to.iter().map(|text| name(text)).collect(), ..Route::default() }
}

impl World {
    /// Keeps `alert` and owes what `routes` say of it.
    async fn told(&self, alert: &Alert, routes: &[Route]) {
        let routing = Routing { routes: Routes { routes: routes.to_vec() }, ..Routing::default() };
        let owed = routing.owed(alert, self.office.clock.now());
        self.commit([vec![Change::Alert(Box::new(alert.clone()))], owed].concat()).await;
    }

    fn desk_of(&self, receiver: &str, fake: &Arc<Fake>) -> Desk {
        Desk::new(self.office.clone(), Target { name: name(receiver), ..target(fake, Limits::none()) })
    }
}

fn grouped(by: &[&str]) -> Route {
    let together = Together {
        by: by.iter().map(|name| (*name).to_owned()).collect(),
        wait: Millis::secs(30),
        interval: Millis::mins(5),
    };
    Route { together: Some(together), ..route(&["soc"]) }
}

#[tokio::test]
async fn what_fires_together_is_one_message_that_names_each() {
    let (world, fake) = (World::new(), Fake::willing());
    for alert in alerts(0..3, Level::High) {
        world.told(&alert, &[grouped(&["rule"])]).await;
    }
    let mut desk = world.desk_of("soc", &fake);
    until(&mut desk, 1).await.unwrap();
    assert_eq!(fake.given().len(), 1, "{:?}", fake.taken());
    assert!(fake.taken()[0].ends_with("digest of 3 (group)"), "{:?}", fake.taken());
    let digest = world.deliveries().await.into_iter().find_map(|delivery| match delivery.body {
        Body::Digest(digest) => Some(digest),
        Body::Alert { .. } => None,
    });
    let titles = ["ana0: 5 failed sign-ins", "ana1: 5 failed sign-ins", "ana2: 5 failed sign-ins"];
    assert_eq!(digest.unwrap().titles, titles);
}

#[tokio::test]
async fn a_group_that_was_told_rests_and_then_tells_all_that_came_in_one_message() {
    let (world, fake) = (World::new(), Fake::willing());
    let mut desk = world.desk_of("soc", &fake);
    world.told(&alerts(0..1, Level::High)[0], &[grouped(&["rule"])]).await;
    until(&mut desk, 1).await.unwrap();
    for alert in alerts(1..4, Level::High) {
        world.told(&alert, &[grouped(&["rule"])]).await;
    }
    until(&mut desk, 4).await.unwrap();
    assert_eq!(fake.given().len(), 1, "{:?}", fake.taken());
    until(&mut desk, 10).await.unwrap();
    assert_eq!(fake.given().len(), 2, "{:?}", fake.taken());
    assert!(fake.taken()[1].ends_with("digest of 3 (group)"), "{:?}", fake.taken());
}

#[tokio::test]
async fn a_group_rests_across_a_restart() {
    let (world, fake) = (World::new(), Fake::willing());
    for (number, minute) in [(0, 0), (1, 2), (2, 4)] {
        let mut desk = world.desk_of("soc", &fake);
        until(&mut desk, minute).await.unwrap();
        world.told(&alerts(number..number + 1, Level::High)[0], &[grouped(&["rule"])]).await;
        until(&mut desk, minute + 1).await.unwrap();
        assert_eq!(fake.given().len(), 1, "{:?}", fake.taken());
    }
    let mut desk = world.desk_of("soc", &fake);
    until(&mut desk, 10).await.unwrap();
    assert_eq!(fake.given().len(), 2, "{:?}", fake.taken());
    assert!(fake.taken()[1].ends_with("digest of 2 (group)"), "{:?}", fake.taken());
    let first = fake.given()[0].at;
    assert!(fake.given()[1].at >= first + Millis::mins(5), "{:?}", fake.taken());
}

#[tokio::test]
async fn a_rule_sends_no_more_than_it_may_and_the_rest_is_its_digest() {
    let (world, fake) = (World::new(), Fake::willing());
    let of = |number: u32, rule: &str| Alert { rule: rule.parse().unwrap(), ..sample::alert(number) };
    let noisy: Vec<Alert> = (0..20).map(|number| of(number, "noisy")).collect();
    world.owe(&noisy).await;
    world.owe(&[of(20, "quiet"), of(21, "quiet")]).await;
    let hourly = AtMost { count: 2, within: Millis::hours(1) };
    let limits = Limits::human().with_rule("noisy".parse().unwrap(), hourly);
    for minutes in [5, 59, 70] {
        // Restarted in between: what was sent is read off the log.
        let mut desk = Desk::new(world.office.clone(), target(&fake, limits.clone()));
        until(&mut desk, minutes).await.unwrap();
        if minutes == 5 {
            let held =
                world.deliveries().await.into_iter().find(|of| of.standing == Standing::Waiting).unwrap();
            assert_eq!(held.last_reason.as_deref(), Some("held back by the limit of rule noisy: 2 in 1h"));
            assert_eq!(held.why(), Why::Limited);
        }
    }
    let mut taken = fake.taken();
    assert_eq!(taken.pop().unwrap(), "60:00 digest of 18 (limit)");
    taken.sort();
    assert_eq!(taken, ["0:00 ana0", "0:00 ana1", "0:00 ana20", "0:00 ana21"]);
}

#[tokio::test]
async fn other_values_are_another_group_and_critical_alerts_wait_for_nobody() {
    let (world, fake) = (World::new(), Fake::willing());
    for alert in alerts(0..2, Level::High).iter().chain(&alerts(8..10, Level::Critical)) {
        world.told(alert, &[grouped(&["user"])]).await;
    }
    let mut desk = world.desk_of("soc", &fake);
    until(&mut desk, 0).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana8", "0:00 ana9"]);
    until(&mut desk, 1).await.unwrap();
    assert_eq!(fake.given().len(), 4, "{:?}", fake.taken());
    assert!(!fake.taken().iter().any(|taken| taken.contains("digest")), "{:?}", fake.taken());
}

#[tokio::test]
async fn what_is_still_open_is_told_again_until_somebody_takes_it() {
    let (world, fake) = (World::new(), Fake::willing());
    let routes = [Route { repeat: Some(Millis::hours(4)), ..route(&["soc"]) }];
    let [taken, closed] = alerts(0..2, Level::High).try_into().unwrap();
    let mut desk = world.desk_of("soc", &fake);
    world.told(&taken, &routes).await;
    world.told(&closed, &routes).await;
    until(&mut desk, 8 * 60 + 1).await.unwrap();
    let expected = ["0:00 ana0", "0:00 ana1", "240:00 ana0", "240:00 ana1", "480:00 ana0", "480:00 ana1"];
    assert_eq!(fake.taken(), expected);
    let now = world.office.clock.now();
    world.commit(vec![Change::Acknowledged { alert: taken.id, by: "eve".to_owned(), at: now }]).await;
    let over = Alert { state: State::Closed, revision: 2, ..closed };
    world.commit(vec![Change::Alert(Box::new(over))]).await;
    until(&mut desk, 24 * 60).await.unwrap();
    assert_eq!(fake.taken(), expected);
    assert!(world.office.store.next_due(name("soc")).await.unwrap().is_none(), "the chain has ended");
}

#[tokio::test]
async fn a_repeat_survives_a_restart_and_comes_once() {
    let (world, fake) = (World::new(), Fake::willing());
    let routes = [Route { repeat: Some(Millis::hours(4)), ..route(&["soc"]) }];
    world.told(&alerts(0..1, Level::High)[0], &routes).await;
    for hour in 1..=12 {
        let mut desk = world.desk_of("soc", &fake);
        until(&mut desk, hour * 60).await.unwrap();
    }
    let taken = fake.taken();
    assert_eq!(taken, ["0:00 ana0", "240:00 ana0", "480:00 ana0", "720:00 ana0"]);
}

fn escalating() -> [Route; 1] {
    let escalate = Escalate { after: Millis::mins(15), to: vec![name("on-call")] };
    [Route { escalate: Some(escalate), ..route(&["soc"]) }]
}

#[tokio::test]
async fn what_nobody_took_in_time_goes_to_the_next() {
    let (world, broken, phone) = (World::new(), Fake::new(|_| try_again(None, false)), Fake::willing());
    world.told(&alerts(0..1, Level::Critical)[0], &escalating()).await;
    let mut soc = world.desk_of("soc", &broken);
    until(&mut soc, 14).await.unwrap();
    let mut call = world.desk_of("on-call", &phone);
    until(&mut call, 14).await.unwrap();
    assert_eq!(phone.given().len(), 0);
    until(&mut call, 20).await.unwrap();
    assert_eq!(phone.taken(), ["15:00 ana0"]);
}

#[tokio::test]
async fn what_was_taken_in_time_goes_no_further() {
    let (world, soc, phone) = (World::new(), Fake::willing(), Fake::willing());
    world.told(&alerts(0..1, Level::Critical)[0], &escalating()).await;
    until(&mut world.desk_of("soc", &soc), 1).await.unwrap();
    until(&mut world.desk_of("on-call", &phone), 60).await.unwrap();
    assert_eq!(phone.given().len(), 0);
    let escalated = world.deliveries().await.into_iter().find(|of| of.receiver == name("on-call")).unwrap();
    let Standing::Discarded { reason, .. } = escalated.standing else { panic!("{escalated:?}") };
    assert_eq!(reason, "soc took it");
}

#[tokio::test]
async fn what_a_digest_told_was_taken() {
    let (world, soc, phone) = (World::new(), Fake::willing(), Fake::willing());
    let [route] = escalating();
    for alert in alerts(0..5, Level::Medium) {
        world.told(&alert, std::slice::from_ref(&route)).await;
    }
    let mut desk =
        Desk::new(world.office.clone(), Target { name: name("soc"), ..target(&soc, medium(1, 5)) });
    until(&mut desk, 10).await.unwrap();
    assert_eq!(soc.taken(), ["0:00 ana0", "5:00 digest of 4 (limit)"]);
    until(&mut world.desk_of("on-call", &phone), 60).await.unwrap();
    assert_eq!(phone.given().len(), 0);
}

#[tokio::test]
async fn a_silence_takes_nothing_of_the_time_that_a_route_has() {
    for (early, ended) in [(false, 30), (true, 20)] {
        let (world, soc, phone) = (World::new(), Fake::willing(), Fake::willing());
        world.commit(vec![Change::Silence(silence(&[], 30))]).await;
        world.told(&alerts(0..1, Level::Critical)[0], &escalating()).await;
        let (mut call, mut desk) = (world.desk_of("on-call", &phone), world.desk_of("soc", &soc));
        until(&mut call, 20).await.unwrap();
        if early {
            let at = world.office.clock.now();
            world.commit(vec![Change::Unsilence { id: SilenceId([7; 8]), at }]).await;
        }
        // The one that escalates looks first.
        until(&mut call, ended).await.unwrap();
        until(&mut desk, ended + 1).await.unwrap();
        until(&mut call, 120).await.unwrap();
        assert_eq!((soc.taken().len(), phone.taken()), (1, vec![]), "{ended}");
    }
}

#[tokio::test]
async fn what_nobody_took_after_a_silence_goes_to_the_next_in_its_time() {
    let (world, broken, phone) = (World::new(), Fake::new(|_| try_again(None, false)), Fake::willing());
    world.commit(vec![Change::Silence(silence(&[], 30))]).await;
    world.told(&alerts(0..1, Level::Critical)[0], &escalating()).await;
    let mut call = world.desk_of("on-call", &phone);
    until(&mut call, 30).await.unwrap();
    until(&mut world.desk_of("soc", &broken), 31).await.unwrap();
    until(&mut call, 120).await.unwrap();
    assert_eq!(phone.taken(), ["45:00 ana0"]);
}

#[tokio::test]
async fn what_larum_itself_holds_back_is_not_what_nobody_took() {
    let (world, soc, phone) = (World::new(), Fake::willing(), Fake::willing());
    for alert in alerts(0..3, Level::Medium) {
        world.told(&alert, &escalating()).await;
    }
    let mut desk =
        Desk::new(world.office.clone(), Target { name: name("soc"), ..target(&soc, medium(1, 40)) });
    until(&mut desk, 14).await.unwrap();
    let mut call = world.desk_of("on-call", &phone);
    until(&mut call, 30).await.unwrap();
    assert_eq!(phone.taken(), [""; 0]);
    until(&mut desk, 41).await.unwrap();
    assert_eq!(soc.taken(), ["0:00 ana0", "40:00 digest of 2 (limit)"]);
    until(&mut call, 120).await.unwrap();
    assert_eq!(phone.taken(), [""; 0]);
}

#[tokio::test]
async fn what_is_over_goes_no_further() {
    let (world, broken, phone) = (World::new(), Fake::new(|_| try_again(None, false)), Fake::willing());
    let alert = alerts(0..1, Level::Critical).remove(0);
    world.told(&alert, &escalating()).await;
    until(&mut world.desk_of("soc", &broken), 10).await.unwrap();
    let over = Alert { revision: 2, state: State::Closed, ..alert };
    world.commit(vec![Change::Alert(Box::new(over))]).await;
    until(&mut world.desk_of("on-call", &phone), 60).await.unwrap();
    assert_eq!(phone.taken(), [""; 0]);
    let escalated = world.deliveries().await.into_iter().find(|of| of.receiver == name("on-call")).unwrap();
    let Standing::Discarded { reason, .. } = escalated.standing else { panic!("{escalated:?}") };
    assert_eq!(reason, "the alert was closed before it was to go further");
}
