//! What a stranger wrote, made fit for a mail: plain, quoted, and without anything that a mail program makes a link of.
//!
//! Whoever signs up may have any mail address written to, with words of their own in it. So none of those words may
//! pass for ours, lead anywhere, or hide.

/// Columns of a quoted line, its mark not counted; a longer word is broken.
const COLUMNS: usize = 72;
/// Before each line that is not ours.
const MARK: &str = "> ";

/// Some lines of a stranger's, each marked as such.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::new();
    for line in lines(text) {
        for part in wrapped(&links_broken(&line)) {
            out.push_str(MARK);
            out.push_str(&part);
            out.push('\n');
        }
    }
    out
}

/// The same in one line, without a mark, cut after so many characters.
pub(super) fn in_line(text: &str, most: usize) -> String {
    let line = links_broken(&lines(text).join(" "));
    let mut shown: String = line.chars().take(most).collect();
    if line.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Lines without anything that steers a terminal or a mail program, or hides.
fn lines(text: &str) -> Vec<String> {
    let ended = text.replace("\r\n", "\n");
    let is_end = |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let clean = |line: &str| -> String {
        let shown = line.chars().filter(|c| !is_hidden(*c));
        shown.map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect()
    };
    ended.split(is_end).map(|line| clean(line).trim_end().to_owned()).collect()
}

/// Characters that take no place, or turn the direction of what follows.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Puts what joins the parts of an address in brackets: `example[.]com`, `https[:]//`, `ana[at]example[.]com`. The
/// one dot of a number stays, the colon of a time, and whatever ends a sentence.
fn links_broken(line: &str) -> String {
    line.split(' ').map(word_broken).collect::<Vec<_>>().join(" ")
}

fn word_broken(word: &str) -> String {
    let chars: Vec<char> = word.chars().collect();
    let one_dot = chars.iter().filter(|c| is_dot(**c)).count() == 1;
    let mut out = String::with_capacity(word.len());
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| chars.get(before));
        let after = chars.get(at + 1);
        let joins = before.is_some() && after.is_some();
        let is_number = [before, after].iter().all(|next| next.is_some_and(char::is_ascii_digit));
        match c {
            c if is_dot(*c) && joins && !(is_number && one_dot) => out.push_str("[.]"),
            ':' | '\u{ff1a}' if (joins || after == Some(&'/')) && !is_number => out.push_str("[:]"),
            '@' | '\u{ff20}' => out.push_str("[at]"),
            c => out.push(*c),
        }
    }
    out
}

/// What separates the parts of a domain name (RFC 3490, 3.1).
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

/// Parts of a line that fit.
fn wrapped(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut columns = 0;
    for word in line.split(' ') {
        let chars: Vec<char> = word.chars().collect();
        if columns > 0 && columns + 1 + chars.len() > COLUMNS {
            parts.push(String::new());
            columns = 0;
        }
        if columns > 0 {
            push(&mut parts, ' ');
            columns += 1;
        }
        for (at, c) in chars.iter().enumerate() {
            if at > 0 && columns == COLUMNS {
                parts.push(String::new());
                columns = 0;
            }
            push(&mut parts, *c);
            columns += 1;
        }
    }
    parts
}

fn push(parts: &mut [String], c: char) {
    if let Some(last) = parts.last_mut() {
        last.push(c);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_are_broken_and_sentences_are_not() {
        for (given, expected) in [
            ("Hello. I am 3.5 years old, it is 10:30.", "Hello. I am 3.5 years old, it is 10:30."),
            ("see https://evil.example/x?y=1", "see https[:]//evil[.]example/x?y=1"),
            ("www.evil.example", "www[.]evil[.]example"),
            ("mailto:ana@evil.example", "mailto[:]ana[at]evil[.]example"),
            ("evil。example", "evil[.]example"),
            ("http://127.0.0.1/x", "http[:]//127[.]0[.]0[.]1/x"),
            ("ana @ evil", "ana [at] evil"),
            ("e\u{200b}vil.ex\u{202e}ample", "evil[.]example"),
        ] {
            assert_eq!(in_line(given, 1_000), expected);
        }
    }

    #[test]
    fn every_line_is_marked_however_it_ends() {
        let text = "one\r\ntwo\nthree\rfour\u{2028}five\u{85}six\n\nYour code is 000000";
        let quoted = quoted(text);
        assert!(quoted.lines().all(|line| line.starts_with(MARK)), "{quoted}");
        assert_eq!(quoted.lines().count(), 8);
        assert!(quoted.ends_with("> Your code is 000000\n"));
    }

    #[test]
    fn long_lines_and_long_words_are_broken() {
        let quoted = quoted(&format!("{} {}", "word ".repeat(40), "x".repeat(500)));
        assert!(quoted.lines().all(|line| line.chars().count() <= MARK.len() + COLUMNS), "{quoted}");
        assert_eq!(quoted.matches('x').count(), 500);
        assert_eq!(in_line("abcdef", 3), "abc…");
        assert_eq!(in_line("abc\ndef", 30), "abc def");
    }

    proptest! {
        #[test]
        fn nothing_that_makes_a_link_is_left(text in "(?s)(.{0,40}|[a-z.:/@ ]{0,40}|(https?|ftp)://[a-z.]{1,20}.{0,20}){0,4}") {
            let quoted = quoted(&text);
            prop_assert!(quoted.lines().all(|line| line.starts_with(MARK)), "{quoted:?}");
            prop_assert!(!quoted.contains("://") && !quoted.contains('@'), "{quoted:?}");
            let chars: Vec<char> = quoted.chars().collect();
            for three in chars.windows(3) {
                let is_join = three[1] == '.' && three[0].is_alphanumeric() && three[2].is_alphanumeric();
                let is_number = three[0].is_ascii_digit() && three[2].is_ascii_digit();
                prop_assert!(!is_join || is_number, "{quoted:?}");
            }
            let odd = chars.iter().any(|c| (c.is_control() && *c != '\n') || is_hidden(*c));
            prop_assert!(!odd, "{quoted:?}");
        }
    }
}
