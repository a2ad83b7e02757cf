//! The grammar that says what an answer has to look like, in llguidance's words.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Calls, Shape};
use crate::error::{Error, Result};
use crate::text::{CALL, CALLS, END_CALL, END_CALLS, END_OBJECT, OBJECT, SEPARATOR};
use crate::text::{Tokenizer, ToolFormat};

/// Space that JSON may have between its parts: enough to be indented, not enough to go on forever.
const SPACE: &str = r"\n {0,16}| ";

impl Shape<'_> {
    /// The grammar's rules; markers are the tokens that they are to `tokenizer`.
    pub(super) fn grammar(&self, tokenizer: &Tokenizer) -> Result<String> {
        let mut rules = String::new();
        let mut starts = Vec::new();
        if let Some(schema) = self.schema {
            // A model may leave lines empty after its thinking.
            _ = writeln!(rules, "json: LINES? value\nLINES: /\\n{{1,2}}/");
            _ = writeln!(rules, "value: {}", inline(schema));
            starts.push("json");
        }
        if let Some(calls) = &self.calls {
            starts.push("calls");
            let is_text = self.schema.is_none() && !calls.required;
            if is_text {
                _ = writeln!(rules, "text: TEXT?\nTEXT: /(?s:.+)/");
                starts.push("text");
            }
            calls.write(tokenizer, is_text, &mut rules)?;
        }
        Ok(format!("start: {}\n{rules}", starts.join(" | ")))
    }
}

impl Calls<'_> {
    fn write(&self, tokenizer: &Tokenizer, after_text: bool, rules: &mut String) -> Result<()> {
        let marker = |text: &str| marker(tokenizer, text);
        let (open, between, close) = match self.format {
            ToolFormat::Fenced => (marker(CALLS), "\"\\n\"", marker(END_CALLS)),
            ToolFormat::Plain => (marker(CALLS), "", marker(END_CALLS)),
            ToolFormat::Object => (marker(OBJECT), "\"\\n\" open", String::new()),
            ToolFormat::Tags => {
                let what = "cannot be enforced in the form that this model writes calls in";
                return Err(Error::Parameter {
                    name: "tools".into(),
                    what: what.into(),
                });
            }
        };
        let more = if self.parallel {
            format!("({between} call)*")
        } else {
            String::new()
        };
        // A token of its own ends any text; a marker that is text is looked for in it.
        let lead = match (after_text, open.starts_with('<')) {
            (false, _) => "LINES? open",
            (true, true) => "TEXT? open",
            (true, false) => "before",
        };
        _ = writeln!(rules, "calls: {lead} call {more} {close}\nopen: {open}");
        if lead == "before" {
            _ = writeln!(rules, "before[lazy]: /(?s:.*)/ {open}");
        }
        if !rules.contains("LINES:") {
            _ = writeln!(rules, "LINES: /\\n{{1,2}}/");
        }
        let names: Vec<_> = (0..self.tools.len()).map(|i| format!("call{i}")).collect();
        _ = writeln!(rules, "call: {}", names.join(" | "));
        for (index, tool) in self.tools.iter().enumerate() {
            let (before, after) = self.around(tokenizer, &tool.name);
            let any = json!({ "type": "object" });
            let schema = tool.parameters.as_ref();
            let schema = schema.filter(|_| tool.strict || self.required);
            _ = writeln!(rules, "call{index}: {before} arguments{index} {after}");
            _ = writeln!(
                rules,
                "arguments{index}: {}",
                inline(schema.unwrap_or(&any))
            );
        }
        Ok(())
    }

    /// What stands before and behind the arguments of a call.
    fn around(&self, tokenizer: &Tokenizer, name: &str) -> (String, String) {
        let marker = |text: &str| marker(tokenizer, text);
        match self.format {
            ToolFormat::Fenced => {
                let named = literal(&format!("{name}\n```json\n"));
                let (call, separator) = (marker(CALL), marker(SEPARATOR));
                (
                    format!("{call} \"function\" {separator} {named}"),
                    format!("\"\\n```\" {}", marker(END_CALL)),
                )
            }
            ToolFormat::Plain | ToolFormat::Tags => (
                format!("{} {} {}", marker(CALL), literal(name), marker(SEPARATOR)),
                marker(END_CALL),
            ),
            ToolFormat::Object => (
                literal(&format!("\n{{\"name\": \"{name}\", \"arguments\": ")),
                format!("\"}}\\n\" {}", marker(END_OBJECT)),
            ),
        }
    }
}

/// JSON of a schema.
fn inline(schema: &Value) -> String {
    let mut schema = match schema {
        Value::Object(fields) => fields.clone(),
        _ => serde_json::Map::new(),
    };
    // Never what a request says: it could switch off what cannot be enforced.
    let how = json!({ "whitespace_pattern": SPACE });
    schema.insert("x-guidance".into(), how);
    format!("%json {}", Value::Object(schema))
}

/// A marker: the token that it is, or its text.
fn marker(tokenizer: &Tokenizer, text: &str) -> String {
    match tokenizer.special(text) {
        Some(token) => format!("<[{token}]>"),
        None => literal(text),
    }
}

fn literal(text: &str) -> String {
    Value::from(text).to_string()
}
