//! Real sockets on 127.0.0.0/8, a scripted intake.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// No wait in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

const ENVELOPE: &str = "HELO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<jo@here.example>\r\nDATA\r\n";

type Mails = Arc<Mutex<Vec<Mail>>>;

struct Server {
    address: SocketAddr,
    usage: Usage,
    soft: CancellationToken,
    hard: CancellationToken,
    serving: JoinHandle<()>,
    mails: Mails,
    /// How many mails may be answered; closed doors hold the answer back.
    door: Arc<Semaphore>,
}

/// `jo` and `postmaster` are mailboxes; a mail's subject decides what becomes of it.
fn intake(mails: &Mails, door: &Arc<Semaphore>) -> Intake {
    let (mails, door) = (Arc::clone(mails), Arc::clone(door));
    Intake::new(
        |address| async move {
            match address.as_str() {
                "jo@here.example" | "postmaster@here.example" => Lookup::Mailbox,
                "later@here.example" => Lookup::Unavailable,
                _ => Lookup::Unknown,
            }
        },
        move |mail| {
            let (mails, door) = (Arc::clone(&mails), Arc::clone(&door));
            async move {
                let subject = String::from_utf8_lossy(&mail.data);
                let answer = match subject.lines().next() {
                    Some("Subject: later") => Accept::TryLater("The store is busy".into()),
                    Some("Subject: full") => Accept::NoSpace,
                    Some("Subject: gone") => Accept::NoneLeft,
                    Some("Subject: bad") => Accept::Refused("Too many parts".into()),
                    _ => Accept::Ok { id: "evt_7".into() },
                };
                mails.lock().unwrap().push(mail);
                door.acquire().await.unwrap().forget();
                answer
            }
        },
    )
}

async fn start(config: SmtpConfig) -> Server {
    let mails = Mails::default();
    let door = Arc::new(Semaphore::new(1_000));
    let config = SmtpConfig {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        host_name: "mx.here.example".into(),
        mail_domain: "here.example".into(),
        ..config
    };
    let server = SmtpServer::bind(config, intake(&mails, &door)).await;
    let server = server.unwrap().unwrap();
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    Server {
        address: server.local_addr().unwrap(),
        usage: server.usage(),
        serving: tokio::spawn(server.serve(soft.clone(), hard.clone())),
        soft,
        hard,
        mails,
        door,
    }
}

impl Server {
    /// A client that connects from `127.0.0.{host}`; nothing is read yet.
    async fn connect(&self, host: u8) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        Client(BufReader::new(stream))
    }

    /// A client that was greeted.
    async fn client(&self) -> Client {
        let mut client = self.connect(1).await;
        assert_eq!(client.code().await, 220);
        client
    }

    /// A client that read its 354.
    async fn sender(&self) -> Client {
        let mut client = self.client().await;
        assert_eq!(client.ask(ENVELOPE, 4).await, [250, 250, 250, 354]);
        client
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("it never came to hold");
    }

    fn mails(&self) -> usize {
        self.mails.lock().unwrap().len()
    }

    async fn ended(self) {
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
        assert_eq!((self.usage.connections(), self.usage.data_bytes()), (0, 0));
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn say(&mut self, text: &str) {
        let write = self.0.get_mut().write_all(text.as_bytes());
        timeout(PATIENCE, write).await.unwrap().unwrap();
    }

    /// The next reply, all its lines.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            let read = self.0.read_line(&mut reply);
            timeout(PATIENCE, read).await.unwrap().unwrap();
            if reply.as_bytes()[start..].get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    async fn code(&mut self) -> u16 {
        let reply = self.reply().await;
        reply.get(..3).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{reply:?}"))
    }

    async fn ask(&mut self, text: &str, replies: usize) -> Vec<u16> {
        self.say(text).await;
        let mut codes = Vec::new();
        for _ in 0..replies {
            codes.push(self.code().await);
        }
        codes
    }

    /// The connection ended, and nothing more was said.
    async fn closed(mut self) {
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        drop(end);
    }
}

#[tokio::test]
async fn a_mail_is_handed_over_as_it_came() {
    let server = start(SmtpConfig::default()).await;
    let mut client = server.client().await;
    client.say("EHLO client.example\r\n").await;
    assert!(client.reply().await.contains("250-SIZE 26214400\r\n"));
    let envelope = "MAIL FROM:<> BODY=8BITMIME\r\nRCPT TO:<Postmaster>\r\n\
                    RCPT TO:<no@here.example>\r\nRCPT TO:<later@here.example>\r\n\
                    RCPT TO:<x@there.example>\r\nRCPT TO:<jo@here.example>\r\nDATA\r\n";
    let codes = client.ask(envelope, 7).await;
    assert_eq!(codes, [250, 250, 550, 451, 550, 250, 354]);
    client.say("Subject: hi\r\n\r\n..dot \u{fc}\r\n.\r\nQUIT\r\n").await;
    assert_eq!(client.reply().await, "250 2.0.0 Message accepted as evt_7\r\n");
    assert_eq!(client.code().await, 221);
    client.closed().await;

    let mail = server.mails.lock().unwrap().pop().unwrap();
    assert_eq!(mail.envelope_from, None);
    assert_eq!(mail.recipients, ["postmaster@here.example", "jo@here.example"]);
    assert_eq!(mail.data, "Subject: hi\r\n\r\n.dot \u{fc}\r\n".as_bytes());
    assert_eq!(mail.helo, "client.example");
    assert_eq!(mail.peer.ip(), SocketAddr::from(([127, 0, 0, 1], 0)).ip());
}

#[tokio::test]
async fn who_is_unknown_and_who_is_not_ours() {
    let server = start(SmtpConfig::default()).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("HELO me\r\nMAIL FROM:<>\r\n", 2).await, [250, 250]);
    client.say("RCPT TO:<no@HERE.example>\r\n").await;
    assert!(client.reply().await.starts_with("550 5.1.1 "));
    client.say("RCPT TO:<no@there.example>\r\n").await;
    assert!(client.reply().await.starts_with("550 5.7.1 "));
    client.say("RCPT TO:<later@here.example>\r\n").await;
    assert!(client.reply().await.starts_with("451 4.3.0 "));
}

#[tokio::test]
async fn what_the_intake_says_is_what_the_client_reads() {
    let server = start(SmtpConfig::default()).await;
    for (subject, expected) in [
        ("fine", "250 2.0.0 Message accepted as evt_7\r\n"),
        ("later", "451 4.3.0 The store is busy\r\n"),
        ("full", "452 4.3.1 "),
        ("gone", "550 5.1.1 "),
        ("bad", "550 5.6.0 Too many parts\r\n"),
    ] {
        let mut client = server.sender().await;
        client.say(&format!("Subject: {subject}\r\n\r\n.\r\n")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with(expected), "{reply:?}");
    }
}

#[tokio::test]
async fn no_250_before_the_intake_has_answered() {
    let server = start(SmtpConfig::default()).await;
    server.door.forget_permits(1_000);
    let mut client = server.sender().await;
    client.say("Subject: hi\r\n\r\n.\r\n").await;
    server.until(|server| server.mails() == 1).await;
    assert!(server.usage.data_bytes() > 0, "the mail is still in memory");
    let mut byte = [0];
    let early = client.0.get_mut().try_read(&mut byte).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    server.door.add_permits(1);
    assert_eq!(client.code().await, 250);
    server.until(|server| server.usage.data_bytes() == 0).await;
}

#[tokio::test]
async fn ten_connections_of_one_client_and_one_more() {
    let server = start(SmtpConfig::default()).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.client().await);
    }
    let mut eleventh = server.connect(1).await;
    assert!(eleventh.reply().await.starts_with("421 4.7.0 mx.here.example "));
    eleventh.closed().await;
    assert_eq!(server.connect(2).await.code().await, 220);

    clients.pop();
    server.until(|server| server.usage.connections() == 9).await;
    clients.push(server.client().await);
}

#[tokio::test]
async fn a_hundred_connections_and_one_more() {
    let server = start(SmtpConfig::default()).await;
    let mut clients = Vec::new();
    for host in (1..=10).flat_map(|host| [host; 10]) {
        let mut client = server.connect(host).await;
        assert_eq!(client.code().await, 220);
        clients.push(client);
    }
    let mut over = server.connect(11).await;
    assert!(over.reply().await.starts_with("421 4.3.2 mx.here.example Too many"));
    over.closed().await;

    clients.pop();
    server.until(|server| server.usage.connections() == 99).await;
    assert_eq!(server.connect(11).await.code().await, 220);
}

#[tokio::test]
async fn memory_for_messages_is_bounded_over_all_sessions() {
    // Memory is taken in steps of 64 KiB, so this is room for two small messages.
    let server = start(SmtpConfig { max_data_bytes: 2 * 64 * 1024, ..SmtpConfig::default() }).await;
    let (mut one, mut two) = (server.sender().await, server.sender().await);
    one.say("Subject: one\r\n").await;
    two.say("Subject: two\r\n").await;
    server.until(|server| server.usage.data_bytes() == 2 * 64 * 1024).await;

    let mut three = server.sender().await;
    let message = format!("Subject: three\r\n\r\n{}.\r\n", "text\r\n".repeat(50_000));
    assert_eq!(three.ask(&message, 1).await, [452]);
    assert_eq!(server.usage.data_bytes(), 2 * 64 * 1024);
    assert_eq!(one.ask("\r\n.\r\n", 1).await, [250]);
    drop(two);
    server.until(|server| server.usage.data_bytes() == 0).await;
    assert_eq!(three.ask(ENVELOPE, 4).await, [250, 250, 250, 354]);
    assert_eq!(three.ask("Subject: three\r\n.\r\n", 1).await, [250]);
    assert_eq!(server.mails(), 2);
}

#[tokio::test]
async fn a_refused_message_gives_its_memory_back_before_it_ends() {
    let server = start(SmtpConfig::default()).await;
    let mut client = server.sender().await;
    client.say("Subject: one\r\n").await;
    server.until(|server| server.usage.data_bytes() > 0).await;
    client.say("bare\nLF\r\n").await;
    server.until(|server| server.usage.data_bytes() == 0).await;
    assert_eq!(client.ask(".\r\nNOOP\r\n", 2).await, [550, 250]);
    assert_eq!(server.mails(), 0);
}

#[tokio::test]
async fn a_message_as_large_as_allowed_and_one_octet_more() {
    let server = start(SmtpConfig::default()).await;
    let max = 25 * 1024 * 1024;
    for (bytes, expected) in [(max, 250), (max + 1, 552)] {
        let mut client = server.sender().await;
        let filler = "x".repeat(1022) + "\r\n";
        let mut message = format!("\r\n{}", filler.repeat(bytes / 1024 - 1));
        message += &"y".repeat(bytes - message.len() - 2);
        message += "\r\n";
        assert_eq!(message.len(), bytes);
        message += ".\r\n";
        assert_eq!(client.ask(&message, 1).await, [expected]);
    }
    let mails = server.mails.lock().unwrap();
    assert_eq!(mails.iter().map(|mail| mail.data.len()).collect::<Vec<_>>(), [max]);
}

#[tokio::test]
async fn input_ahead_of_the_354_closes() {
    let server = start(SmtpConfig::default()).await;
    let mut client = server.client().await;
    let early = format!("{ENVELOPE}Subject: hi\r\n.\r\n");
    assert_eq!(client.ask(&early, 4).await, [250, 250, 250, 554]);
    client.closed().await;
    assert_eq!(server.mails(), 0);
}

#[tokio::test]
async fn a_web_client_is_sent_away() {
    let server = start(SmtpConfig::default()).await;
    let mut client = server.client().await;
    let request = "POST / HTTP/1.1\r\nHost: x\r\n\r\nHELO me\r\n";
    assert_eq!(client.ask(request, 1).await, [554]);
    client.closed().await;
}

#[tokio::test]
async fn silence_ends_a_session_and_a_message() {
    let server =
        start(SmtpConfig { idle_timeout: Duration::from_millis(300), ..SmtpConfig::default() }).await;
    let mut client = server.client().await;
    client.say("NOO").await;
    assert!(client.reply().await.starts_with("421 4.4.2 "));
    client.closed().await;

    let server =
        start(SmtpConfig { data_timeout: Duration::from_millis(300), ..SmtpConfig::default() }).await;
    let mut client = server.sender().await;
    client.say("Subject: hi\r\n").await;
    assert!(client.reply().await.starts_with("421 4.4.2 "));
    client.closed().await;
    server.until(|server| server.usage.data_bytes() == 0).await;
    assert_eq!(server.mails(), 0);
}

#[tokio::test]
async fn who_leaves_inside_a_message_leaves_nothing() {
    let server = start(SmtpConfig::default()).await;
    let mut client = server.sender().await;
    client.say("Subject: hi\r\n\r\nhalf").await;
    server.until(|server| server.usage.data_bytes() > 0).await;
    drop(client);
    server.until(|server| server.usage.connections() == 0).await;
    assert_eq!((server.usage.data_bytes(), server.mails()), (0, 0));
}

#[tokio::test]
async fn a_soft_stop_lets_a_message_finish() {
    let server = start(SmtpConfig::default()).await;
    let (mut idle, mut sender) = (server.client().await, server.sender().await);
    sender.say("Subject: hi\r\n").await;
    server.until(|server| server.usage.data_bytes() > 0).await;
    server.soft.cancel();

    assert!(idle.reply().await.starts_with("421 4.3.2 "));
    idle.closed().await;
    // What the client sent along with the end of its message begins no other one.
    let rest = format!("\r\nbody\r\n.\r\n{ENVELOPE}");
    assert_eq!(sender.ask(&rest, 2).await, [250, 421]);
    sender.closed().await;
    assert_eq!(server.mails(), 1);
    assert!(TcpStream::connect(server.address).await.is_err());
    server.ended().await;
}

#[tokio::test]
async fn a_hard_stop_cuts_a_message_off() {
    let server = start(SmtpConfig::default()).await;
    let mut sender = server.sender().await;
    sender.say("Subject: hi\r\n").await;
    server.until(|server| server.usage.data_bytes() > 0).await;
    server.soft.cancel();
    server.hard.cancel();
    sender.closed().await;
    assert_eq!(server.mails(), 0);
    server.ended().await;
}

#[tokio::test]
async fn without_an_address_there_is_no_listener() {
    let config = SmtpConfig { listen: None, ..SmtpConfig::default() };
    let intake = intake(&Mails::default(), &Arc::new(Semaphore::new(0)));
    assert!(SmtpServer::bind(config, intake).await.unwrap().is_none());
}
