//! The bundled model answers as it does under transformers, text for text.

mod common;

use std::collections::HashMap;

use futures::{StreamExt, pin_mut};
use serde_json::Value;
use tiefsee::engine::{Event, FinishReason, Request, Sampling, SequenceId, TokenRoutes};
use tiefsee::gpu::cache;
use tiefsee::text::{Specials, Tokenizer};
use tiefsee::{Completion, GenerateOptions, Llm, LoadOptions, Message, Role, Update};

fn load(sequences: usize) -> Llm {
    let options = LoadOptions {
        device: common::options(),
        sequences,
        context: Some(1024),
        ..LoadOptions::default()
    };
    pollster::block_on(Llm::load("demo", options)).expect("the bundled model")
}

fn user(content: &str) -> Vec<Message> {
    vec![Message::new(Role::User, content)]
}

fn greedy() -> GenerateOptions {
    GenerateOptions {
        max_tokens: Some(400),
        ..GenerateOptions::new(Sampling::GREEDY)
    }
}

/// Runs an answer to its end; the streamed parts and the summary.
fn complete(
    llm: &mut Llm,
    messages: &[Message],
    options: &GenerateOptions,
) -> (String, String, Completion) {
    pollster::block_on(async {
        let stream = llm.chat(messages, options).expect("a prompt that fits");
        pin_mut!(stream);
        let (mut reasoning, mut content) = (String::new(), String::new());
        loop {
            match stream.next().await.expect("an end").expect("no error") {
                Update::Reasoning(text) => reasoning.push_str(&text),
                Update::Content(text) => content.push_str(&text),
                Update::Done(completion) => return (reasoning, content, completion),
                _ => {}
            }
        }
    })
}

fn problems() -> Vec<Value> {
    let golden = include_str!("golden/demo.json");
    let golden: Value = serde_json::from_str(golden).expect("JSON");
    golden["problems"].as_array().expect("a list").clone()
}

/// Answers all questions, eight at a time in one batch.
fn answer_all(llm: &mut Llm, questions: &[String]) -> Vec<String> {
    let prompts: Vec<_> = questions
        .iter()
        .map(|question| llm.prompt(&user(question)).expect("a prompt"))
        .collect();
    let mut answers: HashMap<SequenceId, Vec<u32>> = HashMap::new();
    let engine = llm.engine();
    let mut order = Vec::new();
    for prompt in prompts {
        let request = Request {
            tokens: prompt.tokens,
            max_tokens: 400,
            stop_tokens: vec![1],
            ..Request::default()
        };
        order.push(engine.add(request).expect("it fits"));
    }
    while !engine.is_idle() {
        for event in pollster::block_on(engine.step()).expect("a step") {
            match event {
                Event::Token(id, chosen) => answers.entry(id).or_default().push(chosen.token),
                Event::Finished(..) | Event::Began(..) | Event::Routes(..) | Event::Prompt(..) => {}
                Event::Failed(_, error) => panic!("{error}"),
            }
        }
    }
    let tokenizer: &Tokenizer = llm.tokenizer();
    order
        .iter()
        .map(|id| tokenizer.decode(&answers[id], Specials::KeepStructure))
        .collect()
}

fn text(problem: &Value, key: &str) -> String {
    problem[key].as_str().expect("a text").to_owned()
}

#[test]
fn problems_are_answered_as_under_transformers() {
    let problems = problems();
    // SwiftShader takes a second where Mesa's driver takes a tenth of one; a fifth of them shows enough there.
    let slow = common::options()
        .device
        .is_some_and(|device| device.to_lowercase().contains("swiftshader"));
    let problems: Vec<_> = problems.iter().step_by(if slow { 12 } else { 1 }).collect();
    assert!(slow || problems.len() >= 200);
    let questions: Vec<_> = problems
        .iter()
        .map(|problem| text(problem, "question"))
        .collect();
    let answers = answer_all(&mut load(8), &questions);

    let (mut same, mut correct, mut correct_there) = (0, 0, 0);
    for (problem, answer) in problems.iter().zip(&answers) {
        let theirs = text(problem, "completion");
        same += usize::from(*answer == theirs);
        correct += usize::from(answer.trim().ends_with(&text(problem, "expected")));
        correct_there += usize::from(problem["correct"].as_bool().expect("a truth"));
        if *answer != theirs {
            println!(
                "differs: {}\n{answer}\n---\n{theirs}",
                text(problem, "question")
            );
        }
    }
    println!(
        "{same} of {} texts are the same; {correct} correct, {correct_there} under transformers",
        problems.len()
    );
    assert!(
        same * 100 >= problems.len() * 98,
        "only {same} of {} texts are the same",
        problems.len()
    );
    assert!(
        correct.abs_diff(correct_there) <= 2,
        "{correct} correct instead of {correct_there}"
    );
}

#[test]
fn a_streamed_answer_is_the_whole_answer() {
    let mut llm = load(1);
    let (reasoning, content, completion) = complete(&mut llm, &user("What is 27 + 48?"), &greedy());
    assert_eq!(
        (&reasoning, &content),
        (&completion.reasoning, &completion.content)
    );
    assert_eq!(content, "The answer is 75.");
    assert!(reasoning.starts_with("27: tens 2, ones 7"), "{reasoning}");
    assert_eq!(completion.finish_reason, FinishReason::Stop);
    assert_eq!(
        completion.text,
        llm.tokenizer()
            .decode(&completion.tokens, Specials::KeepStructure)
    );
    assert_eq!(completion.usage.completion_tokens, completion.tokens.len());
    assert!(completion.usage.reasoning_tokens < completion.tokens.len());
}

#[test]
fn seeded_answers_repeat() {
    let mut llm = load(1);
    let mut options = greedy();
    (
        options.sampling.temperature,
        options.sampling.seed,
        options.max_tokens,
    ) = (5.0, 3, Some(40));
    let first = complete(&mut llm, &user("What is 8 x 7?"), &options)
        .2
        .tokens;
    let again = complete(&mut llm, &user("What is 8 x 7?"), &options)
        .2
        .tokens;
    options.sampling.seed = 4;
    let other = complete(&mut llm, &user("What is 8 x 7?"), &options)
        .2
        .tokens;
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn stop_strings_and_lengths_end_an_answer() {
    let mut llm = load(1);
    let mut options = greedy();
    options.stop = vec!["carry".into()];
    let (_, _, stopped) = complete(&mut llm, &user("What is 27 + 48?"), &options);
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    assert!(stopped.text.ends_with("write 5, "), "{}", stopped.text);
    options = greedy();
    options.max_tokens = Some(5);
    let (_, _, short) = complete(&mut llm, &user("What is 27 + 48?"), &options);
    assert_eq!(
        (short.finish_reason, short.tokens.len()),
        (FinishReason::Length, 5)
    );
}

#[test]
fn the_second_turn_reuses_the_first() {
    let mut llm = load(1);
    // Longer than a block of the cache.
    let mut messages = user(&"What is 27 + 48? ".repeat(8));
    let (_, content, first) = complete(&mut llm, &messages, &greedy());
    assert_eq!(first.usage.cached_tokens, 0);
    messages.push(Message::new(Role::Assistant, content));
    messages.push(Message::new(Role::User, "What is 12 + 5?"));
    let (_, reused, second) = complete(&mut llm, &messages, &greedy());
    // The template drops the thinking from the history, so what is shared ends where it began.
    assert!(second.usage.cached_tokens >= 32, "{:?}", second.usage);
    let (_, fresh, _) = complete(&mut load(1), &messages, &greedy());
    assert_eq!(reused, fresh);
}

#[test]
fn a_dropped_answer_leaves_the_model_usable() {
    let mut llm = load(1);
    pollster::block_on(async {
        let messages = user("What is 123 + 456?");
        let stream = llm.chat(&messages, &greedy()).expect("a prompt that fits");
        pin_mut!(stream);
        stream
            .next()
            .await
            .expect("a first part")
            .expect("no error");
    });
    assert!(llm.engine().is_idle());
    assert_eq!(
        complete(&mut llm, &user("What is 27 + 48?"), &greedy()).1,
        "The answer is 75."
    );
}

#[test]
fn a_lost_device_is_reopened_once_and_the_answer_goes_on() {
    let whole = complete(&mut load(1), &user("What is 27 + 48?"), &greedy()).2;
    let mut llm = load(1);
    let gpu = std::rc::Rc::clone(llm.engine().runner().gpu());
    let (resumed, told) = pollster::block_on(async {
        let messages = user("What is 27 + 48?");
        let stream = llm.chat(&messages, &greedy()).expect("a prompt that fits");
        pin_mut!(stream);
        stream
            .next()
            .await
            .expect("a first part")
            .expect("no error");
        gpu.destroy();
        let mut told = Vec::new();
        loop {
            match stream.next().await.expect("an end").expect("it recovers") {
                Update::Done(completion) => break (completion, told),
                Update::DeviceLost(_) => told.push("lost"),
                Update::DeviceReopened => told.push("reopened"),
                _ => {}
            }
        }
    });
    assert_eq!(told, ["lost", "reopened"]);
    assert_eq!((resumed.text, resumed.tokens), (whole.text, whole.tokens));
}

/// Which experts the tokens of a conversation go to.
fn routes(llm: &mut Llm, question: &str) -> Vec<TokenRoutes> {
    let options = GenerateOptions {
        routes: true,
        ..greedy()
    };
    pollster::block_on(async {
        let stream = llm.chat(&user(question), &options);
        let stream = stream.expect("a prompt that fits");
        let updates: Vec<_> = stream.collect().await;
        updates
            .into_iter()
            .filter_map(|update| match update.expect("no error") {
                Update::Routes(routes) => Some(routes),
                _ => None,
            })
            .collect()
    })
}

#[test]
fn every_token_has_experts_if_they_are_asked_for() {
    let mut llm = load(1);
    let plain = complete(&mut llm, &user("What is 27 + 48?"), &greedy()).2;
    // Another model, so that no prompt is in the cache.
    let parts = routes(&mut load(1), "What is 27 + 48?");
    let mut position = 0;
    for part in &parts {
        assert_eq!(part.position, position);
        position += part.tokens;
        for layer in &part.layers {
            let slots = layer.len() / part.tokens;
            assert_eq!(
                layer.len(),
                parts[0].layers[0].len() / parts[0].tokens * part.tokens
            );
            let distinct = |experts: &[u32]| {
                experts
                    .iter()
                    .collect::<std::collections::HashSet<_>>()
                    .len()
            };
            assert!(
                layer
                    .chunks(slots)
                    .all(|experts| distinct(experts) == slots)
            );
        }
    }
    // The last token is chosen and never read.
    let usage = plain.usage;
    assert_eq!(position, usage.prompt_tokens + usage.completion_tokens);
}

#[test]
fn quantised_weights_still_calculate() {
    for format in [&tiefsee::formats::Q8_0, &tiefsee::formats::F16] {
        let options = LoadOptions {
            device: common::options(),
            context: Some(512),
            quantize: Some(format),
            cache_type: &cache::Q8_0,
            ..LoadOptions::default()
        };
        let mut llm = pollster::block_on(Llm::load("demo", options)).expect("the bundled model");
        let (_, content, _) = complete(&mut llm, &user("What is 27 + 48?"), &greedy());
        assert_eq!(content, "The answer is 75.", "{}", format.name);
    }
}

/// DeepSeek-V3's correction bias is there for that: no expert has twice its share.
#[test]
fn experts_are_evenly_used() {
    const CHOSEN: usize = 4;
    let mut llm = load(1);
    let mut loads = [[0_usize; 16]; 3];
    for problem in problems().iter().step_by(6) {
        for part in routes(&mut llm, &text(problem, "question")) {
            for (load, layer) in loads.iter_mut().zip(&part.layers) {
                for experts in layer.chunks(layer.len() / part.tokens) {
                    // The shared one comes last.
                    experts[..CHOSEN]
                        .iter()
                        .for_each(|&expert| load[expert as usize] += 1);
                }
            }
        }
    }
    for load in loads {
        let mean = load.iter().sum::<usize>() as f64 / load.len() as f64;
        let most = *load.iter().max().expect("experts") as f64;
        println!(
            "the most used expert has {:.2} times its share",
            most / mean
        );
        assert!(mean > 0.0 && most <= 2.0 * mean, "{load:?}");
    }
}
