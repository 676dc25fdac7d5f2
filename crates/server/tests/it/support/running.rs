//! The built binary as a process of its own: for tests that must see what a stranger sees, and for those that
//! kill it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::books::Books;

/// How long a start may take before the test gives up.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// How long one plain request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// How long a test waits for something that gives no sign, and how often it looks: seldom enough for the
/// API's rate limit.
const PATIENCE_LOOKS: u32 = 1_500;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where tables are on a server, the key must be given. Any 32 bytes in base64.
pub const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A server with a store of its own on free ports of 127.0.0.1, which may deliver to loopback. Killed, by
/// its process id, when dropped; what it logged is printed when the test failed.
#[derive(Debug)]
pub struct RunningServer {
    /// `http://127.0.0.1:PORT`
    pub base_url: String,
    /// Of the organisation `default`; empty when the server was not told.
    pub admin_key: String,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where mail comes in.
    pub smtp: SocketAddr,
    child: Child,
    home: Home,
    settings: Vec<(String, String)>,
}

/// What stays when a server ends: its directory and its tables.
#[derive(Debug)]
pub struct Home {
    data_dir: TempDir,
    books: Arc<Books>,
    /// In place of the tables' own address: the way to them goes through something.
    by_way_of: Option<String>,
}

impl Home {
    /// An empty one.
    pub fn new() -> Self {
        Self::in_directory(tempfile::tempdir().expect("a temporary directory"))
    }

    fn in_directory(data_dir: TempDir) -> Self {
        let books = Books::for_store_in(data_dir.path());
        Self { data_dir, books: Arc::new(books), by_way_of: None }
    }

    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// The built binary, told where its tables are.
    pub fn binary(&self) -> Command {
        let mut command = binary();
        if let Some(url) = self.by_way_of.clone().or_else(|| self.books.url()) {
            command.env("INKHOOK_DATABASE__URL", url).env("INKHOOK_SECURITY__MASTER_KEY", MASTER_KEY);
        }
        command
    }
}

impl RunningServer {
    /// Starts on an empty store and waits until it is ready.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::start_blocking).await.expect("the server starts")
    }

    /// The same, for tests without a runtime.
    pub fn start_blocking() -> Self {
        Self::start_with(&[])
    }

    /// The same with these `INKHOOK_…` variables.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(Home::in_directory(data_dir), "test-admin-key-0123456789".to_owned(), owned(settings))
    }

    /// Starts on an empty store in a file, whatever kind of store the tests have, with a key that a database
    /// server's nodes can be given, too.
    pub fn start_on_file(settings: &[(&str, &str)]) -> Self {
        let settings = [settings, &[("INKHOOK_SECURITY__MASTER_KEY", MASTER_KEY)]].concat();
        let settings = owned(&settings);
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let books = Arc::new(Books::of_file(data_dir.path()));
        let home = Home { data_dir, books, by_way_of: None };
        Self::start_in(home, "test-admin-key-0123456789".to_owned(), settings)
    }

    /// From the next start on its tables are these.
    pub fn move_to(&mut self, books: Books) {
        self.home.books = Arc::new(books);
    }

    /// From the next start on it has this variable, or none of that name.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.settings.retain(|(set, _)| set != name);
        self.settings.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Starts on an empty store without being told the first key.
    pub fn start_without_key() -> Self {
        Self::start_without_key_at(Home::new())
    }

    /// The same in this directory.
    pub fn start_without_key_in(data_dir: TempDir) -> Self {
        Self::start_without_key_at(Home::in_directory(data_dir))
    }

    /// The same on what is there.
    pub fn start_without_key_at(home: Home) -> Self {
        Self::start_in(home, String::new(), Vec::new())
    }

    fn start_in(home: Home, admin_key: String, settings: Vec<(String, String)>) -> Self {
        let (child, api, smtp) = spawn(&home, &admin_key, &settings);
        Self { base_url: format!("http://{api}"), admin_key, api, smtp, child, home, settings }
    }

    /// The same on these tables, which nobody else uses.
    pub fn start_on(books: Books, settings: &[(&str, &str)]) -> Self {
        let settings = owned(settings);
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home { data_dir, books: Arc::new(books), by_way_of: None };
        Self::start_in(home, "test-admin-key-0123456789".to_owned(), settings)
    }

    /// Another node on the same tables, which must be a server's; it reaches them by this URL.
    pub fn beside(&self, url: String) -> Self {
        self.beside_with(url, &[])
    }

    /// The same with these `INKHOOK_…` variables more.
    pub fn beside_with(&self, url: String, more: &[(&str, &str)]) -> Self {
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home { data_dir, books: self.home.books.clone(), by_way_of: Some(url) };
        let (admin_key, mut settings) = (self.admin_key.clone(), self.settings.clone());
        settings.extend(owned(more));
        let (child, api, smtp) = spawn(&home, &admin_key, &settings);
        Self { base_url: format!("http://{api}"), admin_key, api, smtp, child, home, settings }
    }

    /// Another node on the same tables that does only this.
    pub fn doing(&self, only: &str) -> Self {
        let mut node = self.beside(self.home.books.url().expect("a server's tables"));
        node.terminate();
        assert!(node.wait_exit().success());
        node.settings.push((
            "INKHOOK_SERVER__ONLY".into(),
            format!("[{}]", only.split(',').map(|role| format!("\"{role}\"")).collect::<Vec<_>>().join(",")),
        ));
        node.restart();
        node
    }

    /// Stops it where it is (SIGSTOP), or lets it go on (SIGCONT).
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { "STOP" } else { "CONT" });
    }

    /// Ends it as a power cut would (SIGKILL), and waits until the process is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("a process of ours");
    }

    /// Asks it to stop (SIGTERM); [`RunningServer::wait_exit`] waits for it.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(kill.expect("a shell").success(), "a process of ours");
    }

    /// Waits until the process has ended by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the server's end", || child.try_wait().expect("a process of ours"))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("test.log")).unwrap_or_default()
    }

    /// Starts it again on the same store; the ports are new ones.
    pub fn restart(&mut self) {
        let (child, api, smtp) = spawn(&self.home, &self.admin_key, &self.settings);
        self.base_url = format!("http://{api}");
        (self.child, self.api, self.smtp) = (child, api, smtp);
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a process of ours").is_some()
    }

    /// The directory of its store.
    pub fn data_dir(&self) -> &Path {
        self.home.data_dir()
    }

    /// Its tables.
    pub fn books(&self) -> &Books {
        &self.home.books
    }

    /// Makes a key of an identity that nobody has claimed yet.
    pub fn unclaimed_key(&self, handle: &str) -> String {
        self.command(&["keys", "create", "--org", "default", "--agent", handle, "--unclaimed"])
    }

    /// The built binary, told where this server's tables are.
    pub fn binary(&self) -> Command {
        self.home.binary()
    }

    /// Runs another command of the binary on the same store.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.binary();
        command.args(arguments).arg("--data-dir").arg(self.data_dir());
        command.stdin(Stdio::null()).output().expect("the binary runs")
    }

    /// The same with success; its output, trimmed.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "inkhook {arguments:?}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// POSTs JSON with the admin key and no client library in between; status and answer.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.api).expect("it listens");
        stream.set_read_timeout(Some(REQUEST_DEADLINE)).expect("a deadline");
        let (api, key, length) = (self.api, &self.admin_key, body.len());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {api}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).expect("JSON"))
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // It may be dead already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            println!("--- the server's log\n{}---", self.log());
        }
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Looks until there is something to see.
#[expect(clippy::disallowed_methods, reason = "the one wait helper for what another process does")]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE_LOOKS {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("waited in vain for {what}");
}

/// The built binary, with nothing of the environment's that would configure it.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inkhook"));
    command.env_clear();
    command
}

/// Starts `inkhook serve` in a process group of its own and reads where it listens.
fn spawn(home: &Home, admin_key: &str, settings: &[(String, String)]) -> (Child, SocketAddr, SocketAddr) {
    let data_dir = home.data_dir();
    let log = File::options().create(true).append(true).open(data_dir.join("test.log")).expect("a log file");
    let mut command = home.binary();
    if !admin_key.is_empty() {
        command.env("INKHOOK_BOOTSTRAP__ADMIN_KEY", admin_key);
    }
    let mut child = command
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--smtp-listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .envs([("INKHOOK_STORAGE__MIN_FREE_PERCENT", "0"), ("INKHOOK_STORAGE__MIN_FREE_MIB", "0")])
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("the binary starts");
    let stdout = child.stdout.take().expect("piped");
    let (found, listening) = mpsc::channel();
    // Reads to the end, so that the server never blocks on a full pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(addresses) = parse_listening(&line)
                && found.send(addresses).is_err()
            {
                tracing::debug!("said after the deadline");
            }
        }
    });
    if let Ok((api, smtp)) = listening.recv_timeout(START_DEADLINE) {
        return (child, api, smtp);
    }
    drop(child.kill());
    drop(child.wait());
    let log = std::fs::read_to_string(data_dir.join("test.log")).unwrap_or_default();
    panic!("the server did not say where it listens within {START_DEADLINE:?}:\n{log}");
}

/// `listening api=http://127.0.0.1:PORT smtp=127.0.0.1:PORT`
fn parse_listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (api, smtp) = line.strip_prefix("listening api=http://")?.split_once(" smtp=")?;
    // Port 0 is nobody's: it takes no mail.
    let smtp = if smtp.trim() == "off" { "127.0.0.1:0" } else { smtp.trim() };
    Some((api.parse().ok()?, smtp.parse().ok()?))
}
