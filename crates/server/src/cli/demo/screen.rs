//! What the person at the keyboard sees: numbered steps, a mark before each fact, a reason after it.
//!
//! Lines have at most [`WIDTH`] columns, but for single words that are longer. Text that came over the
//! network goes through [`printable`] first, so that nobody who sends a mail writes on this terminal.
//! Colours only where they are wanted: on a terminal, without `NO_COLOR`.

use std::io::{self, IsTerminal, Write};

/// Columns of a line at most.
pub(super) const WIDTH: usize = 100;
/// Where the text under a step begins.
const INDENT: usize = 6;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// See the module.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    colours: bool,
    step: usize,
    doing: String,
}

impl Screen {
    /// The standard output of this process.
    pub(super) fn stdout() -> Self {
        let wanted = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let colours = io::stdout().is_terminal() && wanted("NO_COLOR");
        Self::on(Box::new(io::stdout()), colours)
    }

    /// Anything that takes bytes.
    pub(super) fn on(out: Box<dyn Write + Send>, colours: bool) -> Self {
        Self { out, colours, step: 0, doing: "start".into() }
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &str) -> io::Result<()> {
        self.step += 1;
        self.doing = format!("step {}, {title}", self.step);
        let line = format!("{:>2}  {title}", self.step);
        self.blank()?;
        self.line(BOLD, &line)
    }

    /// What is under way, for the message of a failure.
    pub(super) fn doing(&self) -> &str {
        &self.doing
    }

    /// Something went as it should.
    pub(super) fn good(&mut self, text: &str) -> io::Result<()> {
        self.marked("✓", GREEN, text)
    }

    /// Something failed that was meant to fail.
    pub(super) fn meant(&mut self, text: &str) -> io::Result<()> {
        self.marked("✗", YELLOW, text)
    }

    /// Something failed.
    pub(super) fn bad(&mut self, text: &str) -> io::Result<()> {
        self.marked("✗", RED, text)
    }

    /// Why it matters.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        for line in wrap(text, WIDTH - INDENT) {
            self.line(DIM, &format!("{:INDENT$}{line}", ""))?;
        }
        Ok(())
    }

    /// A heading without a number.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.blank()?;
        self.line(BOLD, text)
    }

    /// As it is: a table, a command to be copied.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.line("", text)
    }

    /// An empty line.
    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.line("", "")
    }

    fn marked(&mut self, mark: &str, colour: &str, text: &str) -> io::Result<()> {
        let mut lines = wrap(text, WIDTH - INDENT).into_iter();
        let first = lines.next().unwrap_or_default();
        let mark = if self.colours { format!("{colour}{mark}{PLAIN}") } else { mark.to_owned() };
        self.line("", &format!("    {mark} {first}"))?;
        for line in lines {
            self.line("", &format!("{:INDENT$}{line}", ""))?;
        }
        Ok(())
    }

    fn line(&mut self, style: &str, text: &str) -> io::Result<()> {
        if self.colours && !style.is_empty() {
            writeln!(self.out, "{style}{text}{PLAIN}")?;
        } else {
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()
    }
}

/// Breaks at spaces. A word that is longer than a line stays whole: it may be there to be copied.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text of strangers: control characters are shown as `?`, and what is longer than `max` characters is cut.
pub(super) fn printable(text: &str, max: usize) -> String {
    let shown = |c: char| if c.is_control() || is_direction(c) { '?' } else { c };
    let mut cut: String = text.chars().take(max).map(shown).collect();
    if text.chars().count() > max {
        cut.pop();
        cut.push('…');
    }
    cut
}

/// Characters that change the order in which others are shown.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written, for a test to read.
    #[derive(Clone, Default)]
    pub(in super::super) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn screen(colours: bool) -> (Screen, Paper) {
        let paper = Paper::default();
        (Screen::on(Box::new(paper.clone()), colours), paper)
    }

    #[test]
    fn steps_are_numbered_and_lines_end_in_time() {
        let (mut screen, paper) = screen(false);
        screen.step("One").unwrap();
        screen.good(&"word ".repeat(60)).unwrap();
        screen.note(&"word ".repeat(60)).unwrap();
        screen.step("Two").unwrap();
        let text = paper.text();
        assert!(text.contains("\n 1  One\n    ✓ word") && text.contains("\n 2  Two\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(screen.doing(), "step 2, Two");
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        for colours in [false, true] {
            let (mut screen, paper) = screen(colours);
            screen.step("One").unwrap();
            screen.good("fine").unwrap();
            screen.meant("refused").unwrap();
            assert_eq!(paper.text().contains('\x1b'), colours);
        }
    }

    #[test]
    fn a_long_word_stays_whole() {
        let word = "x".repeat(WIDTH + 1);
        assert_eq!(wrap(&format!("a {word} b"), WIDTH), ["a", word.as_str(), "b"]);
    }

    #[test]
    fn strangers_do_not_write_on_the_terminal() {
        assert_eq!(printable("a\x1b[2J\r\nb\u{202e}c", 20), "a?[2J??b?c");
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("abcdefg", 6), "abcde…");
    }
}
