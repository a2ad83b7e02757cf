//! One answer: what is asked, and in which forms it is answered.

use serde_json::Value;

use crate::{ended, on_device, with_input};

const QUESTION: &str = "What is 27 + 48?";

fn object(text: &str) -> Value {
    serde_json::from_str(text).expect("it is one JSON object")
}

#[test]
fn the_object_has_everything_that_is_documented() {
    let answer = ended(&mut on_device(&[
        "run",
        "demo",
        QUESTION,
        "--temperature",
        "0",
        "--json",
        "--seed",
        "7",
    ]));
    let answer = object(&answer.done());
    let names: Vec<_> = answer
        .as_object()
        .expect("it is an object")
        .keys()
        .map(String::as_str)
        .collect();
    let expected = "text reasoning content tokens finish_reason usage timings model device seed";
    assert_eq!(names.join(" "), expected);
    assert_eq!(answer["content"], "The answer is 75.");
    assert_eq!(answer["finish_reason"], "stop");
    assert_eq!(answer["model"], "demo");
    assert_eq!(answer["seed"], 7);
    assert!(
        !answer["device"]
            .as_str()
            .expect("the device has a name")
            .is_empty()
    );
    let text = answer["text"].as_str().expect("the text is there");
    let reasoning = answer["reasoning"]
        .as_str()
        .expect("the reasoning is there");
    assert_eq!(text, format!("{reasoning}\n</think>\n\nThe answer is 75."));
    let usage = &answer["usage"];
    assert_eq!(
        usage["completion_tokens"],
        answer["tokens"]
            .as_array()
            .expect("the tokens are there")
            .len()
    );
    assert_eq!(usage["cached_tokens"], 0);
    assert!(usage["reasoning_tokens"].as_u64() < usage["completion_tokens"].as_u64());
    for time in [
        "load_ms",
        "prefill_ms",
        "prefill_tokens_per_second",
        "decode_ms",
        "decode_tokens_per_second",
    ] {
        assert!(
            answer["timings"][time]
                .as_f64()
                .is_some_and(|time| time > 0.0),
            "{time}: {answer}"
        );
    }
}

#[test]
fn the_streamed_pieces_are_the_whole_answer() {
    let stream = ended(&mut on_device(&[
        "run",
        "demo",
        QUESTION,
        "--temperature",
        "0",
        "--json-stream",
    ]))
    .done();
    let mut lines: Vec<_> = stream.lines().map(object).collect();
    let last = lines.pop().expect("there is a last line");
    let joined = |part: &str| {
        lines
            .iter()
            .filter_map(|line| line[part].as_str())
            .collect::<String>()
    };
    assert!(lines.len() > 10, "{stream}");
    assert_eq!(joined("reasoning"), last["reasoning"]);
    assert_eq!(joined("content"), last["content"]);
    let plain = ended(&mut on_device(&[
        "run",
        "demo",
        QUESTION,
        "--temperature",
        "0",
    ]))
    .done();
    assert_eq!(plain, format!("{}\n", joined("content")));
    let all = ended(&mut on_device(&[
        "run",
        "demo",
        QUESTION,
        "--temperature",
        "0",
        "--think",
        "show",
    ]))
    .done();
    assert_eq!(
        all,
        format!("{}\n\n{}\n", joined("reasoning"), joined("content"))
    );
}

#[test]
fn standard_input_is_the_prompt_or_its_end() {
    let greedy = ["--temperature", "0", "--json"];
    let run = |arguments: &[&str], input: &str| {
        let arguments = [arguments, &greedy].concat();
        object(&with_input(&mut on_device(&arguments), input).done())["usage"]["prompt_tokens"]
            .clone()
    };
    let asked = run(&["run", "demo", QUESTION], "");
    assert_eq!(run(&["run"], &format!("{QUESTION}\r\n")), asked);
    assert_eq!(run(&["run", "demo", "-"], QUESTION), asked);
    // Without a command, too.
    assert_eq!(run(&[], QUESTION), asked);
    let both = run(&["run", "demo", "What is"], "27 + 48?");
    assert_eq!(both, run(&["run", "demo", "What is\n\n27 + 48?"], ""));
    let nothing = with_input(&mut on_device(&["run", "demo"]), "\n").failed(2);
    assert!(nothing.contains("the prompt is empty"), "{nothing}");
}

#[test]
fn settings_shape_the_answer() {
    let run = |arguments: &[&str]| {
        let arguments = [&["run", "demo", QUESTION, "--json"], arguments].concat();
        object(&ended(&mut on_device(&arguments)).done())
    };
    let cut = run(&["--max-tokens", "5"]);
    assert_eq!(cut["finish_reason"], "length");
    assert_eq!(cut["usage"]["completion_tokens"], 5);
    let stopped = run(&[
        "--stop",
        "answer",
        "--stop",
        "never said",
        "--temperature",
        "0",
    ]);
    assert_eq!(
        (&stopped["content"], &stopped["finish_reason"]),
        (&"The ".into(), &"stop".into())
    );
    let wild = [
        "--temperature",
        "3",
        "--top-p",
        "1",
        "--max-tokens",
        "40",
        "--seed",
    ];
    let seeded = |seed| run(&[&wild[..], &[seed]].concat())["tokens"].clone();
    assert_eq!(seeded("1"), seeded("1"));
    assert_ne!(seeded("1"), seeded("2"));
    assert_eq!(
        run(&["--system", "Be brief.", "--max-tokens", "1"])["usage"]["completion_tokens"],
        1
    );
    assert_eq!(
        run(&["--quantize", "q8_0", "--temperature", "0"])["content"],
        "The answer is 75."
    );
}

#[test]
fn raw_prompts_have_no_template() {
    let raw = ended(&mut on_device(&[
        "run",
        "demo",
        "--raw",
        QUESTION,
        "--json",
        "--max-tokens",
        "1",
    ]))
    .done();
    let chat = ended(&mut on_device(&[
        "run",
        "demo",
        QUESTION,
        "--json",
        "--max-tokens",
        "1",
    ]))
    .done();
    let tokens = |text: &str| {
        object(text)["usage"]["prompt_tokens"]
            .as_u64()
            .expect("it is a count")
    };
    // The beginning, the two roles, the thinking that is opened and its newline.
    assert_eq!(tokens(&raw) + 5, tokens(&chat));
}

#[test]
fn the_environment_stands_in_for_flags() {
    let question = "What is the sum of 11 and 12 and then of 13?";
    let mut command = on_device(&["run", "demo", question]);
    let refused = ended(command.env("TIEFSEE_CTX", "12")).failed(2);
    assert!(refused.contains("the context holds 12"), "{refused}");
    let mut command = on_device(&[
        "run",
        "demo",
        question,
        "--ctx",
        "100",
        "--max-tokens",
        "1",
        "--json",
    ]);
    ended(command.env("TIEFSEE_CTX", "12")).done();
}
