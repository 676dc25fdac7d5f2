use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A cluster of its own, and before it the directory that holds it, which is dropped after it; `None`, said aloud, where Postgres is not installed.
fn cluster() -> Option<(tempfile::TempDir, Cluster)> {
    cluster_with(|_| {})
}

fn cluster_with(change: impl FnOnce(&mut Options)) -> Option<(tempfile::TempDir, Cluster)> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let mut options = Options::new(directory.path().join("cluster"));
    change(&mut options);
    match Cluster::start(options) {
        Ok(cluster) => Some((directory, cluster)),
        Err(Error::NoBinaries) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{}", Error::NoBinaries);
            println!("skipped: {}; scripts/test installs it", Error::NoBinaries);
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// What SQL prints.
fn sql(cluster: &Cluster, text: &str) -> String {
    cluster.ask(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Counting to two million takes longer than this on any machine.
const SESSION_CPU_US: u64 = 30_000;

fn listens(cluster: &Cluster) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, cluster.port())).is_ok()
}

#[test]
fn a_cluster_keeps_its_rows_over_stop_kill_and_restart() {
    let Some((_directory, mut cluster)) = cluster() else { return };
    let url = cluster.url("x");
    sql(&cluster, "CREATE TABLE kept (what TEXT)");
    sql(&cluster, "INSERT INTO kept VALUES ('before')");

    cluster.stop().expect("it stops");
    assert!(!cluster.is_running() && !listens(&cluster));
    cluster.stop().expect("stopping again is nothing");
    cluster.restart().expect("it starts");

    sql(&cluster, "INSERT INTO kept VALUES ('between')");
    let family = cluster.postmaster().expect("it runs").kill().expect("they are ours");
    assert!(family.len() > 3, "a server has processes: {family:?}");
    assert!(cluster.wait_for(STOP_DEADLINE, |_| family.iter().all(|one| one.is_gone())));
    cluster.restart().expect("it recovers");

    sql(&cluster, "INSERT INTO kept VALUES ('after')");
    cluster.kill().expect("it is killed");
    assert!(!cluster.is_running() && !listens(&cluster));
    cluster.kill().expect("killing again is nothing");
    cluster.restart().expect("it recovers");
    assert_eq!(
        sql(&cluster, "SELECT what FROM kept ORDER BY what").replace('\n', " "),
        "after before between"
    );
    assert_eq!(cluster.url("x"), url, "the port stays");
}

#[test]
fn a_cluster_is_stopped_when_it_is_dropped_and_found_while_it_runs() {
    let Some((directory, cluster)) = cluster() else { return };
    let dir = directory.path().join("cluster");
    let found = Cluster::running(&dir).expect("it looks").expect("it runs");
    assert_eq!(found.url("x"), cluster.url("x"));
    drop(found);
    assert_eq!(sql(&cluster, "SELECT 1"), "1", "whoever only found it does not stop it");
    drop(cluster);
    assert!(Cluster::running(&dir).expect("it looks").is_none());

    Cluster::start(Options::new(&dir)).expect("what is there is used again").detach();
    let mut found = Cluster::running(&dir).expect("it looks").expect("detached, it goes on");
    found.stop().expect("it stops");
    assert!(!found.is_running());
}

#[test]
fn a_cluster_whose_directory_was_removed_is_stopped_all_the_same() {
    let Some((directory, cluster)) = cluster() else { return };
    let port = cluster.port();
    directory.close().expect("removed");
    drop(cluster);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn a_process_elsewhere_is_not_taken_for_the_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pid_file = |pid: u32| {
        let text = format!("{pid}\n{}\n0\n1\n\n127.0.0.1\n0\nready\n", directory.path().display());
        fs::write(directory.path().join("postmaster.pid"), text).expect("written");
        Postmaster::of(directory.path())
    };
    assert!(pid_file(std::process::id()).is_none(), "this test does not work in the directory");
    let mut child = Command::new("sleep");
    let mut child = child.arg("60").current_dir(directory.path()).spawn().expect("it starts");
    let found = pid_file(child.id()).expect("this one does");
    assert_eq!(found.ready_on(), Some(1));
    let ours = Postmaster::child(std::process::id(), directory.path()).expect("this test runs");
    assert_eq!(ours.ready_on(), None, "what another left in the file says nothing about it");
    child.kill().expect("ours");
    child.wait().expect("it ends");
    assert!(Postmaster::of(directory.path()).is_none(), "it has ended");
}

#[test]
fn a_database_is_empty_and_goes_with_whoever_made_it() {
    let Some((_directory, cluster)) = cluster() else { return };
    let cluster = std::sync::Arc::new(cluster);
    let names = || sql(&cluster, "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database");
    let before = names();
    let [one, other] = ["one", "other"].map(|name| Database::create(&cluster, name).expect("it is made"));
    assert_eq!(one.url(), cluster.url("one"));
    assert_eq!(names(), format!("one other {before}"));
    let twice = Database::create(&cluster, "one").expect_err("it is there").to_string();
    assert!(twice.starts_with("createdb: ") && twice.contains("already exists"), "{twice}");
    drop(one);
    assert_eq!(names(), format!("other {before}"));
    drop(other);
    assert_eq!(names(), before);
}

#[test]
fn the_cpu_of_sessions_counts_while_they_last_and_after() {
    let Some((_directory, mut cluster)) = cluster() else { return };
    let own = |cluster: &Cluster| {
        let postmaster = fs::read_to_string(cluster.data_dir().join("postmaster.pid")).expect("it runs");
        crate::process::cpu_us(postmaster.lines().next().expect("its number"))
    };
    let (before, own_before) = (cluster.cpu_us(), own(&cluster));
    sql(&cluster, "SELECT count(*) FROM generate_series(1, 2000000)");
    // The session ends about now: a look at the very moment may miss it, the next one does not.
    let counts =
        |cluster: &mut Cluster| cluster.cpu_us() - before >= own(cluster) - own_before + SESSION_CPU_US;
    assert!(cluster.wait_for(STOP_DEADLINE, counts), "{} µs", cluster.cpu_us() - before);
}

#[test]
fn only_loopback_is_let_in_and_settings_reach_the_server() {
    let changed = cluster_with(|options| {
        options.fsync = true;
        options.settings = vec![("max_connections".into(), "17".into())];
    });
    let Some((_directory, cluster)) = changed else { return };
    let show = |name: &str| sql(&cluster, &format!("SHOW {name}"));
    assert_eq!(show("max_connections"), "17");
    assert_eq!((show("fsync"), show("full_page_writes")), ("on".into(), "on".into()));
    assert_eq!(show("synchronous_commit"), "on");
    assert_eq!(show("listen_addresses"), "127.0.0.1");
    assert_eq!(show("unix_socket_directories"), "");
    let rules = "SELECT string_agg(DISTINCT address, ',') FROM pg_hba_file_rules";
    assert_eq!(sql(&cluster, rules), "127.0.0.1");
}

#[test]
fn a_port_that_is_taken_is_refused_by_name() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let Some((_directory, mut cluster)) = cluster() else { return };
    cluster.stop().expect("it stops");
    let refused = cluster.serve(Some(port)).expect_err("the port is taken").to_string();
    assert!(refused.contains("Address already in use"), "{refused}");
    assert!(!cluster.is_running());
}

#[test]
fn what_is_committed_outlives_the_primary_time_and_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let options = Options { fsync: true, ..Options::new(directory.path().join("pair")) };
    let mut pair = match Pair::start(&options) {
        Err(Error::NoBinaries) => return assert_ne!(std::env::var("CI").as_deref(), Ok("true")),
        pair => pair.expect("two servers"),
    };
    let (ports, url) = (pair.ports(), pair.url("x"));
    sql(pair.primary(), "CREATE TABLE kept (round INT)");
    for round in 0..3 {
        assert_eq!(sql(pair.primary(), "SELECT sync_state FROM pg_stat_replication"), "sync");
        sql(pair.primary(), &format!("INSERT INTO kept VALUES ({round})"));
        let before = pair.primary().port();
        pair.fail_over().expect("the standby takes its place");
        assert_ne!(pair.primary().port(), before);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, before)).is_err(), "it is gone");
        let kept = sql(pair.primary(), "SELECT count(*), pg_is_in_recovery() FROM kept");
        assert_eq!(kept, format!("{}|f", round + 1));
        pair.rebuild().expect("it follows");
        assert_eq!((pair.ports(), pair.url("x")), (ports, url.clone()), "each is where it was");
    }
    // Without its standby it answers no commit.
    pair.standby().kill().expect("it is ours");
    let primary = pair.primary();
    std::thread::scope(|scope| {
        let url = primary.url("postgres");
        let mut psql = primary.command("psql");
        psql.arg(url).args(["--command", "INSERT INTO kept VALUES (9)"]).stderr(Stdio::null());
        let alone = scope.spawn(move || psql.status().expect("psql runs"));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        assert!(primary.wait_for(STOP_DEADLINE, |primary| sql(primary, waits) == "1"));
        primary.kill().expect("it is ours");
        assert!(!alone.join().expect("no panic").success(), "it was never answered");
    });
}

#[test]
fn only_own_children_of_the_program_are_killed() {
    let run = |program: &Path| {
        let mut child = Command::new(program);
        child.arg("60").spawn().expect("it starts")
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = directory.path().join("server");
    let sleep = fs::canonicalize("/bin/sleep").expect("every system has it");
    fs::copy(&sleep, &program).expect("copied");
    let (mut server, mut other) = (run(&program), run(&sleep));
    process::Process::kill_own(&program).expect("it is ours");
    assert!(!server.wait().expect("it ends").success());
    assert!(matches!(other.try_wait(), Ok(None)), "another program");
    other.kill().expect("ours");
    other.wait().expect("it ends");
}
