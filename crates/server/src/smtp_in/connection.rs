//! One connection: reads, writes, keeps the time, carries questions to the intake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use inkhook_smtp::{Envelope, Goodbye, MessageVerdict, RecipientVerdict, Reply, Session, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bounds::Place;
use super::{Accept, Intake, Lookup, Mail, SmtpConfig};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Replies that gather up before they are written though the client has more commands waiting.
const MAX_UNWRITTEN_BYTES: usize = 4 * 1024;
/// For how long, and how many bytes, a connection that we close is still read, so that what the
/// client has under way does not reset it before our last reply was read.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// A client that has a place.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    session: Session,
    config: Arc<SmtpConfig>,
    intake: Intake,
    soft: CancellationToken,
    input: BytesMut,
    output: BytesMut,
    /// Covers [`Session::data_held`], then the message until the intake has answered.
    memory: Option<OwnedSemaphorePermit>,
    /// Dropped last.
    place: Place,
}

/// Whether the conversation goes on.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        session: Session,
        place: Place,
        config: Arc<SmtpConfig>,
        intake: Intake,
        soft: CancellationToken,
    ) -> Self {
        Self {
            stream,
            peer,
            session,
            config,
            intake,
            soft,
            input: BytesMut::new(),
            output: BytesMut::new(),
            memory: None,
            place,
        }
    }

    /// Talks until one side ends it.
    pub(super) async fn run(mut self) {
        let peer = self.peer;
        match self.converse().await {
            Ok(()) => tracing::debug!(%peer, "SMTP session ended"),
            Err(error) => tracing::debug!(%peer, %error, "SMTP session broke off"),
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let greeting = self.session.greeting();
        self.say(&greeting);
        loop {
            let step = if self.session.is_receiving_data() {
                self.data_step().await?
            } else {
                self.command_step().await?
            };
            let Some(step) = step else {
                return Ok(());
            };
            if self.act(step).await? == Then::Close {
                return self.part().await;
            }
        }
    }

    /// The next step outside a message; `None` when the client has left.
    async fn command_step(&mut self) -> io::Result<Option<Step>> {
        let soft = self.soft.clone();
        let within = self.config.idle_timeout;
        // A token cancelled before is seen before anything else: commands that are already here
        // must not begin another message.
        match soft.run_until_cancelled(timeout(within, self.next_step())).await {
            None => Ok(Some(self.goodbye(Goodbye::ShuttingDown))),
            Some(Err(_)) => Ok(Some(self.goodbye(Goodbye::Idle))),
            Some(Ok(step)) => step,
        }
    }

    /// The step that follows a message; `None` when the client has left in the middle of it.
    async fn data_step(&mut self) -> io::Result<Option<Step>> {
        let within = self.config.data_timeout;
        let message = async {
            loop {
                match self.next_step().await? {
                    Some(Step::Reserve { bytes }) => self.reserve(bytes),
                    step => return Ok(step),
                }
            }
        };
        match timeout(within, message).await {
            Ok(step) => step,
            Err(_) => Ok(Some(self.goodbye(Goodbye::Idle))),
        }
    }

    /// Dropping this future loses nothing: input and output that is not dealt with stays.
    async fn next_step(&mut self) -> io::Result<Option<Step>> {
        loop {
            let mut rest = &self.input[..];
            let step = self.session.advance(&mut rest);
            let taken = self.input.len() - rest.len();
            self.input.advance(taken);
            if self.session.data_held() == 0 && !matches!(step, Step::Message(_)) {
                self.memory = None;
            }
            if !matches!(step, Step::NeedMore) {
                return Ok(Some(step));
            }
            self.flush().await?;
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn reserve(&mut self, bytes: usize) {
        let more = self.place.reserve(bytes);
        self.session.reserve_answer(more.is_some());
        match (&mut self.memory, more) {
            (Some(memory), Some(more)) => memory.merge(more),
            (memory @ None, more) => *memory = more,
            (memory, None) => *memory = None,
        }
    }

    async fn act(&mut self, step: Step) -> io::Result<Then> {
        let step = match step {
            Step::Recipient { address } => {
                let verdict = self.look_up(address).await;
                self.session.recipient_answer(verdict)
            }
            Step::Message(envelope) => {
                let verdict = self.hand_over(envelope).await;
                self.memory = None;
                self.session.message_answer(verdict)
            }
            step => step,
        };
        match step {
            Step::Reply(reply) => {
                self.say(&reply);
                if self.output.len() > MAX_UNWRITTEN_BYTES {
                    self.flush().await?;
                }
            }
            Step::Turn(reply) => self.turn(&reply).await?,
            Step::Close(reply) => {
                self.say(&reply);
                return Ok(Then::Close);
            }
            // Questions are answered above and in `data_step`.
            Step::NeedMore | Step::Recipient { .. } | Step::Reserve { .. } | Step::Message(_) => {}
        }
        Ok(Then::GoOn)
    }

    /// Answers `DATA`, unless something came before the answer: then the session hears of that.
    async fn turn(&mut self, reply: &Reply) -> io::Result<()> {
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        self.say(reply);
        self.flush().await?;
        self.session.turn_written();
        Ok(())
    }

    async fn look_up(&self, address: String) -> RecipientVerdict {
        let ours = address
            .rsplit_once('@')
            .is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(&self.config.mail_domain));
        match self.intake.lookup(address).await {
            Lookup::Mailbox => RecipientVerdict::Accept,
            Lookup::Unknown if ours => RecipientVerdict::Unknown,
            Lookup::Unknown => RecipientVerdict::NotOurs,
            Lookup::Unavailable => RecipientVerdict::TryLater,
        }
    }

    async fn hand_over(&self, envelope: Envelope) -> MessageVerdict {
        let peer = self.peer;
        let data_bytes = envelope.data.len();
        let answer = self.intake.accept(Mail {
            envelope_from: envelope.sender,
            recipients: envelope.recipients,
            data: envelope.data,
            peer,
            helo: envelope.helo,
        });
        match answer.await {
            Accept::Ok { id } => {
                tracing::info!(%peer, data_bytes, id, "mail accepted");
                MessageVerdict::Accepted { id }
            }
            Accept::NoneLeft => MessageVerdict::NoneLeft,
            Accept::NoSpace => MessageVerdict::NoSpace,
            Accept::TryLater(text) => {
                tracing::info!(%peer, data_bytes, text, "mail put off");
                MessageVerdict::TryLater(text)
            }
            Accept::Refused(text) => {
                tracing::info!(%peer, data_bytes, text, "mail refused");
                MessageVerdict::Refused(text)
            }
        }
    }

    fn goodbye(&mut self, reason: Goodbye) -> Step {
        self.memory = None;
        Step::Close(self.session.goodbye(reason))
    }

    fn say(&mut self, reply: &Reply) {
        self.output.extend_from_slice(reply.as_bytes());
    }

    /// A client that does not read what it is told is idle.
    async fn flush(&mut self) -> io::Result<()> {
        let Self { stream, output, .. } = self;
        let write = async {
            while output.has_remaining() {
                stream.write_buf(output).await?;
            }
            Ok(())
        };
        timeout(self.config.idle_timeout, write).await?
    }

    /// Writes the last reply and reads on for a moment.
    async fn part(&mut self) -> io::Result<()> {
        let parting = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            let mut rest = (&mut self.stream).take(LINGER_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            Ok(())
        };
        timeout(LINGER, parting).await.unwrap_or(Ok(()))
    }
}
