//! The text form that Prometheus reads, version 0.0.4.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::super::call::DecidedBy;
use super::{Histogram, MailOutcome, Metrics, Refusal, Swept};

/// Names of `Recorded` and of the states that ended deliveries have, in the order of their counters.
const OUTCOMES: [&str; 3] = ["succeeded", "failed", "unknown"];
const STATES: [&str; 4] = ["succeeded", "exhausted", "cancelled", "expired"];
const MICROSECONDS: f64 = 1e-6;

/// Everything, and what was asked of the store for this look: the age in seconds of the oldest delivery that
/// is due and that nothing of its own holds back.
#[must_use]
pub fn render(metrics: &Metrics, oldest_due_seconds: Option<f64>) -> String {
    let mut out = String::with_capacity(8 * 1024);
    counter(&mut out, "inkhook_events_accepted_total", "Events accepted.", metrics.accepted.get());
    let outcomes = OUTCOMES.iter().zip(&metrics.attempts).map(|(name, count)| (*name, count.get()));
    counters(&mut out, "inkhook_attempts_total", "Attempts logged.", "outcome", outcomes);
    let states = STATES.iter().zip(&metrics.ended).map(|(name, count)| (*name, count.get()));
    counters(&mut out, "inkhook_deliveries_ended_total", "Deliveries ended.", "state", states);
    counter(&mut out, "inkhook_retries_total", "Deliveries put back after a failure.", metrics.retries.get());
    let refusals = Refusal::ALL.iter().map(|why| (why.name(), metrics.refusals(*why)));
    counters(&mut out, "inkhook_refused_total", "Publishes and mails not taken.", "reason", refusals);
    let calls = DecidedBy::ALL.iter().map(|by| (by.name(), metrics.calls(*by)));
    counters(&mut out, "inkhook_calls_total", "Incoming calls decided.", "decided_by", calls);
    let swept = Swept::ALL.iter().map(|what| (what.name(), metrics.swept(*what)));
    counters(&mut out, "inkhook_janitor_rows_total", "Rows removed because of their age.", "table", swept);
    let mails = MailOutcome::ALL.iter().map(|outcome| (outcome.name(), metrics.mails(*outcome)));
    counters(&mut out, "inkhook_signup_mails_total", "Codes handed to the mail relay.", "outcome", mails);
    let repairs = metrics.head_repairs.get();
    counter(
        &mut out,
        "inkhook_queue_head_repairs_total",
        "Queue heads found too late: 0, or a bug.",
        repairs,
    );
    let cut = metrics.readers_cut_off.get();
    counter(&mut out, "inkhook_readers_cut_off_total", "Reads that took too long.", cut);
    let unread = metrics.contexts_unread.get();
    counter(&mut out, "inkhook_contexts_unread_total", "Contexts that could not be read in time.", unread);
    let read = [("replica", metrics.read_from_replica.get()), ("primary", metrics.read_from_primary.get())];
    counters(
        &mut out,
        "inkhook_replica_reads_total",
        "Reads that a replica may answer, by who did.",
        "from",
        read.into_iter(),
    );
    gauges(&mut out, metrics);
    if let Some(age) = oldest_due_seconds {
        head(
            &mut out,
            "inkhook_oldest_due_seconds",
            "Age of the oldest delivery that only we hold up.",
            "gauge",
        );
        line(&mut out, "inkhook_oldest_due_seconds", "", age);
    }
    histogram(&mut out, "inkhook_commit_group_size", "Operations of one commit.", &metrics.group_size, 1.0);
    histogram(&mut out, "inkhook_commit_seconds", "A commit and its sync.", &metrics.commit_us, MICROSECONDS);
    histogram(&mut out, "inkhook_claim_seconds", "A claim's statements.", &metrics.claim_us, MICROSECONDS);
    let built = &metrics.context_us;
    histogram(&mut out, "inkhook_context_seconds", "A context, read and stored.", built, MICROSECONDS);
    out
}

fn gauges(out: &mut String, metrics: &Metrics) {
    for (name, help, gauge) in [
        ("inkhook_deliveries_queued", "Deliveries that have not ended.", &metrics.queued),
        ("inkhook_attempts_in_flight", "Attempts under way.", &metrics.in_flight),
        ("inkhook_nodes", "Nodes that share the database; 0 on a file.", &metrics.nodes),
        (
            "inkhook_clock_offset_ms",
            "How far this node's clock is ahead of the database server's.",
            &metrics.clock_offset_ms,
        ),
        ("inkhook_replica_lag_ms", "How far the replica is behind at most.", &metrics.replica_lag_ms),
        ("inkhook_replica_used", "1 while lists are read from the replica.", &metrics.replica_used),
        ("inkhook_inbox_bytes", "Publishes that wait for the writer.", &metrics.inbox_bytes),
        ("inkhook_wal_bytes", "The write-ahead log's part in use.", &metrics.wal_bytes),
        ("inkhook_database_bytes", "The database file.", &metrics.db_bytes),
        ("inkhook_disk_free_bytes", "Free space for the data directory.", &metrics.disk_free_bytes),
    ] {
        head(out, name, help, "gauge");
        line(out, name, "", gauge.get());
    }
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    head(out, name, help, "counter");
    line(out, name, "", value);
}

fn counters<'a>(
    out: &mut String,
    name: &str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = (&'a str, u64)>,
) {
    head(out, name, help, "counter");
    for (kind, value) in values {
        line(out, name, &format!("{{{label}=\"{kind}\"}}"), value);
    }
}

/// `scale` turns what was observed into the unit of the name.
#[expect(clippy::cast_precision_loss, reason = "for people to look at; exact below 2^53")]
fn histogram(out: &mut String, name: &str, help: &str, histogram: &Histogram, scale: f64) {
    head(out, name, help, "histogram");
    let bucket = format!("{name}_bucket");
    let mut total = 0;
    for (index, count) in histogram.counts.iter().enumerate() {
        total += count.load(Ordering::Relaxed);
        let bound = histogram.bounds.get(index).map(|bound| (*bound as f64 * scale).to_string());
        let bound = bound.unwrap_or_else(|| "+Inf".into());
        line(out, &bucket, &format!("{{le=\"{bound}\"}}"), total);
    }
    line(out, &format!("{name}_sum"), "", histogram.sum.load(Ordering::Relaxed) as f64 * scale);
    line(out, &format!("{name}_count"), "", total);
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes everything");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    writeln!(out, "{name}{labels} {value}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.accepted.add(7);
        metrics.refuse(Refusal::Backlog);
        metrics.mail(MailOutcome::GivenUp);
        metrics.commit_us.observe_time(Duration::from_micros(1_500));
        metrics.wal_bytes.set(4_096);
        metrics.read_from_replica.add(3);
        metrics.replica_lag_ms.set(40);
        let text = render(&metrics, Some(1.5));
        for expected in [
            "# TYPE inkhook_events_accepted_total counter\ninkhook_events_accepted_total 7\n",
            "inkhook_refused_total{reason=\"backlog\"} 1\n",
            "inkhook_refused_total{reason=\"inbox\"} 0\n",
            "inkhook_signup_mails_total{outcome=\"given_up\"} 1\n",
            "inkhook_commit_seconds_bucket{le=\"0.001\"} 0\ninkhook_commit_seconds_bucket{le=\"0.0025\"} 1\n",
            "inkhook_commit_seconds_bucket{le=\"+Inf\"} 1\ninkhook_commit_seconds_sum 0.0015\n",
            "inkhook_commit_seconds_count 1\n",
            "inkhook_wal_bytes 4096\n",
            "inkhook_replica_reads_total{from=\"replica\"} 3\ninkhook_replica_reads_total{from=\"primary\"} 0\n",
            "inkhook_replica_lag_ms 40\n",
            "inkhook_oldest_due_seconds 1.5\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(text.lines().all(|line| line.starts_with("# ") || line.split(' ').count() == 2), "{text}");
        assert!(!render(&metrics, None).contains("oldest_due"), "what is not known is not said");
    }
}
