//! HTML turned into plain text that a person or a program can read.
//!
//! The library's `html_to_text` decodes entities and collapses white space; it knows no block
//! elements but paragraphs, shows style sheets that have attributes, and loses every link. So the
//! markup is first reduced, in one pass, to text and `<br>`: block elements break the line, cells
//! and list items are set apart, style, script, head and comments go, and a link's target follows
//! its text in parentheses unless the text is the target. Never a renderer: no layout, no CSS, no
//! images.

use mail_parser::decoders::html::html_to_text;

const BREAK: &str = "<br>";

/// Elements that begin a new line and end it.
const BLOCKS: [&str; 32] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "main",
    "nav",
    "ol",
    "pre",
    "section",
    "table",
    "title",
    "tr",
    "ul",
];

/// Elements whose content is not text.
const HIDDEN: [&str; 4] = ["head", "script", "style", "template"];

/// Plain text of an HTML document. Linear in its length.
pub(super) fn to_text(html: &str) -> String {
    let mut reader = Reader {
        rest: html,
        out: String::with_capacity(html.len() / 2),
        link: None,
        breaks: 0,
        trust_quotes: true,
    };
    while let Some(at) = reader.rest.find('<') {
        let (text, rest) = reader.rest.split_at(at);
        reader.text(text);
        reader.rest = rest;
        reader.tag();
    }
    let rest = reader.rest;
    reader.text(rest);
    tidy(&html_to_text(&reader.out))
}

/// An open link: where it goes and where its text begins in what is written.
struct Link {
    target: String,
    text_at: usize,
}

struct Reader<'x> {
    rest: &'x str,
    out: String,
    link: Option<Link>,
    /// Line breaks written since the last text.
    breaks: usize,
    /// Whether `>` inside quotes is part of a tag. Given up for the rest of the document once a
    /// quote is never closed: otherwise each of many such tags would be looked for to the end.
    trust_quotes: bool,
}

impl Reader<'_> {
    /// Reads what begins with the `<` that `rest` begins with.
    fn tag(&mut self) {
        let after = &self.rest[1..];
        if let Some(comment) = after.strip_prefix("!--") {
            self.rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            return;
        }
        let first = after.trim_start_matches('/').chars().next();
        if !first.is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '!' | '?')) {
            self.text("&lt;");
            self.rest = after;
            return;
        }
        let Some(len) = self.tag_len(after) else {
            self.rest = "";
            return;
        };
        let inner = &after[..len];
        self.rest = &after[len + 1..];
        let closes = inner.starts_with('/');
        let inner = inner.trim_start_matches('/');
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let name = inner[..end].to_ascii_lowercase();
        self.element(&name, closes, &inner[end..]);
    }

    /// Length of the tag up to its `>`; `None` when it has none.
    fn tag_len(&mut self, after: &str) -> Option<usize> {
        if self.trust_quotes {
            let mut quote = None;
            let mut last = ' ';
            for (at, c) in after.char_indices() {
                match (quote, c) {
                    (None, '>') => return Some(at),
                    // A quote opens a value only after the equals sign.
                    (None, '"' | '\'') if last == '=' => quote = Some(c),
                    (Some(open), c) if open == c => quote = None,
                    _ => {}
                }
                if !c.is_ascii_whitespace() {
                    last = c;
                }
            }
            self.trust_quotes = false;
        }
        after.find('>')
    }

    fn element(&mut self, name: &str, closes: bool, attributes: &str) {
        if HIDDEN.contains(&name) {
            if !closes && !attributes.ends_with('/') {
                self.skip(name);
            }
        } else if name == "br" {
            self.break_lines(self.breaks + 1);
        } else if name == "p" {
            self.break_lines(2);
        } else if BLOCKS.contains(&name) {
            self.break_lines(1);
        } else if name == "li" && !closes {
            self.break_lines(1);
            self.text("- ");
        } else if matches!(name, "td" | "th") {
            self.out.push(' ');
        } else if name == "a" {
            self.end_link();
            if !closes && let Some(target) = href(attributes) {
                self.link = Some(Link { target: target.to_owned(), text_at: self.out.len() });
            }
        }
    }

    /// Sees to it that the next text is `breaks` line breaks away from the last.
    fn break_lines(&mut self, breaks: usize) {
        let missing = breaks.saturating_sub(self.breaks);
        self.out.push_str(&BREAK.repeat(missing));
        self.breaks += missing;
    }

    /// Writes text as it stands in the document.
    fn text(&mut self, text: &str) {
        if !text.trim_ascii().is_empty() {
            self.breaks = 0;
        }
        self.out.push_str(text);
    }

    /// Passes over everything up to the end tag of `name`.
    fn skip(&mut self, name: &str) {
        let mut rest = self.rest;
        while let Some(at) = rest.find("</") {
            rest = &rest[at + 2..];
            if rest.get(..name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name)) {
                self.rest = rest.find('>').map_or("", |end| &rest[end + 1..]);
                return;
            }
        }
        self.rest = "";
    }

    fn end_link(&mut self) {
        let Some(link) = self.link.take() else { return };
        let shown = html_to_text(&self.out[link.text_at..]);
        let target = html_to_text(&link.target);
        let bare = |url: &str| url.trim().trim_end_matches('/').trim_start_matches("mailto:").to_owned();
        if bare(&shown) != bare(&target) {
            self.out.push_str(" (");
            self.out.push_str(&link.target.replace('<', "&lt;"));
            self.out.push(')');
        }
    }
}

/// The target of a link that leads somewhere outside the document.
fn href(attributes: &str) -> Option<&str> {
    let lower = attributes.to_ascii_lowercase();
    // Not the `href` of `data-href`.
    let apart = |at: &usize| lower[..*at].ends_with(|c: char| c.is_whitespace() || "\"'".contains(c));
    let at = lower.match_indices("href").map(|(at, _)| at).find(apart)?;
    let value = attributes[at + 4..].trim_start().strip_prefix('=')?.trim_start();
    let target = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        _ => value.split_ascii_whitespace().next()?,
    };
    let target = target.trim();
    let leads = ["http://", "https://", "mailto:", "tel:"];
    let begins = |scheme: &&str| target.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme));
    leads.iter().any(begins).then_some(target)
}

/// Trims every line, makes no-break spaces plain, and leaves at most one empty line in a row.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.split('\n') {
        let line = line.replace('\u{a0}', " ");
        let line = line.trim();
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if !tidied.is_empty() {
            tidied.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        tidied.push_str(line);
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn blocks_break_lines_and_cells_are_set_apart() {
        assert_eq!(to_text("<div>Hello</div><div>World</div>"), "Hello\nWorld");
        assert_eq!(to_text("<div>a</div> <div><br></div><div>b</div>"), "a\n\nb");
        assert_eq!(to_text("a<br class=x>b<BR/>c"), "a\nb\nc");
        assert_eq!(to_text("<p>one</p><p style='x'>two</p>"), "one\n\ntwo");
        assert_eq!(to_text("<tr><td>a</td><td>b</td></tr>"), "a b");
        assert_eq!(to_text("<ul><li>a</li><li>b</li></ul>"), "- a\n- b");
    }

    #[test]
    fn what_is_not_text_is_gone() {
        let html = "<html><head><title>t</title><style type='text/css'>p{}</style></head>\
            <body><!-- c > d -->a<script src=x>if (1<2) {}</script>b<STYLE>x</STYLE></body></html>";
        assert_eq!(to_text(html), "ab");
        assert_eq!(to_text("a<style>never closed"), "a");
        assert_eq!(to_text("a<!-- never closed"), "a");
    }

    #[test]
    fn entities_and_stray_signs_stay_readable() {
        assert_eq!(to_text("R&amp;D &lt;x&gt; &#8364;5&nbsp;&eacute;"), "R&D <x> €5 é");
        assert_eq!(to_text("1 < 2 and 3 > 2"), "1 < 2 and 3 > 2");
        assert_eq!(to_text("a <"), "a <");
    }

    #[test]
    fn links_keep_their_target() {
        assert_eq!(
            to_text("<a class=b HREF=\"https://x.test/?a=1&amp;b=2\">Confirm</a> now"),
            "Confirm (https://x.test/?a=1&b=2) now"
        );
        assert_eq!(to_text("<a href='https://x.test/'>https://x.test</a>"), "https://x.test");
        assert_eq!(to_text("<a href=mailto:a@x.test>a@x.test</a>"), "a@x.test");
        assert_eq!(to_text("<a href=\"#top\">up</a>"), "up");
        assert_eq!(to_text("<a href=\"javascript:x\">up</a>"), "up");
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_the_text() {
        assert_eq!(to_text("<a title=\"x>text</a> more"), "text more");
        assert_eq!(to_text("<img alt=\"a > b\">text"), "text");
    }
}
