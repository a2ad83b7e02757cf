//! What templates expect of Python: methods of strings and dictionaries, and `json.dumps`.
//!
//! Never makes a string that the template's fuel does not pay for.

use std::io;

use minijinja::Error;
use minijinja::ErrorKind;
use minijinja::State;
use minijinja::Value;
use minijinja::value::Kwargs;
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use serde_json::ser::PrettyFormatter;

use super::guard;

/// The longest padding that a format may ask for.
const MAX_WIDTH: u64 = 1000;
/// The deepest indentation of JSON.
const MAX_INDENT: usize = 16;

/// Calls a method that the engine itself does not have.
pub(super) fn call_method(
    state: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (method, value.as_str()) {
        ("format", Some(format)) => charge_format(state, format, '{', arguments)?,
        ("split" | "splitlines", Some(text)) => charge_split(state, text, arguments)?,
        _ => guard::charge(state, arguments, 1)?,
    }
    unknown_method_callback(state, value, method, arguments)
}

/// Pays for the list that a text is split into.
pub(super) fn charge_split(state: &State, text: &str, arguments: &[Value]) -> Result<(), Error> {
    let items = match arguments.first().and_then(Value::as_str) {
        Some(separator) => text.matches(separator).count(),
        None => text.matches(char::is_whitespace).count(),
    };
    // An item takes 24 bytes, and growing the list as much again; 64 bytes are one unit.
    state.consume_fuel(items as u64 * 48 / 64)
}

/// Pays for the worst that a format can do: every field is the longest argument, padded.
pub(super) fn charge_format(
    state: &State,
    format: &str,
    field: char,
    arguments: &[Value],
) -> Result<(), Error> {
    let fields = format.matches(field).count() as u64;
    let mut padding = 0;
    for digits in format
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
    {
        let width = digits.parse::<u64>().unwrap_or(u64::MAX);
        if width > MAX_WIDTH {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "a format is too wide",
            ));
        }
        padding += width;
    }
    guard::charge(state, &[Value::from(format)], 1)?;
    state.consume_fuel(padding / 16)?;
    guard::charge(state, arguments, fields)
}

/// Raises an error in the words of the template.
pub(super) fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// JSON as Python's `json.dumps` writes it: a space after commas and colons, nothing escaped for HTML.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands options over by value"
)]
pub(super) fn to_json(state: &State, value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        options.get::<Option<Value>>(ignored)?;
    }
    options.assert_all_used()?;
    guard::charge(state, std::slice::from_ref(value), 8)?;
    let json = match indent {
        None => write_json(value, Spaced),
        Some(indent) if indent <= MAX_INDENT => {
            write_json(value, PrettyFormatter::with_indent(&b" ".repeat(indent)))
        }
        Some(_) => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "indent is too large",
            ));
        }
    };
    json.map(Value::from)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn write_json(value: &Value, formatter: impl Formatter) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// JSON on one line, with spaces between items.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
