//! Mail, against servers that behave and that do not, and against a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larum::config::Secrets;
use larum::deliver::Message;
use larum::record::Millis;
use larum::route::{Attempt, DeliveryId};
use mail_parser::MessageParser;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::mail_server::Real;
use super::receivers::{Say, Smtp, Step, alert_message, digest_message, reason, try_receiver, word};

#[tokio::test]
async fn each_recipient_has_an_envelope_of_its_own() {
    let smtp = Smtp::start(|_| None).await;
    let receiver = smtp.receiver("soc@example.com, Ana <ana@example.com>", "");
    assert_eq!(receiver.send(&alert_message("ana")).await, Attempt::Delivered);
    let taken = smtp.taken();
    let to: Vec<&str> = taken.iter().map(|letter| letter.to.as_str()).collect();
    assert_eq!(to, ["soc@example.com", "ana@example.com"]);
    assert_eq!(taken[0].data, taken[1].data);
}

#[tokio::test]
async fn a_busy_recipient_is_tried_again_and_the_others_are_not() {
    let busy = std::sync::atomic::AtomicBool::new(true);
    let smtp = Smtp::start(move |step| match step {
        Step::Recipient(to)
            if to == "b@example.com" && busy.swap(false, std::sync::atomic::Ordering::SeqCst) =>
        {
            Some(Say::Line("450 4.2.1 greylisted"))
        }
        Step::Recipient(_) | Step::Greeting | Step::Content { .. } => None,
    })
    .await;
    let receiver = smtp.receiver("a@example.com, b@example.com, c@example.com", "");
    let attempt = receiver.send(&alert_message("ana")).await;
    assert!(matches!(attempt, Attempt::TryAgain { everyone: false, .. }), "{attempt:?}");
    assert!(
        reason(&attempt).contains("b@example.com") && reason(&attempt).contains("greylisted"),
        "{attempt:?}"
    );
    assert_eq!(receiver.send(&alert_message("ana")).await, Attempt::Delivered);
    let to: Vec<String> = smtp.taken().into_iter().map(|letter| letter.to).collect();
    assert_eq!(to, ["a@example.com", "c@example.com", "b@example.com"]);
}

#[tokio::test]
async fn a_bad_address_keeps_nobody_else_from_the_mail_and_is_told() {
    let smtp = Smtp::start(|step| match step {
        Step::Recipient(to) if to == "gone@example.com" => Some(Say::Line("550 5.1.1 no such user")),
        Step::Recipient(_) | Step::Greeting | Step::Content { .. } => None,
    })
    .await;
    let receiver = smtp.receiver("gone@example.com, b@example.com", "");
    for _ in 0..2 {
        let attempt = receiver.send(&alert_message("ana")).await;
        assert!(matches!(attempt, Attempt::Refused { .. }), "{attempt:?}");
        let said = reason(&attempt);
        assert!(
            said.starts_with("1 of 2 recipients took it; gone@example.com: ")
                && said.contains("no such user"),
            "{said}"
        );
    }
    assert_eq!(smtp.taken().len(), 1, "who took it is not sent it again");
}

#[tokio::test]
async fn an_answer_is_told_by_its_code_and_where_it_came() {
    for (at, line, meant) in [
        ("greeting", "421 4.3.2 closing", "everyone"),
        ("greeting", "554 5.7.1 you are listed", "unwelcome"),
        ("recipient", "451 4.3.0 later", "again"),
        ("recipient", "421 4.3.2 closing", "everyone"),
        ("recipient", "530 5.7.0 sign in first", "unwelcome"),
        ("recipient", "553 5.1.3 no mailbox", "unwelcome"),
        ("content", "452 4.3.1 no room", "again"),
        ("content", "552 5.3.4 too big", "malformed"),
        ("content", "554 5.6.0 we do not like it", "malformed"),
    ] {
        let smtp = Smtp::start(move |step| {
            let here = match step {
                Step::Greeting => "greeting",
                Step::Recipient(_) => "recipient",
                Step::Content { .. } => "content",
            };
            (here == at).then_some(Say::Line(line))
        })
        .await;
        let attempt = smtp.receiver("a@example.com", "").send(&alert_message("ana")).await;
        assert_eq!(word(&attempt), meant, "{at} {line}: {attempt:?}");
        assert!(reason(&attempt).contains(&line[4..]), "{attempt:?}");
        assert!(smtp.taken().is_empty());
    }
}

#[tokio::test]
async fn lost_after_the_content_nobody_knows_lost_before_it_is_tried_again() {
    for say in [Say::Nothing, Say::Hang] {
        let smtp = Smtp::start({
            let say = say.clone();
            move |step| matches!(step, Step::Content { .. }).then_some(say.clone())
        })
        .await;
        let receiver = smtp.receiver("a@example.com, b@example.com", ", timeout: 300ms");
        let attempt = receiver.send(&alert_message("ana")).await;
        // The second recipient was not reached: that is worth another try, and so is the first.
        assert!(matches!(attempt, Attempt::TryAgain { .. } | Attempt::Unknown { .. }), "{attempt:?}");
        let alone = smtp.receiver("a@example.com", ", timeout: 300ms").send(&alert_message("ana")).await;
        assert!(matches!(alone, Attempt::Unknown { .. }), "{alone:?}");
        let smtp = Smtp::start(move |step| matches!(step, Step::Recipient(_)).then_some(say.clone())).await;
        let early = smtp.receiver("a@example.com", ", timeout: 300ms").send(&alert_message("ana")).await;
        assert!(matches!(early, Attempt::TryAgain { everyone: true, .. }), "{early:?}");
    }
}

#[tokio::test]
async fn letters_share_a_connection_until_it_dies_or_has_rested() {
    let (greeted, taken) = (Arc::<AtomicUsize>::default(), AtomicUsize::new(0));
    let counted = greeted.clone();
    let smtp = Smtp::start(move |step| match step {
        Step::Greeting => {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        }
        Step::Recipient(_) => None,
        // The fifth letter is lost with the connection.
        Step::Content { .. } => (taken.fetch_add(1, Ordering::SeqCst) == 4).then_some(Say::Nothing),
    })
    .await;
    let receiver = smtp.receiver("a@example.com", "");
    let send = async |number: u8, later: Millis| {
        let usual = alert_message("ana");
        let message = Message { id: DeliveryId([number; 16]), now: usual.now + later, ..usual };
        (word(&receiver.send(&message).await), greeted.load(Ordering::SeqCst))
    };
    for number in 0..3 {
        assert_eq!(send(number, Millis::secs(i64::from(number) * 50)).await, ("delivered", 1));
    }
    assert_eq!(send(3, Millis::secs(161)).await, ("delivered", 2), "it rested for more than a minute");
    assert_eq!(send(4, Millis::secs(162)).await, ("unknown", 2));
    assert_eq!(send(4, Millis::secs(163)).await, ("delivered", 3));
    assert_eq!(smtp.taken().len(), 5);
}

#[tokio::test]
async fn a_connection_that_died_at_rest_costs_no_try() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let letters = tokio::spawn(async move {
        let mut letters = 0;
        // Each connection is closed by the server once it has served a letter.
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 mail ESMTP\r\n").await.unwrap();
            let mut line = String::new();
            let mut content = false;
            while stream.read_line(&mut line).await.unwrap() > 0 {
                let said = match (content, line.trim_end()) {
                    (true, ".") => "250 taken\r\n",
                    (true, _) => "",
                    (false, "DATA") => "354 go on\r\n",
                    (false, _) => "250 fine\r\n",
                };
                stream.write_all(said.as_bytes()).await.unwrap();
                if said == "250 taken\r\n" {
                    letters += 1;
                    break;
                }
                content |= line.trim_end() == "DATA";
                line.clear();
            }
        }
        letters
    });
    let text =
        format!("{{kind: email, smtp: \"smtp://{address}\", from: larum@example.org, to: [a@example.com]}}");
    let receiver = try_receiver(&text, &Secrets::default()).unwrap();
    for number in 0..2 {
        let message = Message { id: DeliveryId([number; 16]), ..alert_message("ana") };
        assert_eq!(receiver.send(&message).await, Attempt::Delivered);
    }
    assert_eq!(letters.await.unwrap(), 2);
}

#[tokio::test]
async fn without_starttls_nothing_is_said() {
    let smtp = Smtp::start(|_| None).await;
    let text = format!(
        "{{kind: email, smtp: \"smtp+starttls://{}\", from: larum@example.org, to: [a@example.com], \
         user: larum, password: env:PW}}",
        smtp.address
    );
    let receiver = try_receiver(&text, &Secrets::default().with("PW", "s3cret")).unwrap();
    let attempt = receiver.send(&alert_message("ana")).await;
    assert!(matches!(attempt, Attempt::Unwelcome { .. }), "{attempt:?}");
    assert!(reason(&attempt).contains("STARTTLS") && !reason(&attempt).contains("s3cret"), "{attempt:?}");
    assert!(smtp.taken().is_empty());
}

#[test]
fn a_mail_receiver_that_cannot_be_is_told_with_the_way_out() {
    let told = |more: &str| {
        let text = format!("{{kind: email, {more}}}");
        try_receiver(&text, &Secrets::default().with("PW", "x")).unwrap_err()
    };
    for (more, fault) in [
        (
            "smtp: smtp://mail.example, from: l@example.org, to: [a@example.com]",
            "would send mail unencrypted",
        ),
        ("smtp: smtps://u:p@mail.example, from: l@example.org, to: [a@example.com]", "holds a sign-in"),
        ("smtp: smtps://mail.example, from: larum, to: [a@example.com]", "`larum` is no mail address"),
        ("smtp: smtps://mail.example, from: l@example.org, to: [a@example.com, b]", "`b` is no mail address"),
        (
            "smtp: smtps://mail.example, from: l@example.org, to: [\"a@example.com\\r\\nBcc: x@y.z\"]",
            "is no mail address",
        ),
        ("smtp: smtps://mail.example, from: l@example.org, to: []", "`to` names nobody"),
        (
            "smtp: smtps://mail.example, from: l@example.org, to: [a@example.com], user: u",
            "`user` stands without `password`",
        ),
        (
            "smtp: smtps://mail.example, from: l@example.org, to: [a@example.com], password: env:PW",
            "`password` stands without `user`",
        ),
    ] {
        let text = told(more);
        assert!(text.contains(fault), "{fault}: {text}");
    }
}

#[tokio::test]
async fn a_real_mail_server_takes_it_after_signing_in() {
    let Some(real) = Real::start(&["--user", "larum", "--password", "s3cret"]) else { return };
    let text = format!(
        "{{kind: email, smtp: \"smtp://127.0.0.1:{}\", user: larum, password: env:PW, \
         from: Larum <larum@example.org>, to: [soc@example.com, ana@example.com]}}",
        real.port
    );
    let wrong = try_receiver(&text, &Secrets::default().with("PW", "wr0ng-one")).unwrap();
    let attempt = wrong.send(&alert_message("ana")).await;
    assert!(
        matches!(attempt, Attempt::Unwelcome { .. }) && !reason(&attempt).contains("wr0ng"),
        "{attempt:?}"
    );
    assert!(real.mail().is_empty());

    let receiver = try_receiver(&text, &Secrets::default().with("PW", "s3cret")).unwrap();
    for message in [alert_message("安娜: 5 failures"), digest_message("user=ana")] {
        assert_eq!(receiver.send(&message).await, Attempt::Delivered);
    }
    let mail = real.mail();
    let to: Vec<String> = mail.iter().map(|(envelope, _)| envelope["to"].to_string()).collect();
    assert_eq!(
        to,
        [
            r#"["soc@example.com"]"#,
            r#"["ana@example.com"]"#,
            r#"["soc@example.com"]"#,
            r#"["ana@example.com"]"#
        ]
    );
    let letter = MessageParser::default().parse(&mail[0].1).unwrap();
    assert_eq!(letter.subject(), Some("[high] 安娜: 5 failures"));
    assert_eq!(letter.message_id(), Some("07070707070707070707070707070707@example.org"));
    assert!(letter.body_text(0).unwrap().contains("user: 安娜: 5 failures"));
    assert!(letter.body_html(0).unwrap().contains("<td>安娜: 5 failures</td>"));
}
