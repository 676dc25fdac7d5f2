//! Whole days, on a server: the table of a day that nobody keeps any longer is taken away, where deleting its rows
//! one by one would cost as much as writing them did.
//!
//! What must stay of such a day is what the walk would let stay: events that something in the queue needs, or one of
//! whose deliveries ended lately, and those deliveries. They are few as a rule, and go into a small table that takes the
//! place of the large one; the walk goes on in it, and when it is empty it goes, too. Where they are not few the day
//! is left to the walk as it is.
//!
//! A day goes table by table, deliveries before events, so that no delivery is ever without its event. What stays is
//! copied while everybody works on; then the parent is locked for the moment that it takes to exchange the tables, and
//! what came meanwhile is copied after. Nobody waits for longer than [`LOCK_LIMIT_MS`](super::super::sql::postgres):
//! a lock that is not free at once is tried for at the next round. A step that was cut off is found by the tables'
//! names, and goes on.
//!
//! | table | what it is |
//! |---|---|
//! | `events_20261101` | a day |
//! | `events_20261101_kept` | what stayed of it, in its place |
//! | `events_20261101_old` | the day, in nobody's place any more |

use std::collections::BTreeSet;

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::Store;
use crate::domain::metrics::Swept;
use crate::domain::number::DELIVERIES_PER_SEQ;
use crate::domain::time::TimeMs;
use crate::store::StoreError;
use crate::store::accept::DedupeKind;
use crate::store::locks::{TASKS, Task};
use crate::store::partitions::{DAY_MS, first_of, starts};
use crate::store::sql::postgres::Role;
use crate::store::sql::{self, Trouble};

/// A day with a table of so many rows goes at once; one that has fewer is walked, and goes by the minute.
const LARGE: i64 = 10_000;
/// Rows of one table and day that may stay; with more of them the day is left to the walk.
const MOST_KEPT: i64 = 100_000;
/// Ids that are forgotten at a time.
const IDS: i64 = 2_000;
/// A number is drawn at most this long before its row is written.
const MARGIN_MS: i64 = 3_600_000;

const TAKE_TASK: &str = "SELECT pg_try_advisory_lock($1, $2)";
const TABLES: &str =
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
    AND relname ~ '^(events|deliveries|attempts)_[0-9]{8}(_kept|_old)?$' ORDER BY relname";

/// What becomes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Day,
    Kept,
    Old,
}

/// A table of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    name: String,
    parent: &'static str,
    day: i64,
    part: Part,
}

impl Table {
    fn read(name: &str) -> Option<Self> {
        let parent =
            ["deliveries", "events", "attempts"].into_iter().find(|parent| name.starts_with(parent))?;
        let rest = name.strip_prefix(parent)?.strip_prefix('_')?;
        let (day, part) = match rest.split_once('_') {
            None => (rest, Part::Day),
            Some((day, "kept")) => (day, Part::Kept),
            Some((day, "old")) => (day, Part::Old),
            Some(_) => return None,
        };
        let date = jiff::civil::Date::strptime("%Y%m%d", day).ok()?;
        let day = date.duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24;
        Some(Self { name: name.to_owned(), parent, day, part })
    }

    /// The name of the same day's table in another part.
    fn named(&self, part: Part) -> String {
        let day = self.name.trim_end_matches("_kept").trim_end_matches("_old");
        match part {
            Part::Day => day.to_owned(),
            Part::Kept => format!("{day}_kept"),
            Part::Old => format!("{day}_old"),
        }
    }

    /// The numbers of the day's events.
    fn seqs(&self) -> (i64, i64) {
        (first_of(starts(self.day)), first_of(starts(self.day + 1)) - 1)
    }

    /// The numbers of the table's rows.
    fn bounds(&self) -> (i64, i64) {
        let (first, last) = self.seqs();
        let each = if self.parent == "deliveries" { DELIVERIES_PER_SEQ } else { 1 };
        (first * each, (last + 1) * each)
    }

    fn is_older_than(&self, cutoff: TimeMs) -> bool {
        starts(self.day).0 + DAY_MS + MARGIN_MS <= cutoff.0
    }
}

impl Store {
    /// Takes away the large days of which nothing is younger than `cutoff`, on a server. Tells from when on history
    /// goes by the day: what is older has to be walked.
    ///
    /// # Errors
    /// The database could not be reached.
    pub async fn expire_days(&self, cutoff: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        let Some(shared) = &self.shared else { return Ok(None) };
        let client = shared.server.connect(Role::Keeper).await?;
        let days = Days { client, cutoff };
        let tables = days.tables().await?;
        let large = days.large(&tables).await?;
        let is_over = |one: &&Table| match one.part {
            Part::Day => large.contains(&one.day) && one.is_older_than(cutoff),
            Part::Kept | Part::Old => true,
        };
        let later = tables.iter().filter(|one| large.contains(&one.day) && !one.is_older_than(cutoff));
        let mut from = later.map(|one| starts(one.day)).min();
        // Held until the session ends. While another node is at it there is nothing to do.
        if !tables.iter().any(|one| is_over(&one)) || !days.takes_task().await? {
            return Ok(from);
        }
        for parent in ["deliveries", "events", "attempts"] {
            for table in tables.iter().filter(|one| one.parent == parent).filter(is_over) {
                match days.expire(table).await {
                    Ok(removed) => self.metrics.sweep(swept(table), removed),
                    Err(error) if matches!(error.trouble(), Trouble::Conflict | Trouble::Held) => {
                        tracing::debug!(table = table.name, "in use: tried again at the next round");
                        if table.part == Part::Day {
                            from = from.into_iter().chain([starts(table.day)]).min();
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(from)
    }
}

fn swept(table: &Table) -> Swept {
    match table.parent {
        "events" => Swept::Events,
        "deliveries" => Swept::Deliveries,
        _ => Swept::Attempts,
    }
}

struct Days {
    client: Client,
    cutoff: TimeMs,
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Days {
    async fn tables(&self) -> Result<Vec<Table>, sql::Error> {
        let rows = self.client.query(TABLES, &[]).await?;
        Ok(rows.iter().filter_map(|row| Table::read(&row.get::<_, String>(0))).collect())
    }

    async fn takes_task(&self) -> Result<bool, sql::Error> {
        Ok(self.client.query_one(TAKE_TASK, &[&TASKS, &(Task::Retention as i32)]).await?.get(0))
    }

    /// The days, begun long enough ago to be of interest, that are too large to be walked.
    async fn large(&self, tables: &[Table]) -> Result<BTreeSet<i64>, sql::Error> {
        let mut large = BTreeSet::new();
        for table in tables.iter().filter(|one| one.part == Part::Day && starts(one.day) <= self.cutoff) {
            let some = format!("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT $1) AS few", table.name);
            if !large.contains(&table.day) && self.number(&some, &[&LARGE]).await? >= LARGE {
                large.insert(table.day);
            }
        }
        Ok(large)
    }

    async fn number(&self, sql: &str, params: Params<'_>) -> Result<i64, sql::Error> {
        Ok(self.client.query_one(sql, params).await?.get(0))
    }

    /// Whatever is next for this table; how many rows are gone with it.
    async fn expire(&self, table: &Table) -> Result<usize, sql::Error> {
        match table.part {
            Part::Old => self.forget(table).await,
            Part::Kept => self.drop_if_empty(table).await.map(|()| 0),
            Part::Day if table.parent == "attempts" => self.drop_attempts(table).await,
            Part::Day if self.exchange(table).await? => self.forget(table).await,
            Part::Day => Ok(0),
        }
    }

    /// A line of the log goes by its own age alone.
    async fn drop_attempts(&self, table: &Table) -> Result<usize, sql::Error> {
        let Table { name, .. } = table;
        let young = format!("SELECT count(*) FILTER (WHERE created_ms > $1), count(*) FROM {name}");
        let row = self.client.query_one(&young, &[&self.cutoff.0]).await?;
        let (young, all): (i64, i64) = (row.get(0), row.get(1));
        if young > 0 {
            return Ok(0);
        }
        // A call goes with the last line about it.
        let calls = format!(
            "DELETE FROM calls c USING {name} a WHERE a.delivery < 0 AND c.no = -a.delivery AND c.attempts = a.attempt_no"
        );
        let drop = format!("ALTER TABLE attempts DETACH PARTITION {name}; DROP TABLE {name}");
        self.at_once(&format!("{calls}; {drop}")).await?;
        Ok(usize::try_from(all).unwrap_or(0))
    }

    async fn drop_if_empty(&self, table: &Table) -> Result<(), sql::Error> {
        let Table { name, parent, .. } = table;
        let count = format!("SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT 1) AS first");
        if self.number(&count, &[]).await? > 0 {
            return Ok(());
        }
        // Nothing comes any more: what stayed has ended, and numbers of that day are not given out again.
        self.at_once(&format!("ALTER TABLE {parent} DETACH PARTITION {name}; DROP TABLE {name}")).await
    }

    /// Runs these statements in one transaction.
    async fn at_once(&self, statements: &str) -> Result<(), sql::Error> {
        let done = self.client.batch_execute(&format!("BEGIN; {statements}; COMMIT")).await;
        if done.is_err() {
            self.client.batch_execute("ROLLBACK").await?;
        }
        Ok(done?)
    }

    /// Puts what must stay of a day into the place of the day; false when that is too much.
    async fn exchange(&self, table: &Table) -> Result<bool, sql::Error> {
        let kept = table.named(Part::Kept);
        let parent = table.parent;
        self.client.batch_execute(&format!("DROP TABLE IF EXISTS {kept}")).await?;
        self.note_what_stays(table).await?;
        let stays = "SELECT (SELECT count(*) FROM staying) + (SELECT count(*) FROM unended)";
        if self.number(stays, &[]).await? > MOST_KEPT {
            return Ok(false);
        }
        let like = format!("CREATE TABLE {kept} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)");
        self.client.batch_execute(&like).await?;
        let (name, cutoff) = (&table.name, self.cutoff.0);
        let which = match parent {
            "events" => "accepted_ms > $1 OR seq IN (SELECT seq FROM staying)",
            _ => "ended_ms > $1 OR event_seq IN (SELECT seq FROM staying)",
        };
        let copy = format!("INSERT INTO {kept} SELECT * FROM {name} WHERE {which}");
        let copied = self.client.execute(&copy, &[&cutoff]).await?;
        if i64::try_from(copied).unwrap_or(i64::MAX) > MOST_KEPT {
            self.client.batch_execute(&format!("DROP TABLE {kept}")).await?;
            return Ok(false);
        }
        self.trade_places(table, &kept).await?;
        Ok(true)
    }

    /// `staying`: the events of the day that must stay. `unended`: deliveries of the day that have not ended, or an
    /// attempt of which is under way; what becomes of them is copied last.
    async fn note_what_stays(&self, table: &Table) -> Result<(), sql::Error> {
        let (first, last) = table.seqs();
        let deliveries = (first * DELIVERIES_PER_SEQ, (last + 1) * DELIVERIES_PER_SEQ - 1);
        let cutoff = self.cutoff.0;
        let statement = format!(
            "DROP TABLE IF EXISTS staying, unended;
            CREATE TEMP TABLE unended AS
                SELECT no, event_seq AS seq FROM queue WHERE no BETWEEN {0} AND {1}
                UNION SELECT no, event_seq FROM parked WHERE no BETWEEN {0} AND {1}
                UNION SELECT no, event_seq FROM deliveries WHERE no BETWEEN {0} AND {1} AND open_claim IS NOT NULL;
            CREATE TEMP TABLE staying AS
                SELECT seq FROM unended
                UNION SELECT event_seq FROM queue WHERE class IN (3, 4) AND event_seq BETWEEN {first} AND {last}
                UNION SELECT event_seq FROM deliveries WHERE no BETWEEN {0} AND {1} AND ended_ms > {cutoff}
                UNION SELECT event_seq FROM deliveries
                    WHERE class IN (3, 4) AND event_seq BETWEEN {first} AND {last} AND ended_ms > {cutoff};
            ANALYZE staying",
            deliveries.0, deliveries.1
        );
        Ok(self.client.batch_execute(&statement).await?)
    }

    /// Exchanges the tables, with what came since the first copy.
    async fn trade_places(&self, table: &Table, kept: &str) -> Result<(), sql::Error> {
        let Table { name, parent, .. } = table;
        let (from, to) = table.bounds();
        let (first, last) = table.seqs();
        let old = table.named(Part::Old);
        let after = match *parent {
            "events" => format!(
                "INSERT INTO {kept} SELECT * FROM {name} WHERE seq NOT IN (SELECT seq FROM {kept}) AND seq IN (
                    SELECT event_seq FROM queue WHERE class IN (3, 4) AND event_seq BETWEEN {first} AND {last}
                    UNION SELECT event_seq FROM deliveries WHERE no BETWEEN {0} AND {1})",
                first * DELIVERIES_PER_SEQ,
                (last + 1) * DELIVERIES_PER_SEQ - 1
            ),
            _ => format!(
                "DELETE FROM {kept} WHERE no IN (SELECT no FROM unended);
                INSERT INTO {kept} SELECT * FROM {name} WHERE no IN (SELECT no FROM unended)"
            ),
        };
        let exchange = format!(
            "ALTER TABLE {parent} DETACH PARTITION {name};
            {after};
            ALTER TABLE {name} RENAME TO {old};
            ALTER TABLE {parent} ATTACH PARTITION {kept} FOR VALUES FROM ({from}) TO ({to})"
        );
        let exchanged = self.at_once(&exchange).await;
        if exchanged.is_err() {
            self.client.batch_execute(&format!("DROP TABLE IF EXISTS {kept}")).await?;
        }
        exchanged
    }

    /// Takes away the table of a day that has been exchanged. An id that a publisher gave is known as long as its
    /// event is there; so long contexts find it, and its deliveries have their bodies.
    async fn forget(&self, table: &Table) -> Result<usize, sql::Error> {
        let (old, kept) = (table.named(Part::Old), table.named(Part::Kept));
        let count = format!("SELECT (SELECT count(*) FROM {old})");
        let all = self.number(&count, &[]).await?;
        let exists = "SELECT count(*) FROM pg_class WHERE oid = to_regclass($1)";
        let stayed = match self.number(exists, &[&kept]).await? {
            0 => 0,
            _ => self.number(&format!("SELECT count(*) FROM {kept}"), &[]).await?,
        };
        if table.parent == "events" {
            let kind = DedupeKind::EventId as i16;
            let forget = format!(
                "WITH next AS (SELECT seq, organization_id, id FROM {old} WHERE seq > $1 ORDER BY seq LIMIT $2),
                gone AS (DELETE FROM dedupe d USING next n WHERE d.organization_id = n.organization_id
                    AND d.kind = {kind} AND d.key = n.id
                    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.organization_id = n.organization_id AND e.id = n.id)),
                items AS (DELETE FROM context_items c USING next n WHERE c.event_seq = n.seq
                    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.seq = n.seq)),
                bodies AS (DELETE FROM delivery_bodies b USING next n WHERE b.event_seq = n.seq
                    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.seq = n.seq))
                SELECT max(seq) FROM next"
            );
            let mut after = Some(i64::MIN);
            while let Some(seq) = after {
                after = self.client.query_one(&forget, &[&seq, &IDS]).await?.get(0);
            }
        }
        self.client.batch_execute(&format!("DROP TABLE {old}")).await?;
        Ok(usize::try_from(all - stayed).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_known_by_its_name() {
        let read = |name: &str| Table::read(name).map(|one| (one.parent, starts(one.day).0, one.part));
        let first = 1_793_491_200_000; // 2026-11-01
        assert_eq!(read("events_20261101"), Some(("events", first, Part::Day)));
        assert_eq!(read("deliveries_20261101_kept"), Some(("deliveries", first, Part::Kept)));
        assert_eq!(read("attempts_20261102_old"), Some(("attempts", first + DAY_MS, Part::Old)));
        for other in ["events_before", "events", "events_20261301", "events_20261101_x", "dedupe_20261101"] {
            assert_eq!(read(other), None, "{other}");
        }
        let kept = Table::read("events_20261101_kept").expect("a table");
        assert_eq!(kept.named(Part::Day), "events_20261101");
        assert_eq!(kept.named(Part::Old), "events_20261101_old");
    }

    #[test]
    fn a_day_is_over_when_its_last_number_may_have_been_written_long_enough_ago() {
        let day = Table::read("events_20261101").expect("a table");
        let end = starts(day.day + 1).0 + MARGIN_MS;
        assert!(!day.is_older_than(TimeMs(end - 1)) && day.is_older_than(TimeMs(end)));
        let deliveries = Table::read("deliveries_20261101").expect("a table");
        assert_eq!(deliveries.bounds(), (day.bounds().0 * 64, day.bounds().1 * 64));
    }
}
