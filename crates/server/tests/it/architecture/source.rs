//! Reads Rust source far enough to see which paths it names.

use std::collections::BTreeSet;

/// A source file without comments, literals and test code.
#[derive(Debug)]
pub(super) struct Source {
    tokens: Vec<String>,
    lines_without_tests: usize,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let mut code = blank_literals(text);
        let tests = blank_tests(&mut code);
        let code: String = code.into_iter().collect();
        let lines_without_tests = text.trim_end().lines().count().saturating_sub(tests);
        Self { tokens: tokens(&code), lines_without_tests }
    }

    /// Lines that are not under `#[cfg(test)]`, nor the blank one that leads up to it.
    pub(super) fn lines_without_tests(&self) -> usize {
        self.lines_without_tests
    }

    /// Whether a path like `hyper::client` occurs, grouped or not. A single word must begin a path or
    /// be a whole one.
    pub(super) fn names(&self, path: &str) -> bool {
        let words: Vec<&str> = path.split("::").collect();
        (0..self.tokens.len()).any(|at| {
            let fresh = at == 0 || self.tokens[at - 1] != "." && self.tokens[at - 1] != "$";
            fresh && (words.len() > 1 || self.begins_path(at)) && self.continues(at, &words)
        })
    }

    /// Top-level modules of the crate that this file, at `module`, names; `*` for a glob over all of them.
    pub(super) fn imports(&self, module: &[&str]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        // Inline modules around the present token: the brace depth at which each ends.
        let mut inline: Vec<usize> = Vec::new();
        let mut depth = 0;
        let mut at = 0;
        while at < self.tokens.len() {
            match self.tokens[at].as_str() {
                "{" => {
                    if at >= 2 && self.tokens[at - 2] == "mod" {
                        inline.push(depth);
                    }
                    depth += 1;
                }
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                    }
                }
                "crate" if self.token(at + 1) == "::" && self.begins_path(at) => {
                    self.first_names(at + 2, &mut found);
                }
                "super" if self.begins_path(at) => {
                    let mut levels = 1;
                    while self.token(at + 1) == "::" && self.token(at + 2) == "super" {
                        levels += 1;
                        at += 2;
                    }
                    if self.token(at + 1) == "::" && levels >= module.len() + inline.len() {
                        self.first_names(at + 2, &mut found);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", String::as_str)
    }

    fn begins_path(&self, at: usize) -> bool {
        at == 0 || self.tokens[at - 1] != "::"
    }

    /// The name at `at`, or the first name of each member of the group that begins there.
    fn first_names(&self, at: usize, found: &mut BTreeSet<String>) {
        for member in self.members(at) {
            let name = self.token(member);
            if name == "*" || name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                found.insert(name.to_owned());
            }
        }
    }

    /// Where the members of the group at `at` begin; `at` itself when there is no group.
    fn members(&self, at: usize) -> Vec<usize> {
        if self.token(at) != "{" {
            return vec![at];
        }
        let (mut members, mut depth, mut next) = (vec![at + 1], 1, at + 1);
        while depth > 0 && next < self.tokens.len() {
            match self.token(next) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => members.push(next + 1),
                _ => {}
            }
            next += 1;
        }
        members
    }

    fn continues(&self, at: usize, words: &[&str]) -> bool {
        let Some((first, rest)) = words.split_first() else { return true };
        if self.token(at) != *first {
            return false;
        }
        rest.is_empty()
            || self.token(at + 1) == "::"
                && self.members(at + 2).into_iter().any(|member| self.continues(member, rest))
    }
}

/// Blanks comments, strings and character literals; newlines stay.
fn blank_literals(text: &str) -> Vec<char> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = chars.clone();
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        for blank in &mut out[at..end.min(chars.len())] {
            if *blank != '\n' {
                *blank = ' ';
            }
        }
        at = end.max(at + 1);
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` when none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    match (chars[at], next(1)) {
        ('/', '/') => find(chars, at, |rest| rest[0] == '\n'),
        ('/', '*') => block_comment_end(chars, at),
        ('"', _) => quoted_end(chars, at + 1, '"'),
        ('\'', '\\') => quoted_end(chars, at + 1, '\''),
        ('\'', _) if next(2) == '\'' => at + 3,
        ('r', '"' | '#') if !is_word_before(chars, at) => raw_string_end(chars, at),
        _ => at,
    }
}

/// Before an `r` that opens a raw string there may be a `b` or `c`, and no other letter.
fn is_word_before(chars: &[char], at: usize) -> bool {
    let word = |index: usize| chars[index].is_alphanumeric() || chars[index] == '_';
    match at.checked_sub(1) {
        Some(before) if matches!(chars[before], 'b' | 'c') => before > 0 && word(before - 1),
        Some(before) => word(before),
        None => false,
    }
}

fn find(chars: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|&at| found(&chars[at..])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0_usize, at);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at; // a raw identifier
    }
    let closes =
        |rest: &[char]| rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#');
    find(chars, at + 2 + hashes, closes) + 1 + hashes
}

/// Blanks every item under `#[cfg(test)]`; tells how many lines that were.
fn blank_tests(code: &mut [char]) -> usize {
    let marker: Vec<char> = "#[cfg(test)]".chars().collect();
    let (mut at, mut lines) = (0, 0);
    while at + marker.len() <= code.len() {
        if code[at..].starts_with(&marker) {
            let end = item_end(code, at + marker.len());
            let led_by_blank = code[..at].iter().rev().take_while(|c| **c == '\n').count() > 1;
            lines += code[at..end].iter().filter(|c| **c == '\n').count() + 1 + usize::from(led_by_blank);
            code[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
            at = end;
        } else {
            at += 1;
        }
    }
    lines
}

/// The end of the item that begins at `at`: its `;`, or the brace that closes its body.
fn item_end(code: &[char], at: usize) -> usize {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (index, c) in code.iter().enumerate().skip(at) {
        match c {
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && brackets == 0 {
                    return index + 1;
                }
            }
            ';' if braces == 0 && brackets == 0 => return index + 1,
            _ => {}
        }
    }
    code.len()
}

/// Words, `::`, and single other characters. `r#name` is `name`.
fn tokens(code: &str) -> Vec<String> {
    let code = code.replace("r#", "");
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut token = String::from(c);
        if c.is_alphanumeric() || c == '_' {
            while let Some(more) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                token.push(more);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            token.push(':');
        }
        tokens.push(token);
    }
    tokens
}
