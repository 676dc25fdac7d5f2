//! What the server is told: all of `postgresql.conf` and `pg_hba.conf`, so that nothing depends on a packager.

use std::fmt::Write;

use super::Options;

/// Sessions and standbys from this machine, by TCP, without a password. No other line: nobody else.
pub(super) const WHO_MAY_CONNECT: &str =
    "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";

/// Chosen for every cluster, each with its reason.
const ALWAYS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    // A socket's path would have to be short, and in a directory that the server may write.
    ("unix_socket_directories", ""),
    // Many tests at once, each with a pool of its own.
    ("max_connections", "200"),
    // In a file of the data directory: a killed server leaves nothing in /dev/shm.
    ("dynamic_shared_memory_type", "mmap"),
    ("shared_buffers", "128MB"),
    // Loads and copies of databases write much; a checkpoint in the middle of them would be measured, too.
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    // The queue is full of dead rows in moments (its own settings say how many are too many).
    ("autovacuum_naptime", "5s"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %d "),
    ("log_checkpoints", "off"),
    ("jit", "off"),
];

/// A crash of the machine may cost everything; a crash of the server costs nothing.
const NOT_SYNCED: &[(&str, &str)] =
    &[("fsync", "off"), ("full_page_writes", "off"), ("wal_level", "minimal"), ("max_wal_senders", "0")];

/// The file's text.
pub(super) fn of(options: &Options, port: u16) -> String {
    let port = port.to_string();
    let given = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let not_synced = if options.fsync { &[][..] } else { NOT_SYNCED };
    let chosen = ALWAYS.iter().chain(not_synced).copied();
    // The last line of a name wins.
    let mut text = String::new();
    for (name, value) in chosen.chain([("port", port.as_str())]).chain(given) {
        writeln!(text, "{name} = '{}'", value.replace('\'', "''")).expect("a string takes it");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_last_and_is_quoted() {
        let mut options = Options::new("/nowhere");
        options.settings =
            vec![("shared_buffers".into(), "1GB".into()), ("application_name".into(), "it's".into())];
        let text = of(&options, 4_711);
        let line = |wanted: &str| text.lines().position(|line| line == wanted);
        assert!(line("shared_buffers = '128MB'") < line("shared_buffers = '1GB'"));
        assert!(line("application_name = 'it''s'").is_some());
        assert!(line("port = '4711'").is_some());
    }

    #[test]
    fn only_a_cluster_that_is_not_synced_is_told_so() {
        let unsynced = of(&Options::new("/nowhere"), 1);
        let synced = of(&Options { fsync: true, ..Options::new("/nowhere") }, 1);
        for (name, _) in NOT_SYNCED {
            assert!(unsynced.contains(&format!("\n{name} = ")), "{name}");
            assert!(!synced.contains(&format!("\n{name} = ")), "{name}");
        }
        assert!(!unsynced.contains("synchronous_commit"), "it stays on");
    }
}
