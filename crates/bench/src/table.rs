//! Figures with their targets, as a table and as JSON.

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// No target: it is told, not judged.
    None,
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Target {
    fn is_met(self, figure: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtLeast(least) => Some(figure >= least),
            Self::AtMost(most) => Some(figure <= most),
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::AtLeast(least) => format!("≥ {} {unit}", number(least)),
            Self::AtMost(most) => format!("≤ {} {unit}", number(most)),
        }
    }
}

/// One line: a figure that was measured several times.
#[derive(Debug, Clone)]
pub struct Row {
    /// Names it in JSON, over versions.
    pub id: String,
    /// Names it for people.
    pub what: String,
    /// What it counts.
    pub unit: &'static str,
    /// See there.
    pub target: Target,
    /// Each run's figure.
    pub runs: Vec<f64>,
    /// Requests a second, to be compared with raw POSTs.
    pub is_rate: bool,
    /// Why there is no figure, or what else is to be said.
    pub note: String,
}

impl Row {
    /// Of no run yet.
    pub fn new(id: impl Into<String>, what: impl Into<String>, unit: &'static str, target: Target) -> Self {
        let (id, what) = (id.into(), what.into());
        Self { id, what, unit, target, runs: Vec::new(), is_rate: false, note: String::new() }
    }

    /// The same as something that the raw ceiling bounds.
    #[must_use]
    pub fn rate(self) -> Self {
        Self { is_rate: true, ..self }
    }

    /// The middle one.
    pub fn figure(&self) -> Option<f64> {
        median(&self.runs)
    }
}

/// The middle one; of an even number the mean of the middle two.
pub fn median(runs: &[f64]) -> Option<f64> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Row>,
    /// Raw POSTs in a second, measured in the same run.
    pub ceiling: Option<f64>,
}

impl Table {
    /// Adds a run's figure to its row, which is made at the first.
    pub fn add(&mut self, row: Row, figure: f64) {
        self.row(row).runs.push(figure);
    }

    /// Says why a row has no figure.
    pub fn note(&mut self, row: Row, note: impl Into<String>) {
        self.row(row).note = note.into();
    }

    fn row(&mut self, row: Row) -> &mut Row {
        let place = self.rows.iter().position(|known| known.id == row.id).unwrap_or_else(|| {
            self.rows.push(row);
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    /// The rows so far.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn to_ceiling(&self, row: &Row) -> Option<f64> {
        let (figure, ceiling) = (row.figure()?, self.ceiling?);
        (row.is_rate && ceiling > 0.0).then(|| figure / ceiling)
    }

    /// For people.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "| what | figure | target | met | of the raw ceiling | runs |\n|---|--:|--:|:-:|--:|--:|\n",
        );
        for row in &self.rows {
            let figure = match row.figure() {
                Some(figure) => format!("{} {}", number(figure), row.unit),
                None => row.note.clone(),
            };
            let met = row.figure().and_then(|figure| row.target.is_met(figure));
            let met = met.map_or("", |met| if met { "yes" } else { "**no**" });
            let ratio = self.to_ceiling(row).map_or(String::new(), |ratio| format!("{ratio:.3}"));
            let note = if row.figure().is_some() && !row.note.is_empty() { &*row.note } else { "" };
            let what = if note.is_empty() { row.what.clone() } else { format!("{} ({note})", row.what) };
            let runs = spread(&row.runs);
            let target = row.target.text(row.unit);
            let cells = [what, figure, target, met.to_owned(), ratio, runs];
            text.push_str("| ");
            text.push_str(&cells.join(" | "));
            text.push_str(" |\n");
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let target = match row.target {
                Target::None => Value::Null,
                Target::AtLeast(least) => json!({"at_least": least}),
                Target::AtMost(most) => json!({"at_most": most}),
            };
            json!({"id": row.id, "what": row.what, "unit": row.unit, "figure": row.figure(), "runs": row.runs,
                "target": target, "met": row.figure().and_then(|figure| row.target.is_met(figure)),
                "of_ceiling": self.to_ceiling(row), "note": row.note})
        });
        json!({"ceiling_posts_per_second": self.ceiling, "rows": rows.collect::<Vec<_>>()})
    }
}

/// The lowest and the highest.
fn spread(runs: &[f64]) -> String {
    match (runs.iter().copied().min_by(f64::total_cmp), runs.iter().copied().max_by(f64::total_cmp)) {
        (Some(low), Some(high)) if runs.len() > 1 => format!("{} to {}", number(low), number(high)),
        _ => String::new(),
    }
}

/// With as many decimals as mean something, thousands apart.
fn number(figure: f64) -> String {
    if figure.abs() < 100.0 {
        return format!("{figure:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    group(&format!("{figure:.0}"))
}

/// A count, thousands apart.
pub(crate) fn thousands(count: u64) -> String {
    group(&count.to_string())
}

fn group(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_the_middle_one() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_row_says_whether_its_target_is_met_and_how_far_the_ceiling_is() {
        let mut table = Table { ceiling: Some(100_000.0), ..Table::default() };
        let row = || Row::new("rate", "events", "/s", Target::AtLeast(20_000.0)).rate();
        table.add(row(), 19_000.0);
        table.add(row(), 25_000.0);
        table.add(row(), 21_000.0);
        table.note(Row::new("batch", "batches", "/s", Target::AtLeast(1.0)), "not there");
        let text = table.to_markdown();
        assert!(
            text.contains("| events | 21,000 /s | ≥ 20,000 /s | yes | 0.210 | 19,000 to 25,000 |"),
            "{text}"
        );
        assert!(text.contains("| batches | not there | ≥ 1 /s |  |  |  |"), "{text}");
        let json = table.to_json();
        assert_eq!((&json["rows"][0]["met"], &json["rows"][1]["met"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let all = [0.5, 1.25, 99.0, 100.4, 1_234.0, 1_234_567.0, 0.0].map(number);
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(all, ["0.5", "1.25", "99", "100", "1,234", "1,234,567", "0"]);
    }
}
