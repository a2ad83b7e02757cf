//! How large the tags of a template are, before the template engine parses them.
//!
//! The engine parses operators and `elif` by recursion without a limit, so a long enough chain
//! would exhaust the stack. This finds such chains; it never judges whether a template is correct.

use crate::error::Error;
use crate::error::Result;

/// The most words, signs and strings of one tag; published templates stay below a hundred.
const MAX_TAG: usize = 800;
/// The most `elif` of a template.
const MAX_ELIF: usize = 200;

/// Refuses templates that the engine could not parse on a small stack.
pub(super) fn check(source: &str) -> Result<()> {
    let mut rest = source;
    let mut elifs = 0;
    while let Some((tag, end)) = next_tag(&mut rest) {
        if tag == "#" {
            rest = rest.find(end).map_or("", |at| &rest[at + end.len()..]);
            continue;
        }
        let inside = rest.trim_start_matches(['-', '+']).trim_start();
        let word = inside.split(|c| !is_word(c)).next();
        match (tag, word) {
            ("%", Some("elif")) => elifs += 1,
            ("%", Some("raw")) => {
                return Err(Error::Template("raw blocks are not supported".to_owned()));
            }
            _ => {}
        }
        let (length, after) = measure(rest, end);
        if length > MAX_TAG {
            let what = format!("a tag has more than {MAX_TAG} words and signs");
            return Err(Error::Template(what));
        }
        rest = after;
    }
    if elifs > MAX_ELIF {
        return Err(Error::Template(format!("more than {MAX_ELIF} elif")));
    }
    Ok(())
}

/// Moves behind the next beginning of a tag; gives its sign and how such a tag ends.
fn next_tag(rest: &mut &str) -> Option<(&'static str, &'static str)> {
    while let Some(at) = rest.find('{') {
        *rest = &rest[at + 1..];
        for (sign, end) in [("{", "}}"), ("%", "%}"), ("#", "#}")] {
            if let Some(inside) = rest.strip_prefix(sign) {
                *rest = inside;
                return Some((sign, end));
            }
        }
    }
    None
}

/// The number of words, signs and strings of a tag, and what follows it.
fn measure<'s>(inside: &'s str, end: &str) -> (usize, &'s str) {
    let mut length = 0;
    let mut open = 0;
    let mut rest = inside.trim_start();
    while let Some(c) = rest.chars().next() {
        if let (0, Some(after)) = (open, rest.strip_prefix(end)) {
            return (length, after);
        }
        rest = match c {
            '\'' | '"' => after_string(rest, c),
            c if is_word(c) => rest.trim_start_matches(is_word),
            c => &rest[c.len_utf8()..],
        };
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
        length += 1;
        rest = rest.trim_start();
    }
    (length, rest)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What follows the string that begins here, of which a backslash takes the next character.
fn after_string(text: &str, quote: char) -> &str {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if c == quote {
            return &text[at + 1..];
        }
    }
    ""
}
