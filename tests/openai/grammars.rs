//! What a grammar allows is what was asked for, whoever chooses the tokens.

use serde_json::{Map, Value, json};
use tiefsee::engine::{Allowed, Constraint};
use tiefsee::llm::{Calls, Grammar, Shape};
use tiefsee::text::{Prompt, Specials, Tool, ToolFormat, ToolPiece, ToolSplitter};

use crate::{ask, language, parameter, question};

/// A small deterministic generator (xorshift), so that failures repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

const STOP: u32 = 1;
const THINK: u32 = 5;
const END_THINK: u32 = 6;

/// A prompt that ends inside the reasoning, behind it, or without any.
fn ends(reasoning: Option<bool>) -> Prompt {
    Prompt {
        tokens: Vec::new(),
        opens_reasoning: reasoning == Some(true),
        closes_reasoning: reasoning == Some(false),
    }
}

/// Any of the tokens that are allowed, one after another, the end as soon as it is; `None` if that
/// does not come.
fn draw(mut rule: Box<dyn Constraint>, random: &mut Random) -> Option<Vec<u32>> {
    let mut tokens = Vec::new();
    for _ in 0..600 {
        let set = match rule.allowed().expect("a set") {
            Allowed::End => return Some(tokens),
            Allowed::Any => panic!("a grammar allows not just anything"),
            Allowed::Only(set) => set,
        };
        if set.contains(STOP) {
            return Some(tokens);
        }
        let allowed: Vec<u32> = (0..512).filter(|&token| set.contains(token)).collect();
        assert!(!allowed.is_empty());
        // Quotes and brackets close more often than by chance, so that answers end.
        let closing = allowed.iter().copied().filter(|&token| {
            let text = language().tokenizer().decode(&[token], Specials::Keep);
            ["\"", "}", "]"].contains(&text.as_str())
        });
        let closing: Vec<u32> = closing.collect();
        let token = if !closing.is_empty() && random.below(4) == 0 {
            closing[random.below(closing.len())]
        } else {
            let token = allowed[random.below(allowed.len())];
            if token == THINK { allowed[0] } else { token }
        };
        if token == THINK {
            continue;
        }
        rule.advance(token).expect("an allowed token");
        tokens.push(token);
    }
    None
}

fn text(tokens: &[u32]) -> String {
    language().tokenizer().decode(tokens, Specials::Keep)
}

/// A schema and whether values satisfy it, up to this depth.
fn schema(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => json!({ "type": "integer", "minimum": 3, "maximum": 70 }),
        1 => json!({ "type": "string", "maxLength": 4 }),
        2 => json!({ "type": "boolean" }),
        3 => json!({ "enum": ["a", 1, null] }),
        4 => json!({ "type": "string", "pattern": "^[a-c]{1,3}$" }),
        5 => json!({ "type": "array", "items": schema(random, depth - 1), "maxItems": 3 }),
        6 => json!({ "anyOf": [schema(random, depth - 1), schema(random, 0)] }),
        _ => {
            let count = 1 + random.below(3);
            let names = ["a", "bé", "c d"];
            let properties: Map<String, Value> = (0..count)
                .map(|index| (names[index].to_owned(), schema(random, depth - 1)))
                .collect();
            let required: Vec<_> = names[..count]
                .iter()
                .filter(|_| random.below(2) == 0)
                .collect();
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
        }
    }
}

/// Whether `value` is what a schema made of the words above asks for.
fn satisfies(value: &Value, schema: &Value) -> bool {
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().any(|schema| satisfies(value, schema));
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.contains(value);
    }
    match schema["type"].as_str().expect("a type") {
        "integer" => value.as_i64().is_some_and(|it| (3..=70).contains(&it)),
        "boolean" => value.is_boolean(),
        "string" => value.as_str().is_some_and(|it| {
            let plain = it.chars().all(|c| ('a'..='c').contains(&c)) && (1..=3).contains(&it.len());
            let short = it.chars().count() <= 4;
            if schema["pattern"].is_string() {
                plain
            } else {
                short
            }
        }),
        "array" => value.as_array().is_some_and(|items| {
            let fits = items.iter().all(|item| satisfies(item, &schema["items"]));
            items.len() <= 3 && fits
        }),
        _ => value.as_object().is_some_and(|fields| {
            let required = schema["required"].as_array().expect("names");
            let has = |name: &Value| fields.contains_key(name.as_str().expect("a name"));
            let fits = |(name, value): (&String, &Value)| {
                let properties = &schema["properties"];
                properties
                    .get(name)
                    .is_some_and(|schema| satisfies(value, schema))
            };
            required.iter().all(has) && fields.iter().all(fits)
        }),
    }
}

#[test]
fn json_follows_its_schema_whoever_chooses() {
    let mut random = Random(77);
    let mut whole = 0;
    for _ in 0..40 {
        let inner = schema(&mut random, 2);
        let schema = json!({ "type": "object", "properties": { "v": inner }, "required": ["v"], "additionalProperties": false });
        let shape = Shape {
            schema: Some(&schema),
            calls: None,
        };
        let grammar =
            Grammar::new(language(), &shape).unwrap_or_else(|error| panic!("{schema}: {error}"));
        for _ in 0..4 {
            let Some(tokens) = draw(grammar.constraint(&ends(None)), &mut random) else {
                continue;
            };
            let text = text(&tokens);
            let value: Value = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(satisfies(&value, &schema), "{schema}: {text}");
            whole += 1;
        }
    }
    assert!(whole > 80, "{whole}");
}

#[test]
fn any_object_is_an_object() {
    let fields = json!({ "response_format": { "type": "json_object" } });
    let asked = ask(&question(&fields)).expect("a request");
    let grammar = asked.answers[0].1.grammar.clone().expect("a grammar");
    let mut random = Random(3);
    let drawn: Vec<_> = (0..20)
        .filter_map(|_| draw(grammar.constraint(&ends(None)), &mut random))
        .collect();
    assert!(drawn.len() > 5, "{}", drawn.len());
    for tokens in drawn {
        let value: Value = text(&tokens).parse().expect("JSON");
        assert!(value.is_object());
    }
}

#[test]
fn thinking_comes_first_and_is_free() {
    let schema = json!({ "const": "x" });
    let shape = Shape {
        schema: Some(&schema),
        calls: None,
    };
    let grammar = Grammar::new(language(), &shape).expect("a grammar");
    for (opens, thought) in [
        (true, vec![40, 90, END_THINK]),
        (false, vec![THINK, 40, END_THINK]),
    ] {
        let mut rule = grammar.constraint(&ends(opens.then_some(true)));
        for token in thought {
            let Ok(Allowed::Only(set)) = rule.allowed() else {
                panic!("a set");
            };
            assert!(set.contains(token));
            assert!(!set.contains(STOP), "no answer ends in its thinking");
            rule.advance(token).expect("a thought");
        }
        let tokens = draw(rule, &mut Random(1)).expect("an end");
        assert_eq!(text(&tokens).trim_start_matches('\n'), "\"x\"");
    }
    // Nothing is thought any more behind the thinking, which a request may leave out.
    let Ok(Allowed::Only(set)) = grammar.constraint(&ends(Some(false))).allowed() else {
        panic!("a set");
    };
    assert!(!set.contains(THINK));
}

fn tools() -> [Tool; 2] {
    let tool = |name: &str, parameters: Value| Tool {
        name: name.to_owned(),
        description: None,
        parameters: Some(parameters),
        strict: true,
    };
    let object = |properties: Value, required: &[&str]| json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    [
        tool("now", object(json!({}), &[])),
        tool(
            "paint",
            object(json!({ "c": { "enum": ["red", "blue"] } }), &["c"]),
        ),
    ]
}

#[test]
fn calls_are_calls_of_the_tools() {
    let tools = tools();
    let mut random = Random(9);
    for format in [ToolFormat::Fenced, ToolFormat::Plain, ToolFormat::Object] {
        for (required, parallel) in [(true, false), (true, true), (false, true)] {
            let calls = Calls {
                format,
                tools: &tools,
                required,
                parallel,
            };
            let shape = Shape {
                schema: None,
                calls: Some(calls),
            };
            let grammar = Grammar::new(language(), &shape).expect("a grammar");
            for _ in 0..8 {
                let mut rule = grammar.constraint(&ends(None));
                let mut tokens = Vec::new();
                if !required {
                    // Any text may stand in front; the marker begins a call then.
                    let opening = match format {
                        ToolFormat::Object => "I <tool_call>",
                        _ => "I <｜tool▁calls▁begin｜>",
                    };
                    tokens = language().tokenizer().encode(opening).expect("ids");
                    for &token in &tokens {
                        rule.advance(token).expect("any text");
                    }
                }
                let Some(drawn) = draw(rule, &mut random) else {
                    continue;
                };
                tokens.extend(drawn);
                let text = text(&tokens);
                let mut splitter = ToolSplitter::new(format);
                let mut pieces = splitter.push(&text);
                pieces.extend(splitter.finish());
                let mut called = 0;
                for piece in pieces {
                    match piece {
                        ToolPiece::Content(said) => assert_eq!(said.trim(), "I", "{text}"),
                        ToolPiece::Call(call) => {
                            let tool = tools.iter().find(|tool| tool.name == call.name);
                            let schema =
                                tool.expect("a tool").parameters.as_ref().expect("a schema");
                            let arguments = call.arguments.parse().expect("JSON");
                            assert!(satisfies(&arguments, schema), "{text}");
                            called += 1;
                        }
                    }
                }
                assert!(called == 1 || called > 1 && parallel, "{text}");
            }
        }
    }
}

#[test]
fn text_may_come_instead_of_a_call() {
    let tools = tools();
    let calls = Calls {
        format: ToolFormat::Object,
        tools: &tools,
        required: false,
        parallel: true,
    };
    let shape = Shape {
        schema: None,
        calls: Some(calls),
    };
    let mut rule = Grammar::new(language(), &shape)
        .expect("a grammar")
        .constraint(&ends(None));
    for token in language()
        .tokenizer()
        .encode("No <tool, 3 < 4.")
        .expect("ids")
    {
        let Ok(Allowed::Only(set)) = rule.allowed() else {
            panic!("a set");
        };
        assert!(set.contains(token));
        rule.advance(token).expect("text");
    }
    let Ok(Allowed::Only(set)) = rule.allowed() else {
        panic!("a set");
    };
    assert!(set.contains(STOP));
}

#[test]
fn what_cannot_be_enforced_is_refused() {
    let deep = (0..60).fold(
        json!({ "type": "string" }),
        |inner, _| json!({ "type": "object", "properties": { "a": inner } }),
    );
    let long: Vec<_> = (0..40_000)
        .map(|index| format!("word number {index}"))
        .collect();
    for schema in [
        json!({ "type": "array", "uniqueItems": true, "contains": { "type": "string" } }),
        json!({ "not": { "type": "string" } }),
        json!({ "type": "king" }),
        json!({ "$ref": "https://example.org/schema.json" }),
        json!({ "enum": [] }),
        json!({ "enum": long }),
        json!({ "type": "string", "pattern": "(a{1,1000}){1,1000}(?=b)" }),
    ] {
        let format = json!({ "type": "json_schema", "json_schema": { "schema": schema } });
        let refused = parameter(ask(&question(&json!({ "response_format": format }))));
        assert_eq!(refused.0, "response_format", "{schema}: {refused:?}");
        assert!(refused.1.len() < 400, "{refused:?}");
    }
    let lenient = json!({ "not": {}, "x-guidance": { "lenient": true } });
    let format = json!({ "type": "json_schema", "json_schema": { "schema": lenient } });
    parameter(ask(&question(&json!({ "response_format": format }))));
    let format = json!({ "type": "json_schema", "json_schema": { "schema": deep } });
    ask(&question(&json!({ "response_format": format }))).expect("deep but sound");
}
