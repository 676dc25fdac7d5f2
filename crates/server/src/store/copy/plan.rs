//! What is copied: every table and column of the schema, and what becomes of each value.
//!
//! A test fails when a migration adds a column that is not here, or when one here is gone. The order is the order of
//! copying: what others refer to comes first.

/// What becomes of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It stays. In a text, U+0000, which Postgres has not, becomes U+FFFD, as in whatever else is written there.
    Same,
    /// An acceptance number, or a bound between two of them, becomes one of its day: see [`super::numbers`].
    Seq,
    /// A delivery's number is its acceptance number's and a position. 0, "before all of them", stays, and so does what
    /// is below: a call.
    Delivery,
    /// An attempt's number becomes one of its day.
    Attempt,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The columns by which it is walked: a unique key, in the same order on both sides.
    pub(super) key: &'static [&'static str],
    pub(super) columns: &'static [(&'static str, How)],
    /// A condition for the rows that are copied.
    pub(super) only: Option<&'static str>,
    /// Whether the database counts in its column `no`.
    pub(super) is_numbered: bool,
}

macro_rules! how {
    () => {
        How::Same
    };
    ($how:ident) => {
        How::$how
    };
}

macro_rules! table {
    ($name:ident by ($($key:ident),+) $([$($word:ident $value:expr),+])?;
     $($column:ident $(=> $how:ident)?),+ $(,)?) => {
        Table {
            name: stringify!($name),
            key: &[$(stringify!($key)),+],
            columns: &[$((stringify!($column), how!($($how)?))),+],
            $($($word: $value,)+)?
            ..NOTHING_SPECIAL
        }
    };
}

const NOTHING_SPECIAL: Table = Table { name: "", key: &[], columns: &[], only: None, is_numbered: false };

/// The notes about the copy itself, and the row that a probe touches, belong to the store that they are in.
const NOT_ITS_OWN: Option<&str> = Some("key NOT IN ('copy', 'touched')");

/// See the module.
pub(super) const TABLES: &[Table] = &[
    table! { meta by (key) [only NOT_ITS_OWN]; key, value },
    table! { organizations by (no) [is_numbered true];
    no, id, name, signing_key, signing_key_created_ms, created_ms, alerts_url, alerts_generation,
    retention_days, publish_per_second, max_queued, next_key, next_key_created_ms, next_key_from_ms,
    asymmetric_key, asymmetric_key_created_ms, next_asymmetric_key, next_asymmetric_key_created_ms,
    next_asymmetric_key_from_ms },
    table! { identities by (id);
    id, organization_id, handle, display_name, description, status, imessage_enabled, settings, signing_key,
    signing_key_created_ms, created_ms, updated_ms, next_key, next_key_created_ms, next_key_from_ms },
    table! { mailboxes by (id);
    id, organization_id, identity_id, address, filter_mode, settings, created_ms, updated_ms },
    table! { phone_numbers by (id);
    id, organization_id, identity_id, number, type, state, incoming_call_action, client_websocket_url,
    incoming_call_webhook_url, filter_mode, settings, created_ms, updated_ms, incoming_call_fallback_url,
    incoming_call_default_action, incoming_call_timeout_ms },
    table! { call_rules by (identity_id);
    identity_id, incoming_call_action, client_websocket_url, incoming_call_webhook_url,
    incoming_call_fallback_url, incoming_call_default_action, incoming_call_timeout_ms, settings },
    table! { call_lines by (no) [is_numbered true]; no, organization_id, phone_number_id, identity_id },
    table! { calls by (no) [is_numbered true]; no, organization_id, id, attempts, payload },
    table! { allowed_numbers by (number); number, organization_id },
    table! { reserved_names by (kind, name); kind, name, organization_id, until_ms },
    table! { api_keys by (id);
    id, organization_id, scope, identity_id, claimed, label, description, mac, display_prefix, last4,
    created_by, creator_type, created_ms, updated_ms, last_used_ms, expires_ms, revoked_ms },
    table! { urls by (no) [is_numbered true]; no, url },
    table! { subscriptions by (no) [is_numbered true];
    no, id, organization_id, identity_id, owner_kind, owner_id, url, url_normalized, event_types,
    context_config, auth_token, status, generation, not_before_ms, paused_ms, pause_reason, created_ms,
    updated_ms, deleted_ms, delivery, health, consecutive_failures, first_failure_ms, last_success_ms,
    last_failure_ms, probe_step, probe_next_ms, probe_delivery => Delivery, probe_claim, probe_seen => Seq,
    pace_minute_ms, pace_good, pace_last_good, drain_since_ms, drain_until => Seq, ordering,
    ordering_since_seq => Seq, context_since_seq => Seq },
    table! { subscription_types by (subscription, event_type); subscription, event_type, since_seq => Seq },
    table! { events by (seq);
    seq => Seq, id, organization_id, event_type, owner_kind, owner_id, identity_id, accepted_ms, expires_ms,
    fan_out, payload },
    table! { context_items by (event_seq, key); event_seq => Seq, key },
    table! { context_histories by (owner_id);
    owner_id, identity_id, before_seq => Seq, floor_seq => Seq, look_ms },
    table! { dedupe by (organization_id, kind, key);
    organization_id, kind, key, request_hash, event_id, expires_ms },
    // What an earlier process had leased was freed when the file was opened to be copied; `boot` stays, so that the
    // next claim logs the attempt that was lost.
    table! { queue by (no);
    no => Delivery, organization_id, subscription, event_seq => Seq, event_type, class, request_id, due_ms,
    expires_ms, created_ms, failures, attempts, unknown, maybe_received, claim_no, boot, claimed_ms,
    claimed_url },
    table! { queue_heads by (subscription, class); subscription, class, due_ms },
    table! { parked by (no);
    no => Delivery, organization_id, subscription, key, event_seq => Seq, event_type, request_id, expires_ms,
    created_ms },
    table! { conversations by (subscription, key); subscription, key, head => Delivery, held_ms, is_over },
    table! { gaps by (delivery); delivery => Delivery, event },
    table! { unparkings by (subscription); subscription },
    table! { cancellations by (no) [is_numbered true];
    no, subscription, after_class, after_due_ms, after_no => Delivery, after_parked => Delivery },
    table! { deliveries by (no);
    no => Delivery, organization_id, subscription, event_seq => Seq, event_type, class, request_id, state,
    reason, attempts, created_ms, ended_ms, open_claim, open_url, open_started_ms, open_boot },
    table! { delivery_bodies by (delivery); delivery => Delivery, event_seq => Seq, body },
    table! { attempts by (no);
    no => Attempt, id, organization_id, delivery => Delivery, subscription, event_seq => Seq, event_type,
    attempt_no, claim_no, url, is_replay, outcome, status, error, response_body, response_bytes,
    duration_ms, started_ms, created_ms },
    table! { recover_jobs by (no) [is_numbered true];
    no, id, organization_id, subscription, which, since_ms, until_ms, state, after_seq => Seq,
    last_seq => Seq, examined, queued, created_ms, updated_ms, ended_ms },
    table! { alerts by (no) [is_numbered true];
    no, id, organization_id, subscription, subscription_id, url, kind, count, detail, happened_ms, opens_ms,
    due_ms, payload, attempts, failures, maybe_received, claim_no, state, ended_ms },
    table! { mail_references by (mailbox_id, message_id, position);
    mailbox_id, message_id, position, thread_id, seen_ms },
    table! { mail_participants by (thread_id, address); thread_id, address },
    table! { forgotten_mailboxes by (mailbox_id); mailbox_id },
    table! { retention_places by (organization_id); organization_id, after_seq => Seq },
    table! { retention_late by (event_seq); event_seq => Seq, organization_id, look_ms },
    table! { contacts by (no) [is_numbered true];
    no, id, organization_id, created_by, name, sort_key, searched, card, memories, created_ms, updated_ms },
    table! { contact_points by (organization_id, value); organization_id, value, kind, contact },
    table! { contact_facts by (no) [is_numbered true];
    no, id, organization_id, contact, kind, content, created_ms, updated_ms },
    table! { members by (organization_id, email); organization_id, email, created_ms },
    table! { invitations by (organization_id); organization_id, id, mac, created_ms },
    table! { signups by (identity_id);
    identity_id, human_email, note, harness, invitation_id, is_provisional, code_nonce, guesses,
    guesses_of_code, resends, code_made_ms, mail_due_ms, mail_attempts, created_ms, expires_ms, claimed_ms },
    table! { signup_counts by (identity_id); identity_id, email, block, created_ms },
];

/// What only a server has: its nodes.
pub(super) const NOT_COPIED: [&str; 2] = ["nodes", "epochs"];

impl Table {
    /// Where the key's columns stand among all columns.
    pub(super) fn key_places(&self) -> Vec<usize> {
        let place = |key: &&str| self.columns.iter().position(|(name, _)| name == key);
        self.key.iter().filter_map(place).collect()
    }

    /// The columns' names.
    pub(super) fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Reads some rows in the order of the key: those after the values `$1`…, if `after`, and, if `until`, not beyond
    /// the values that come next.
    pub(super) fn page(&self, after: bool, until: bool, limit: usize) -> String {
        let width = self.key.len();
        let key = self.key.join(", ");
        let values = |first: usize| {
            (first..first + width).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
        };
        let mut conditions: Vec<String> = self.only.map(str::to_owned).into_iter().collect();
        if after {
            conditions.push(format!("({key}) > ({})", values(1)));
        }
        if until {
            let first = if after { 1 + width } else { 1 };
            conditions.push(format!("({key}) <= ({})", values(first)));
        }
        let conditions = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        format!("SELECT {} FROM {}{conditions} ORDER BY {key} LIMIT {limit}", self.names(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::{self, plan};
    use crate::store::sql::{Value, params, refs};

    const COLUMNS: &str = "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'refinery_schema_history'
        ORDER BY m.name, c.cid";
    const NUMBERED: &str =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'
        AND name <> 'attempts' ORDER BY name";

    /// The two schemas have the same columns (`tests/it/migrations.rs`), so one of them is enough to look at.
    #[test]
    fn every_column_of_the_schema_is_mentioned() {
        let database = plan::database();
        let found = rows::all(&database, COLUMNS, params![], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        let mut planned: Vec<(String, String)> = Vec::new();
        for table in TABLES {
            let columns = table.columns.iter().map(|(column, _)| (*column).to_owned());
            planned.extend(columns.map(|column| (table.name.to_owned(), column)));
        }
        planned.sort_by(|one, other| one.0.cmp(&other.0));
        let found = found.expect("the catalogue reads");
        assert!(found.len() > 200, "there are columns to compare");
        for column in &found {
            assert!(planned.contains(column), "{column:?} is not in the plan of `inkhook copy`");
        }
        assert_eq!(planned, found, "and nothing else is");
        let numbered = rows::all(&database, NUMBERED, params![], |row| Ok(row.get::<_, String>(0)?));
        let mut planned: Vec<&str> =
            TABLES.iter().filter(|table| table.is_numbered).map(|table| table.name).collect();
        planned.sort_unstable();
        assert_eq!(numbered.expect("the catalogue reads"), planned);
    }

    /// What holds one of the numbers that change says so in its name. A column with such a name that stays the same
    /// must be in this list, with the reason.
    #[test]
    fn a_number_that_changes_is_never_taken_for_one_that_stays() {
        const STAYS: &[(&str, &str)] = &[
            ("organizations.no", "an organisation's number"),
            ("urls.no", "a URL's number"),
            ("subscriptions.no", "a subscription's number"),
            ("cancellations.no", "a note's own number"),
            ("recover_jobs.no", "a job's own number"),
            ("alerts.no", "an alert's own number"),
            ("call_lines.no", "a line's own number"),
            ("calls.no", "a call's own number"),
            ("contacts.no", "a contact's own number"),
            ("contact_facts.no", "a fact's own number"),
            ("queue.claim_no", "counts the claims of one delivery"),
            ("attempts.claim_no", "the same"),
            ("attempts.attempt_no", "counts the attempts of one delivery"),
            ("alerts.claim_no", "counts the claims of one alert"),
            ("subscriptions.delivery", "settings"),
            ("subscriptions.probe_step", "a count"),
            ("subscriptions.probe_next_ms", "a time"),
            ("subscriptions.probe_claim", "a claim number"),
        ];
        let words = ["no", "seq", "delivery", "head", "seen", "until", "probe", "parked"];
        for table in TABLES {
            for (column, how) in table.columns {
                let name = format!("{}.{column}", table.name);
                let mut parts = column.split('_');
                let is_one = parts.any(|part| words.contains(&part)) && !column.ends_with("_ms");
                let stays = STAYS.iter().any(|(stays, _)| *stays == name);
                assert!(*how != How::Same || !is_one || stays, "{name} may hold a number that changes");
                assert!(!stays || *how == How::Same, "{name} is listed as one that stays");
            }
        }
    }

    /// No page sorts, or reads more than it returns.
    #[test]
    fn pages_are_read_by_the_key() {
        let database = plan::database();
        let file = database.file().expect("a file");
        for table in TABLES {
            let keys: Vec<Value> = vec![Value::Integer(1); table.key.len() * 2];
            for (after, until) in [(true, false), (true, true)] {
                let sql = format!("EXPLAIN QUERY PLAN {}", table.page(after, until, 10).replace('$', "?"));
                let mut statement = file.prepare(&sql).expect("a statement");
                let count = statement.parameter_count();
                let steps = statement.query_map(&refs(&keys[..count])[..], |row| row.get("detail"));
                let steps: Vec<String> = steps.expect("a plan").collect::<Result<_, _>>().expect("its steps");
                plan::assert_bounded(&steps);
            }
        }
    }
}
