//! Acceptance numbers of a file, as numbers that carry the time.
//!
//! A file counts 1, 2, 3; on a server a number names the day, and so the table, that its row is in. A number `n` becomes
//! *n plus the first number of the day that the store had come to when it gave n out*. That day never goes back,
//! whatever the clock did meanwhile, so the order stays: of any two numbers, in use or not, the one that was smaller is
//! smaller. What is only compared with such numbers ("selected since", "examined up to") therefore says what it said.
//!
//! Nothing is kept but where a day begins, a few numbers for each day. Where that is depends only on what is in the
//! file and on the moment at which the copy began, so a copy that goes on makes the same numbers as before.
//!
//! What is older than [`MAX_DAYS`] keeps its number and goes to the table of what was there before; what claims to be
//! of the future is of the day on which the copy began.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::plan::How;
use crate::domain::number::DELIVERIES_PER_SEQ;
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::partitions::{EPOCH_MS, PER_DAY, day_of, first_of, starts};
use crate::store::sql::{Connection, params};

/// Days that get a table each.
pub(super) const MAX_DAYS: i64 = 400;

const EVENTS: &str = "SELECT seq, accepted_ms FROM events ORDER BY seq";
const ATTEMPTS: &str = "SELECT no, created_ms FROM attempts ORDER BY no";

/// See the module.
#[derive(Debug)]
pub(super) struct Numbers {
    events: Days,
    attempts: Days,
    /// The greatest number that was made.
    highest: Cell<i64>,
}

/// Where days begin: the first number of each, and what is added from there on.
#[derive(Debug, Default)]
struct Days {
    begins: Vec<(i64, i64)>,
    days: BTreeSet<i64>,
}

impl Days {
    fn read(connection: &Connection, sql: &str, began: TimeMs) -> Result<Self, StoreError> {
        let mut days = Self::default();
        let today = day_of(began);
        let mut newest = day_of(TimeMs(EPOCH_MS)).max(today - MAX_DAYS);
        connection.each(sql, params![], |row| {
            let (number, time) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            let day = day_of(TimeMs(time)).min(today);
            if day > newest {
                newest = day;
                days.begin(number, day);
            }
            Ok(true)
        })?;
        Ok(days)
    }

    fn begin(&mut self, number: i64, day: i64) {
        self.begins.push((number, first_of(starts(day))));
        self.days.insert(day);
    }

    /// `None`: the file has given out more numbers than a day has, which no file can.
    fn of(&self, number: i64) -> Option<i64> {
        let place = self.begins.partition_point(|(first, _)| *first <= number);
        let added = place.checked_sub(1).map_or(0, |place| self.begins[place].1);
        (number < PER_DAY).then_some(number + added)
    }
}

impl Numbers {
    /// Those of a file, for a copy that began then.
    pub(super) fn read(source: &Connection, began: TimeMs) -> Result<Self, StoreError> {
        let events = Days::read(source, EVENTS, began)?;
        let attempts = Days::read(source, ATTEMPTS, began)?;
        Ok(Self { events, attempts, highest: Cell::new(0) })
    }

    /// The days that events, and attempts, need tables for.
    pub(super) fn days(&self) -> (&BTreeSet<i64>, &BTreeSet<i64>) {
        (&self.events.days, &self.attempts.days)
    }

    /// What becomes of a number.
    pub(super) fn of(&self, number: i64, how: How) -> Result<i64, StoreError> {
        let (made, seq) = match how {
            How::Same => return Ok(number),
            How::Seq => {
                let made = self.events.of(number);
                (made, made)
            }
            How::Attempt => {
                let made = self.attempts.of(number);
                (made, made)
            }
            How::Delivery => {
                let seq = self.events.of(number.div_euclid(DELIVERIES_PER_SEQ));
                let position = number.rem_euclid(DELIVERIES_PER_SEQ);
                (seq.map(|seq| seq * DELIVERIES_PER_SEQ + position), seq)
            }
        };
        self.highest.set(self.highest.get().max(seq.unwrap_or(0)));
        made.ok_or(StoreError::Corrupt("a number beyond all that a file can have given out"))
    }

    /// The greatest acceptance number that was made, or an attempt's.
    pub(super) fn highest(&self) -> i64 {
        self.highest.get()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::partitions::DAY_MS;
    use crate::store::rows::plan;

    /// 2026-05-28.
    const TODAY: i64 = 20_601;

    fn numbers(events: &[(i64, i64)]) -> Numbers {
        let database = plan::database();
        for (seq, accepted_ms) in events {
            let sql =
                "INSERT INTO events (seq, id, organization_id, event_type, owner_kind, owner_id, identity_id,
                accepted_ms, fan_out, payload) VALUES ($1, randomblob(16), 1, 1, 1, x'', x'', $2, 0, x'')";
            database.run(sql, params![seq, accepted_ms]).expect("it runs");
        }
        Numbers::read(&database, TimeMs(TODAY * DAY_MS + 1)).expect("it reads")
    }

    fn day(number: i64) -> i64 {
        (TODAY - MAX_DAYS - 5..=TODAY + 1).rfind(|day| first_of(starts(*day)) <= number).unwrap_or(0)
    }

    #[test]
    fn a_number_is_of_its_days_table() {
        let at = |day: i64| day * DAY_MS + 7;
        let numbers = numbers(&[(3, at(TODAY - 2)), (4, at(TODAY - 2)), (9, at(TODAY))]);
        let of = |number| numbers.of(number, How::Seq).expect("a number");
        assert_eq!(of(0), 0, "before all of them");
        assert_eq!((of(1), of(2)), (1, 2), "before anything that is known");
        assert_eq!((day(of(3)), day(of(4)), day(of(8))), (TODAY - 2, TODAY - 2, TODAY - 2));
        assert_eq!((day(of(9)), day(of(1_000_000))), (TODAY, TODAY));
        let delivery = numbers.of(9 * 64 + 5, How::Delivery).expect("a number");
        assert_eq!((delivery / 64, delivery % 64), (of(9), 5), "a delivery goes with its event");
        assert_eq!(numbers.of(9, How::Same).expect("a number"), 9);
        assert_eq!(numbers.days().0, &BTreeSet::from([TODAY - 2, TODAY]));
        assert_eq!(numbers.highest(), of(1_000_000));
        assert!(numbers.of(PER_DAY, How::Seq).is_err(), "it would be of the next day");
    }

    #[test]
    fn what_is_very_old_or_of_the_future_has_no_day_of_its_own() {
        let events = [
            (1, 5),
            (2, (TODAY - MAX_DAYS) * DAY_MS),
            (3, (TODAY - MAX_DAYS + 1) * DAY_MS),
            (4, (TODAY + 1_000) * DAY_MS),
        ];
        let numbers = numbers(&events);
        let of = |number| numbers.of(number, How::Seq).expect("a number");
        assert_eq!((of(1), of(2)), (1, 2));
        assert_eq!((day(of(3)), day(of(4))), (TODAY - MAX_DAYS + 1, TODAY));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However the clock jumped, what was smaller is smaller, and a bound between two numbers is between them.
        #[test]
        fn the_order_stays(jumps in proptest::collection::vec((1_i64..4, -500_i64..20), 0..40)) {
            let mut seq = 0;
            let mut events = Vec::new();
            for (step, days_ago) in jumps {
                seq += step;
                events.push((seq, (TODAY + days_ago) * DAY_MS));
            }
            let numbers = numbers(&events);
            let made: Vec<i64> = (0..seq + 3).map(|n| numbers.of(n, How::Seq).expect("a number")).collect();
            prop_assert!(made.is_sorted_by(|one, next| one < next), "{:?}", made);
            let last = made.last().copied().unwrap_or(0);
            prop_assert!(last < first_of(starts(TODAY + 1)), "and none is of a day that has no table yet");
        }
    }
}
