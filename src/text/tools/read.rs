//! One call from what a model wrote so far.

use serde_json::Map;
use serde_json::Value;

use super::{
    CALL, CALLS, END_CALL, END_CALLS, END_OBJECT, OBJECT, SEPARATOR, TAG, ToolCall, ToolFormat,
};

/// What stands at the beginning of a text behind an opening marker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A call, and how many bytes it takes.
    Call(ToolCall, usize),
    /// The end of the calls, and how many bytes it takes.
    End(usize),
    /// Nothing that is whole.
    More,
    /// No call.
    Malformed,
}

impl ToolFormat {
    /// The markers that open calls.
    pub(super) fn openings(self) -> &'static [&'static str] {
        match self {
            Self::Fenced | Self::Plain => &[CALLS, CALL],
            Self::Tags => &["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"],
            Self::Object => &[OBJECT],
        }
    }

    /// Reads on behind an opening marker that is `opening`.
    pub(super) fn read(self, opening: &str, text: &str) -> Reading {
        let begun = text.trim_start();
        let space = text.len() - begun.len();
        let ends: &[&str] = match self {
            Self::Fenced | Self::Plain => &[END_CALLS],
            Self::Tags => &["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"],
            Self::Object => &[END_OBJECT],
        };
        if let Some(end) = ends.iter().find(|end| begun.starts_with(**end)) {
            return Reading::End(space + end.len());
        }
        let (start, end) = match self {
            Self::Fenced | Self::Plain => (CALL, END_CALL),
            Self::Tags => ("<｜DSML｜invoke", "</｜DSML｜invoke>"),
            Self::Object => ("", END_OBJECT),
        };
        // A model may leave out what opens all calls.
        let start = if opening == start { "" } else { start };
        let is_begun = |marker: &str| marker.starts_with(begun);
        let Some(inside) = begun.strip_prefix(start) else {
            let may_be = is_begun(start) || ends.iter().any(|end| is_begun(end));
            return if may_be {
                Reading::More
            } else {
                Reading::Malformed
            };
        };
        let Some(length) = inside.find(end) else {
            return Reading::More;
        };
        let call = match self {
            Self::Fenced | Self::Plain => separated(&inside[..length]),
            Self::Tags => tagged(&inside[..length]),
            Self::Object => object(&inside[..length]),
        };
        // An object's end is that of the calls.
        let taken = if self == Self::Object {
            length
        } else {
            length + end.len()
        };
        call.map_or(Reading::Malformed, |call| {
            Reading::Call(call, space + start.len() + taken)
        })
    }
}

fn call(name: &str, arguments: String) -> Option<ToolCall> {
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    is_name.then(|| ToolCall {
        id: String::new(),
        name: name.to_owned(),
        arguments,
    })
}

/// `NAME sep JSON`, or `function sep NAME`, a line's end and fenced JSON.
fn separated(text: &str) -> Option<ToolCall> {
    let (first, rest) = text.split_once(SEPARATOR)?;
    let rest = rest.trim();
    let (name, arguments) = match rest.split_once('\n') {
        Some((name, fenced)) if first.trim() == "function" && !rest.starts_with('{') => {
            (name.trim(), fenced)
        }
        _ => (first.trim(), rest),
    };
    let fenced = arguments.trim();
    let bare = fenced.strip_prefix("```json").unwrap_or(fenced);
    let bare = bare.strip_suffix("```").unwrap_or(bare).trim();
    match bare.parse() {
        Ok(Value::Object(_)) => call(name, bare.to_owned()),
        _ if bare.is_empty() => call(name, "{}".to_owned()),
        _ => None,
    }
}

/// `{"name": .., "arguments": {..}}`.
fn object(text: &str) -> Option<ToolCall> {
    let fields: Map<String, Value> = serde_json::from_str(text.trim()).ok()?;
    let arguments = fields.get("arguments").or_else(|| fields.get("parameters"));
    let arguments = match arguments {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => {
            text.parse::<Value>().ok().filter(Value::is_object)?;
            text.clone()
        }
        Some(object) => Some(object)
            .filter(|object| object.is_object())?
            .to_string(),
    };
    call(fields.get("name")?.as_str()?, arguments)
}

/// ` name="NAME">` and a tag for each parameter.
fn tagged(text: &str) -> Option<ToolCall> {
    let (name, mut rest) = attribute(text, "name")?.split_once("\">")?;
    let mut arguments = Map::new();
    let open = format!("<{TAG}parameter");
    while let Some(parameter) = rest.trim_start().strip_prefix(&open) {
        let (key, after) = attribute(parameter, "name")?.split_once('"')?;
        let (kind, after) = attribute(after, "string")?.split_once("\">")?;
        let (value, after) = after.split_once(&format!("</{TAG}parameter>"))?;
        let value = match kind {
            "true" => Value::from(value),
            _ => value.parse().ok()?,
        };
        arguments.insert(key.to_owned(), value);
        rest = after;
    }
    let is_over = rest.trim().is_empty();
    call(name, Value::Object(arguments).to_string()).filter(|_| is_over)
}

/// What follows `name="`.
fn attribute<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.trim_start().strip_prefix(name)?.strip_prefix("=\"")
}
