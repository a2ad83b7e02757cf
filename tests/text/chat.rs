//! What templates make of conversations, in text and in tokens.

use serde_json::json;
use tiefsee::Error;
use tiefsee::text::ChatTemplate;
use tiefsee::text::Message;
use tiefsee::text::Role;

use crate::BOS;
use crate::EOS;
use crate::Random;
use crate::assistant;
use crate::demo_config;
use crate::demo_tokenizer;
use crate::message;
use crate::system;
use crate::template;
use crate::user;

/// R1: system texts gathered in a namespace, reasoning dropped from the history, forced opening.
pub(crate) const R1: &str = "
{%- if add_generation_prompt is not defined %}{% set add_generation_prompt = false %}{% endif %}
{%- set state = namespace(system='', first=true) %}
{%- for message in messages if message['role'] == 'system' %}
    {%- set state.system = state.system ~ ('' if state.first else '\\n\\n') + message['content'] %}
    {%- set state.first = false %}
{%- endfor %}
{{- bos_token }}{{ state.system }}
{%- for message in messages %}
    {%- set content = message['content'] %}
    {%- if message['role'] == 'user' %}
        {{- '<｜User｜>' + content }}
    {%- elif message['role'] == 'assistant' and message['tool_calls'] is not defined %}
        {%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
        {{- '<｜Assistant｜>' + content.lstrip('\\n') + eos_token }}
    {%- elif message.role == 'tool' %}
        {{- '<tool>' ~ content ~ '</tool>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}";

/// V3.1: text after the first `</think>`, and a partial last answer goes on without an end.
const V31: &str = "
{%- set thinking = thinking if thinking is defined else false %}
{{- bos_token }}
{%- for message in messages %}
{%- if message.role == 'system' %}{{ message.content }}
{%- elif message.role == 'user' %}{{ '<｜User｜>' ~ message.content }}
{%- else %}
    {%- set content = message.content %}
    {%- if '</think>' in content %}{% set content = content.split('</think>', 1)[1] %}{% endif %}
    {{- '<｜Assistant｜></think>' ~ content }}
    {%- if not loop.last or not add_generation_prompt %}{{ eos_token }}{% endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt and messages[-1].role == 'user' %}
    {{- '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}
{%- endif %}";

fn demo() -> ChatTemplate {
    ChatTemplate::from_config(&demo_config(), None).unwrap()
}

/// Compares text, and tokens where no content holds special strings.
fn check(template: &ChatTemplate, messages: &[Message], generate: bool, expected: &str) {
    assert_eq!(template.render(messages, generate).unwrap(), expected);
    let tokenizer = demo_tokenizer();
    let prompt = template.encode(&tokenizer, messages, generate).unwrap();
    assert_eq!(
        prompt.tokens,
        tokenizer.encode_with_specials(expected).unwrap(),
        "{expected:?}"
    );
}

#[test]
fn the_bundled_template() {
    let turns = [
        system("Be brief."),
        user("Add 2 and 3."),
        assistant("<think>\n2+3=5\n</think>\n\n5"),
        user("And 4?"),
    ];
    let expected =
        format!("{BOS}Be brief.<｜User｜>Add 2 and 3.<｜Assistant｜>5{EOS}<｜User｜>And 4?");
    check(&demo(), &turns, false, &expected);
    check(
        &demo(),
        &turns,
        true,
        &format!("{expected}<｜Assistant｜><think>\n"),
    );
    check(
        &demo(),
        &turns[1..2],
        true,
        &format!("{BOS}<｜User｜>Add 2 and 3.<｜Assistant｜><think>\n"),
    );
    check(&demo(), &[], false, BOS);
    let empty = [user(""), assistant("")];
    check(
        &demo(),
        &empty,
        false,
        &format!("{BOS}<｜User｜><｜Assistant｜>{EOS}"),
    );
    check(
        &demo(),
        &[user("你好 🙂\n")],
        false,
        &format!("{BOS}<｜User｜>你好 🙂\n"),
    );
}

#[test]
fn an_r1_template() {
    let turns = [
        system("One."),
        user("2+2?"),
        assistant("<think>a</think>b</think>\n\n4"),
        system("Two."),
        message(Role::Tool, "{\"x\": 1}"),
        user("Thanks"),
    ];
    let expected = format!(
        "{BOS}One.\n\nTwo.<｜User｜>2+2?<｜Assistant｜>4{EOS}<tool>{{\"x\": 1}}</tool>\
         <｜User｜>Thanks<｜Assistant｜><think>\n"
    );
    check(&template(R1), &turns, true, &expected);
}

#[test]
fn a_v3_1_template() {
    let turns = [user("2+2?"), assistant("<think>sum</think>4"), user("3+3?")];
    let start = format!("{BOS}<｜User｜>2+2?<｜Assistant｜></think>4{EOS}<｜User｜>3+3?");
    check(
        &template(V31),
        &turns,
        true,
        &format!("{start}<｜Assistant｜></think>"),
    );
    let partial = [user("Count."), assistant("one, two")];
    check(
        &template(V31),
        &partial,
        true,
        &format!("{BOS}<｜User｜>Count.<｜Assistant｜></think>one, two"),
    );
}

#[test]
fn slices_namespaces_and_loop_controls() {
    let source =
        "{%- set system = messages[0]['content'] if messages[0].role == 'system' else 'none' %}
{%- for message in messages[1:] %}{% if message.content == 'skip' %}{% continue %}{% endif %}
{{- message.content[::-1] }}|{{ message['content'][:2] | trim | upper }}|{{ loop.index0 }};
{%- endfor %} {{ system.title() }} {{ messages | length }} {{ messages[-1].get('name', 'x') }}";
    let turns = [system("be good"), user("abc"), user("skip"), user("xyz")];
    let expected = "cba|AB|0;zyx|XY|2; Be Good 4 x";
    assert_eq!(template(source).render(&turns, false).unwrap(), expected);
}

#[test]
fn blocks_are_trimmed_as_in_transformers() {
    let source = "{% for m in messages %}\n    {% if true %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}\nend\n";
    assert_eq!(
        template(source)
            .render(&[user("a"), user("b")], false)
            .unwrap(),
        "a\nb\nend"
    );
}

#[test]
fn json_is_written_as_python_does() {
    let source = "{{ {'a': [1, 2.5, true, none], 'b<': 'é\\'\"'} | tojson }} {{ messages | tojson }} {{ [1] | tojson(indent=2) }}";
    let expected = "{\"a\": [1, 2.5, true, null], \"b<\": \"é'\\\"\"} \
                    [{\"role\": \"user\", \"content\": \"<b>\"}] [\n  1\n]";
    assert_eq!(
        template(source).render(&[user("<b>")], false).unwrap(),
        expected
    );
}

#[test]
fn without_special_strings_tokens_are_those_of_the_text() {
    let tokenizer = demo_tokenizer();
    let words = [
        "Add", " ", "12", "\n", "<", "th", "ink>", "｜", "User", "é", "🙂", "'ll", ">", "\u{e000}",
    ];
    let mut random = Random(13);
    let mut plain = 0;
    for round in 0..600 {
        let turns: Vec<Message> = (0..=random.below(4))
            .map(|_| {
                let role = [Role::System, Role::User, Role::Assistant][random.below(3)];
                message(role, &random.text(&words, 5))
            })
            .collect();
        let special = |turn: &Message| {
            let found = tokenizer.encode_with_specials(&turn.content).unwrap();
            found.iter().any(|&token| token <= 6)
        };
        if turns.iter().any(special) {
            continue;
        }
        plain += 1;
        let template = if round % 2 == 0 { demo() } else { template(R1) };
        let rendered = template.render(&turns, true).unwrap();
        let prompt = template.encode(&tokenizer, &turns, true).unwrap();
        assert_eq!(
            prompt.tokens,
            tokenizer.encode_with_specials(&rendered).unwrap(),
            "{turns:?}"
        );
        assert!(prompt.opens_reasoning);
    }
    assert!(plain > 400, "{plain}");
}

#[test]
fn prompts_say_whether_they_open_the_reasoning() {
    let tokenizer = demo_tokenizer();
    let opens = |source: &str, turns: &[Message], generate| {
        template(source)
            .encode(&tokenizer, turns, generate)
            .unwrap()
            .opens_reasoning
    };
    let turns = [user("hello <think>")];
    assert!(opens(R1, &turns, true));
    assert!(!opens(R1, &turns, false));
    assert!(!opens(V31, &turns, true));
    assert!(opens(
        "{{ messages[0].content }}<｜Assistant｜><think>half a thought",
        &turns,
        true
    ));
    assert!(!opens(
        "{{ messages[0].content }}<｜Assistant｜>",
        &turns,
        true
    ));
    assert!(!opens(
        "<think>{{ eos_token }}<｜Assistant｜>",
        &turns,
        true
    ));
}

#[test]
fn filters_do_what_they_do_in_jinja() {
    let source = "{{ 'a,b' | split(',') | join('-') }} {{ '%s is %03d' | format('x', 7) }} \
                  {{ '{} {:>4}'.format('y', 2) }} {{ 'a\\nb' | lines | last }} {{ [1, 'a'] }} \
                  {{ 'aXb' | replace('X', '+') }} {{ ' q '.strip() ~ 1 }} {{ messages[0] | string | length > 0 }}";
    let expected = "a-b x is 007 y    2 b [1, 'a'] a+b q1 True";
    assert_eq!(
        template(source).render(&[user("u")], false).unwrap(),
        expected
    );
}

#[test]
fn templates_come_from_several_places() {
    let read = |config, file| ChatTemplate::from_config(&config, file);
    let render = |config, file| read(config, file).unwrap().render(&[], false).unwrap();
    let named =
        json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]);
    assert_eq!(render(json!({"chat_template": named}), None), "d");
    assert_eq!(
        render(json!({"chat_template": named}), Some("file")),
        "file"
    );
    assert_eq!(
        render(
            json!({"chat_template": [{"name": "rag", "template": "r"}]}),
            None
        ),
        "r"
    );
    let tokens = json!({
        "chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
        "bos_token": {"content": "<b>", "lstrip": false},
        "eos_token": "<e>",
        "pad_token": null,
    });
    assert_eq!(render(tokens, None), "<b><e>False");

    assert!(matches!(read(json!({}), None), Err(Error::NotFound(_))));
    assert!(matches!(
        read(json!({"chat_template": []}), None),
        Err(Error::NotFound(_))
    ));
    assert!(matches!(
        read(json!({"chat_template": 3}), None),
        Err(Error::Damaged { .. })
    ));
    assert!(matches!(
        read(json!({"chat_template": [{"name": "default"}]}), None),
        Err(Error::Damaged { .. })
    ));
    assert!(matches!(
        read(json!({"bos_token": 3}), Some("")),
        Err(Error::Damaged { .. })
    ));
    assert!(matches!(read(json!("text"), None), Err(Error::NotFound(_))));
}

#[test]
fn a_template_can_refuse() {
    let source = "{{ raise_exception('roles must alternate') }}";
    let error = template(source).render(&[], true).unwrap_err();
    assert!(
        matches!(&error, Error::Template(what) if what.contains("roles must alternate")),
        "{error}"
    );
    let clock = "{{ strftime_now('%Y') if strftime_now is defined else 'no clock' }}";
    assert_eq!(template(clock).render(&[], true).unwrap(), "no clock");
}
