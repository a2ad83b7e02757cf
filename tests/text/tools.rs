//! Tools in prompts and calls in answers, in every format.

use serde_json::Value;
use serde_json::json;
use tiefsee::text::ChatTemplate;
use tiefsee::text::Conversation;
use tiefsee::text::Message;
use tiefsee::text::Role;
use tiefsee::text::Specials;
use tiefsee::text::Tool;
use tiefsee::text::ToolCall;
use tiefsee::text::ToolFormat;
use tiefsee::text::ToolPiece;
use tiefsee::text::ToolSplitter;

use crate::BOS;
use crate::Random;
use crate::assistant;
use crate::demo_config;
use crate::demo_tokenizer;
use crate::template;
use crate::user;

const FORMATS: [ToolFormat; 4] = [
    ToolFormat::Fenced,
    ToolFormat::Plain,
    ToolFormat::Tags,
    ToolFormat::Object,
];

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: String::new(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

fn written(format: ToolFormat) -> &'static str {
    match format {
        ToolFormat::Fenced => {
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\":1}\n```<｜tool▁call▁end｜>\n\
             <｜tool▁call▁begin｜>function<｜tool▁sep｜>say\n```json\n{\"text\":\"né\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        }
        ToolFormat::Plain => {
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\":1}<｜tool▁call▁end｜>\
             <｜tool▁call▁begin｜>say<｜tool▁sep｜>{\"text\":\"né\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        }
        ToolFormat::Tags => {
            "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"add\">\n\
             <｜DSML｜parameter name=\"a\" string=\"false\">1</｜DSML｜parameter>\n</｜DSML｜invoke>\n\
             <｜DSML｜invoke name=\"say\">\n<｜DSML｜parameter name=\"text\" string=\"true\">né</｜DSML｜parameter>\n\
             </｜DSML｜invoke>\n</｜DSML｜function_calls>"
        }
        ToolFormat::Object => {
            "\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\":1}}\n</tool_call>\n\
             <tool_call>\n{\"name\": \"say\", \"arguments\": {\"text\":\"né\"}}\n</tool_call>"
        }
    }
}

/// Content and calls of an answer that comes in these pieces.
fn split(format: ToolFormat, pieces: &[&str]) -> (String, Vec<ToolCall>) {
    let mut splitter = ToolSplitter::new(format);
    let mut all: Vec<_> = pieces
        .iter()
        .flat_map(|piece| splitter.push(piece))
        .collect();
    all.extend(splitter.finish());
    let mut content = String::new();
    let mut calls = Vec::new();
    for piece in all {
        match piece {
            ToolPiece::Content(text) => content += &text,
            ToolPiece::Call(call) => calls.push(call),
        }
    }
    (content, calls)
}

#[test]
fn calls_are_told_from_the_text_around_them() {
    let calls = vec![call("add", "{\"a\":1}"), call("say", "{\"text\":\"né\"}")];
    for format in FORMATS {
        let text = written(format);
        assert_eq!(split(format, &[text]), (String::new(), calls.clone()));
        let around = format!("I look.\n\n{text}\n");
        assert_eq!(
            split(format, &[&around]),
            ("I look.".to_owned(), calls.clone()),
            "{format:?}"
        );
        assert_eq!(
            split(format, &[" no call \n"]),
            (" no call \n".to_owned(), vec![])
        );
        assert_eq!(split(format, &[""]), (String::new(), vec![]));
    }
}

#[test]
fn what_is_no_whole_call_is_content() {
    for format in FORMATS {
        let text = written(format);
        // Cut anywhere: whole calls stay, what was begun is content, and not a byte is lost of it.
        for (at, _) in text.char_indices() {
            let (content, calls) = split(format, &[&text[..at]]);
            assert!(calls.len() <= 2);
            if calls.is_empty() {
                assert_eq!(content, text[..at], "{format:?}");
            }
        }
    }
    for (format, text) in [
        (
            ToolFormat::Object,
            "<tool_call>{\"name\": 3, \"arguments\": {}}</tool_call> so",
        ),
        (
            ToolFormat::Object,
            "<tool_call>{\"name\": \"a\", \"arguments\": [1]}</tool_call>",
        ),
        (
            ToolFormat::Plain,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>a<｜tool▁sep｜>{no<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
        (
            ToolFormat::Fenced,
            "<｜tool▁calls▁begin｜>what?<｜tool▁calls▁end｜>",
        ),
        (
            ToolFormat::Tags,
            "<｜DSML｜function_calls><｜DSML｜invoke name=\"a\">x</｜DSML｜invoke>",
        ),
    ] {
        assert_eq!(split(format, &[text]), (text.to_owned(), vec![]));
    }
    let twice = "<tool_call>{\"name\": \"a\"}</tool_call>\n<tool_call>nothing</tool_call>";
    let (content, calls) = split(ToolFormat::Object, &[twice]);
    assert_eq!(calls, [call("a", "{}")]);
    assert_eq!(content, "<tool_call>nothing</tool_call>");
}

#[test]
fn calls_do_not_depend_on_how_the_text_is_split() {
    let words = [
        "<tool_call>",
        "</tool_call>",
        "<tool",
        "{\"name\": \"f\", \"arguments\": {\"é\": [1, 2]}}",
        "é",
        "\n",
        " ",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "f<｜tool▁sep｜>{}",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
        "function<｜tool▁sep｜>g\n```json\n{}\n```",
        "<｜DSML｜function_calls>",
        "<｜DSML｜invoke name=\"f\">",
        "</｜DSML｜invoke>",
        "</｜DSML｜function_calls>",
        "text",
    ];
    let mut random = Random(5);
    let mut called = 0;
    for _ in 0..4000 {
        let mut text = random.text(&words, 8);
        let format = FORMATS[random.below(4)];
        if random.below(2) == 0 {
            text += written(format);
        }
        let whole = split(format, &[&text]);
        called += whole.1.len();
        let pieces = random.split(&text);
        assert_eq!(split(format, &pieces), whole, "{format:?} {pieces:?}");
    }
    assert!(called > 1000, "{called}");
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: Some("Looks <｜User｜> up.".to_owned()),
        parameters: Some(json!({ "type": "object", "properties": { "z": {}, "a": {} } })),
        strict: false,
    }
}

fn demo() -> ChatTemplate {
    ChatTemplate::from_config(&demo_config(), None).unwrap()
}

/// The prompt's text.
fn prompt(source: Option<&str>, conversation: Conversation) -> String {
    let template = source.map_or_else(demo, template);
    let tokenizer = demo_tokenizer();
    let prompt = template.encode(&tokenizer, conversation, true).unwrap();
    let markers = prompt.tokens.iter().filter(|&&token| token == 3).count();
    let users = conversation.messages.iter();
    let users = users.filter(|message| matches!(message.role, Role::User | Role::Tool));
    assert_eq!(
        markers,
        users.count(),
        "nobody but the template opens a turn"
    );
    tokenizer.decode(&prompt.tokens, Specials::Keep)
}

fn called(id: &str) -> Message {
    let arguments = "{\"q\": \"<｜User｜>\"}".to_owned();
    Message {
        tool_calls: vec![ToolCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            arguments,
        }],
        ..assistant("")
    }
}

fn result(id: &str, text: &str) -> Message {
    Message {
        tool_call_id: Some(id.to_owned()),
        ..Message::new(Role::Tool, text)
    }
}

#[test]
fn a_template_that_knows_tools_gets_them() {
    let source = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}\
        {% if m.role in ['user', 'tool'] %}<｜User｜>{{ m.tool_call_id }}:{{ m.content }}{% else %}\
        {{ m.content is none }}{{ m.reasoning_content }}{% for c in m.tool_calls %}\
        {{ c.id }}{{ c.type }}{{ c.function.name }}{{ c.function.arguments ARGUMENTS }}{% endfor %}{% endif %}{% endfor %}";
    let tools = [tool("look")];
    let mut asked = called("c1");
    asked.reasoning = Some("hm".to_owned());
    let messages = [user("?"), asked, result("c1", "found")];
    let conversation = Conversation {
        tools: &tools,
        ..Conversation::from(&messages)
    };
    let described = "[{\"type\": \"function\", \"function\": {\"name\": \"look\", \"description\": \"Looks <｜User｜> up.\", \
                     \"parameters\": {\"type\": \"object\", \"properties\": {\"z\": {}, \"a\": {}}}}}]";
    let rest = "<｜User｜>:?Truehmc1functionlook{\"q\": \"<｜User｜>\"}<｜User｜>c1:found";
    for way in ["", "| tojson"] {
        let source = source.replace("ARGUMENTS", way);
        assert_eq!(
            prompt(Some(&source), conversation),
            format!("{described}{rest}")
        );
    }
}

#[test]
fn a_template_without_tools_has_them_in_the_texts() {
    let tools = [tool("look")];
    let messages = [user("?"), called("c1"), result("c1", "found"), user("And?")];
    let conversation = Conversation {
        tools: &tools,
        ..Conversation::from(&messages)
    };
    let text = prompt(None, conversation);
    let instructions = text.split("<｜User｜>?").next().unwrap();
    let described = instructions
        .lines()
        .find_map(|line| line.parse::<Value>().ok());
    assert_eq!(described.unwrap()["name"], "look", "{text}");
    assert!(instructions.contains("<tool_call>\n{\"name\": \"NAME\""));
    let after = "<｜User｜>?<｜Assistant｜><tool_call>\n{\"name\": \"look\", \"arguments\": {\"q\": \"<｜User｜>\"}}\n\
                 </tool_call><｜end▁of▁sentence｜><｜User｜><tool_response>\nfound\n</tool_response><｜User｜>And?\
                 <｜Assistant｜><think>\n";
    assert!(text.ends_with(after), "{text}");
    assert!(text.starts_with(BOS));
}

#[test]
fn formats_are_known_by_the_template() {
    for (source, format) in [
        ("", ToolFormat::Object),
        ("<tool_call>", ToolFormat::Object),
        ("<｜tool▁call▁begin｜>", ToolFormat::Plain),
        ("<｜tool▁call▁begin｜>\n```json", ToolFormat::Fenced),
        ("<｜DSML｜invoke", ToolFormat::Tags),
    ] {
        assert_eq!(template(source).tool_format(), format);
    }
}

/// A template, whether to think, the beginning of the answer, how the prompt ends, and whether that
/// is in the thinking.
type Ending = (
    Option<&'static str>,
    Option<bool>,
    Option<Message>,
    &'static str,
    bool,
);

fn endings() -> [Ending; 11] {
    let begun = |content: &str, reasoning: Option<&str>| {
        Some(Message {
            reasoning: reasoning.map(str::to_owned),
            ..assistant(content)
        })
    };
    let plain = Some("<｜User｜>{{ messages[0].content }}<｜Assistant｜>");
    let switch = Some(
        "<｜User｜>{{ messages[0].content }}<｜Assistant｜>{{ '<think>' if thinking else '</think>' }}",
    );
    let (yes, no) = (Some(true), Some(false));
    [
        (None, None, None, "<think>\n", true),
        (None, yes, None, "<think>\n", true),
        (None, no, None, "<think>\n\n</think>\n\n", false),
        (
            None,
            None,
            begun("It", None),
            "<think>\n\n</think>\n\nIt",
            false,
        ),
        (None, None, begun("", Some("A")), "<think>\nA", true),
        (
            None,
            None,
            begun("It", Some("A")),
            "<think>\nA\n</think>\n\nIt",
            false,
        ),
        (plain, no, None, "<think>\n\n</think>\n\n", false),
        (plain, None, begun("It", None), "It", false),
        (switch, yes, None, "<think>", true),
        (switch, no, None, "</think>", false),
        (
            switch,
            None,
            begun("No <think>", None),
            "</think>No <think>",
            false,
        ),
    ]
}

#[test]
fn thinking_is_switched_off_and_answers_go_on() {
    for (source, thinking, last, expected, opens) in endings() {
        let continues = last.is_some();
        let messages: Vec<_> = [user("?")].into_iter().chain(last).collect();
        let conversation = Conversation {
            thinking,
            continues,
            ..Conversation::from(&messages)
        };
        let text = prompt(source, conversation);
        assert!(
            text.ends_with(&format!("?<｜Assistant｜>{expected}")),
            "{text} {expected}"
        );
        let template = source.map_or_else(demo, template);
        let prompt = template.encode(&demo_tokenizer(), conversation, true);
        assert_eq!(prompt.unwrap().opens_reasoning, opens, "{text}");
    }
}
