//! Mail over a real server that people run: Postfix, with TLS, of each test's own.
//!
//! It can be started by root only. Where it is missing the test says so and proves nothing; the
//! acceptance run installs it, and asks for it by `LARUM_POSTFIX=1`.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use larum::config::Secrets;
use larum::deliver::{Message, Receiver, Thread};
use larum::route::{Attempt, DeliveryId};
use mail_parser::MessageParser;

use super::receivers::{message, reason, try_receiver, usual_messages, word};
use super::receivers_tls::{identity, trusting_alone};

/// Where the other process is to send to.
const MAIL: &str = "LARUM_TEST_POSTFIX";
/// Bytes of a letter: enough for the minimal form, too few for HTML.
const MAX_LETTER: usize = 2_500;

struct Postfix {
    folder: tempfile::TempDir,
    implicit: u16,
    starttls: u16,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.control("stop");
    }
}

fn user(name: &str) -> Option<(u32, u32)> {
    #[expect(clippy::disallowed_methods, reason = "who there is stands in a file")]
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Postfix {
    /// Mail for `soc` and `ana` at example.com, letters of at most so many bytes.
    #[expect(clippy::disallowed_methods, reason = "a mail server is files")]
    fn start(most: usize) -> Option<Self> {
        let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let there = root && Path::new("/usr/lib/postfix/sbin/master").exists();
        let Some((uid, gid)) = user("postfix").filter(|_| there) else {
            let told = "NOT TESTED: no Postfix that this user may start; install it and run this as root";
            assert!(std::env::var("LARUM_POSTFIX").as_deref() != Ok("1"), "{told}");
            println!("{told}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data", "mail"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        for name in ["data", "mail"] {
            chown(at(name), Some(uid), Some(gid)).unwrap();
        }
        let (implicit, starttls, home) = (free(), free(), folder.path().display());
        let (certificate, key) = (identity("certificate.pem"), identity("key.pem"));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {home}/queue\ndata_directory = {home}/data\n\
             daemon_directory = /usr/lib/postfix/sbin\ncommand_directory = /usr/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmyhostname = mail.example.com\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmydestination =\nmynetworks = 127.0.0.0/8\n\
             virtual_mailbox_domains = example.com\nvirtual_mailbox_base = {home}/mail\n\
             virtual_mailbox_maps = inline:{{soc@example.com=soc/, ana@example.com=ana/}}\n\
             virtual_minimum_uid = 1\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\n\
             message_size_limit = {most}\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n\
             smtpd_tls_security_level = encrypt\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
             smtpd_recipient_restrictions = reject_unlisted_recipient, permit_mynetworks, reject\n\
             maillog_file = {home}/log\nmaillog_file_prefixes = {home}, /var, /tmp\n",
            certificate.display(),
            key.display()
        );
        std::fs::write(at("etc/main.cf"), main).unwrap();
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
                        tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n\
                        bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
                        verify unix - - n - 1 verify\nproxymap unix - - n - - proxymap\nerror unix - - n - - error\n\
                        retry unix - - n - - error\ndiscard unix - - n - - discard\nvirtual unix - n n - - virtual\n\
                        anvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n";
        let master = format!(
            "127.0.0.1:{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n\
             127.0.0.1:{starttls} inet n - n - - smtpd\n{services}"
        );
        std::fs::write(at("etc/master.cf"), master).unwrap();
        let postfix = Self { folder, implicit, starttls };
        postfix.control("start");
        for port in [implicit, starttls] {
            let up = (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            assert!(up, "{}", postfix.log());
        }
        Some(postfix)
    }

    fn control(&self, what: &str) {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.folder.path().join("etc")).arg(what);
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    #[expect(clippy::disallowed_methods, reason = "the log is a file")]
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The letters in somebody's box, once there are so many.
    #[expect(clippy::disallowed_methods, reason = "a box is a folder")]
    fn letters(&self, of: &str, count: usize) -> Vec<Vec<u8>> {
        let folder = self.folder.path().join("mail").join(of).join("new");
        for _ in 0..1_000 {
            let entries = std::fs::read_dir(&folder).into_iter().flatten();
            let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
            if files.len() >= count {
                return files.iter().map(|file| std::fs::read(file).unwrap()).collect();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("fewer than {count} letters of {of}: {}", self.log());
    }
}

fn receiver(url: &str, to: &str) -> Box<dyn Receiver> {
    let text = format!("{{kind: email, smtp: \"{url}\", from: Larum <larum@example.org>, to: [{to}]}}");
    try_receiver(&text, &Secrets::default()).unwrap()
}

/// An alert's first message, and what became of it; both plain.
fn plain() -> [Message; 2] {
    let find = |name: &str| usual_messages().into_iter().find(|(other, _)| *other == name).unwrap().1;
    let (first, later) = (find("single"), find("updated"));
    let (one, other) = (DeliveryId([7; 16]), DeliveryId([8; 16]));
    let thread = Some(Thread { first: one, mark: None });
    [Message { id: one, plain: true, ..first }, Message { id: other, plain: true, thread, ..later }]
}

#[tokio::test]
#[ignore = "run by the other test of this file, where the system trusts its server"]
#[expect(clippy::disallowed_methods, reason = "the test that runs this one speaks to it by its environment")]
async fn a_server_that_is_trusted_is_sent_to() {
    let url = std::env::var(MAIL).unwrap();
    let both = receiver(&url, "soc@example.com, ana@example.com");
    for message in plain() {
        assert_eq!(both.send(&message).await, Attempt::Delivered);
    }
    let one = receiver(&url, "gone@example.com, soc@example.com");
    let [first, _] = plain();
    let attempt = one.send(&Message { id: DeliveryId([9; 16]), ..first.clone() }).await;
    assert_eq!(word(&attempt), "refused", "{attempt:?}");
    assert!(reason(&attempt).starts_with("1 of 2 recipients took it; gone@example.com: "), "{attempt:?}");
    assert!(reason(&attempt).contains("User unknown"), "{attempt:?}");
    // With its HTML it is larger than this server takes.
    let whole = message(10, first.content);
    let attempt = both.send(&whole).await;
    assert_eq!(word(&attempt), "malformed", "{attempt:?}");
    assert_eq!(both.send(&Message { plain: true, ..whole }).await, Attempt::Delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_takes_letters_with_tls_in_threads_and_tells_what_it_does_not_take() {
    let Some(postfix) = Postfix::start(MAX_LETTER) else { return };
    let urls = [
        format!("smtps://localhost:{}", postfix.implicit),
        format!("smtp+starttls://localhost:{}", postfix.starttls),
    ];
    for (times, url) in (1..).zip(&urls) {
        let attempt = receiver(url, "soc@example.com").send(&plain()[0]).await;
        assert!(reason(&attempt).contains("certificate"), "nobody has said that it is trusted: {attempt:?}");
        let test = "postfix::a_server_that_is_trusted_is_sent_to";
        assert!(trusting_alone(test, MAIL, url).await, "{url}: {}", postfix.log());
        let (soc, ana) = (postfix.letters("soc", times * 4), postfix.letters("ana", times * 3));
        assert_eq!((soc.len(), ana.len()), (times * 4, times * 3));
    }
    let letters = postfix.letters("ana", 6);
    let parsed: Vec<_> =
        letters.iter().map(|letter| MessageParser::default().parse(letter).unwrap()).collect();
    let first = "07070707070707070707070707070707@example.org";
    let answers = parsed.iter().filter(|letter| letter.in_reply_to().as_text() == Some(first)).count();
    let roots = parsed.iter().filter(|letter| letter.message_id() == Some(first)).count();
    assert_eq!((roots, answers), (2, 2), "once over each way");
    assert!(parsed.iter().all(|letter| letter.header("Auto-Submitted").is_some()));
    // The two letters to two people, and the plain one at the end, went over one connection.
    let log = postfix.log();
    let over_one = log.lines().filter(|line| line.contains("disconnect from") && line.contains("rcpt=8"));
    assert_eq!(over_one.count(), 2, "{log}");
}
