//! `tiefsee accuracy`: how many problems a model answers as it should, which shows what a quantisation costs in answers.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use tiefsee::engine::{Guesses, Sampling};
use tiefsee::{Error, GenerateOptions, Llm, Message, Result, Update};

use super::common::ModelArguments;
use super::input::read_text;
use super::output;

const EXAMPLES: &str = "\
Examples:
  tiefsee accuracy demo -f problems.jsonl
  tiefsee accuracy demo -f problems.jsonl --quantize q4_0 --json
  tiefsee accuracy ./model -f problems.jsonl --slots 1 --speculate on   how many guesses are right, too

Each line of the file is an object: \"family\", by which the table is ordered, \"messages\", a list of objects with
\"role\" and \"content\", and \"answer\", what has to be answered, to the letter. Thinking does not count, nor does
space around an answer. Answers are greedy.";

/// Count the problems of a file that a model answers right
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The problems, a JSON object a line; - for standard input
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Problems that are answered together
    #[arg(long, value_name = "N", default_value = "8")]
    slots: NonZeroUsize,
    /// The most tokens of an answer [default: what the model recommends, or to the end of the context]
    #[arg(long, value_name = "N")]
    max_tokens: Option<NonZeroUsize>,
    /// Print each wrong answer to standard error
    #[arg(long)]
    wrong: bool,
    /// Print an object
    #[arg(long)]
    json: bool,
}

/// A question and its answer.
#[derive(Deserialize)]
struct Problem {
    family: String,
    messages: Vec<Message>,
    answer: String,
}

/// How a family of problems is answered.
struct Family {
    name: String,
    right: usize,
    asked: usize,
}

/// Answers all problems and prints a table.
///
/// # Errors
/// Whatever reading, loading, answering and writing fail with.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let problems = problems(arguments)?;
    let mut llm = arguments.model.load_for(arguments.slots.get())?;
    let mut options = llm.defaults(0);
    options.sampling = Sampling::GREEDY;
    if let Some(most) = arguments.max_tokens {
        options.max_tokens = Some(most.get());
    }
    let started = Instant::now();
    let mut families = families(&problems);
    let tokens = pollster::block_on(answer_all(
        &mut llm,
        &problems,
        &options,
        arguments.slots.get(),
        |problem, content| {
            let is_right = content.trim() == problem.answer.trim();
            if arguments.wrong && !is_right {
                let question = problem.messages.last().map_or("", |last| &last.content);
                output::note(&format!("{question} {content}, not {}", problem.answer));
            }
            let mut families = families.iter_mut();
            let family = families.find(|family| family.name == problem.family);
            family.expect("every problem's is there").right += usize::from(is_right);
        },
    ))?;
    let seconds = started.elapsed().as_secs_f64();
    let text = if arguments.json {
        let report = object(
            arguments,
            &families,
            llm.engine().guesses(),
            tokens,
            seconds,
        );
        format!("{report:#}\n")
    } else {
        table(&families, llm.engine().guesses(), tokens, seconds)
    };
    output::write(&text)
}

fn problems(arguments: &Arguments) -> Result<Vec<Problem>> {
    let path = arguments.file.display();
    let text = read_text(&arguments.file)?;
    let lines = text.lines().enumerate();
    let problems = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line)
                .map_err(|error| Error::Usage(format!("{path}, line {}: {error}", index + 1)))
        })
        .collect::<Result<Vec<Problem>>>()?;
    if problems.is_empty() {
        return Err(Error::Usage(format!("{path}: has no problem")));
    }
    Ok(problems)
}

/// Answers the problems, so many together, and hands over each answer. How many tokens they had.
async fn answer_all(
    llm: &mut Llm,
    problems: &[Problem],
    options: &GenerateOptions,
    together: usize,
    mut take: impl FnMut(&Problem, &str),
) -> Result<usize> {
    let mut waiting: VecDeque<&Problem> = problems.iter().collect();
    let mut under_way = Vec::new();
    let mut tokens = 0;
    loop {
        while under_way.len() < together
            && let Some(problem) = waiting.pop_front()
        {
            let prompt = llm.prompt(&problem.messages)?;
            under_way.push((llm.begin(&prompt, options)?, problem));
        }
        if under_way.is_empty() {
            return Ok(tokens);
        }
        for (id, update) in llm.step().await? {
            if let Update::Done(completion) = update? {
                let place = under_way.iter().position(|(other, _)| *other == id);
                let (_, problem) = under_way.swap_remove(place.expect("an answer ends once"));
                tokens += completion.usage.completion_tokens;
                take(problem, &completion.content);
            }
        }
    }
}

/// The families of the problems, in the order in which the file has them; nothing is right yet.
fn families(problems: &[Problem]) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for Problem { family: name, .. } in problems {
        match families.iter_mut().find(|family| family.name == *name) {
            Some(family) => family.asked += 1,
            None => families.push(Family {
                name: name.clone(),
                right: 0,
                asked: 1,
            }),
        }
    }
    families
}

fn all(families: &[Family]) -> Family {
    Family {
        name: "all".into(),
        right: families.iter().map(|family| family.right).sum(),
        asked: families.iter().map(|family| family.asked).sum(),
    }
}

fn share(right: usize, of: usize) -> f64 {
    right as f64 / of as f64
}

fn table(families: &[Family], guesses: Guesses, tokens: usize, seconds: f64) -> String {
    let line = |family: &Family| {
        let Family { name, right, asked } = family;
        let percent = 100.0 * share(*right, *asked);
        format!("| {name} | {right} | {asked} | {percent:.1} % |\n")
    };
    let lines: String = families.iter().chain([&all(families)]).map(line).collect();
    let speed = tokens as f64 / seconds;
    let guessed = match guesses {
        Guesses { made: 0, .. } => String::new(),
        Guesses { made, right } => format!(
            "{right} of {made} guessed tokens were right, {:.1} %\n",
            100.0 * share(right, made)
        ),
    };
    format!(
        "| family | right | asked | |\n|---|---:|---:|---:|\n{lines}\n{tokens} tokens in {seconds:.1} s, {speed:.1} t/s\n{guessed}"
    )
}

fn object(
    arguments: &Arguments,
    families: &[Family],
    guesses: Guesses,
    tokens: usize,
    seconds: f64,
) -> Value {
    let family = |family: &Family| {
        json!({
            "family": family.name,
            "right": family.right,
            "asked": family.asked,
            "share": share(family.right, family.asked),
        })
    };
    json!({
        "model": arguments.model.model,
        "quantize": arguments.model.read.quantize,
        "families": families.iter().map(family).collect::<Vec<_>>(),
        "all": family(&all(families)),
        "tokens": tokens,
        "seconds": seconds,
        "guessed": guesses.made,
        "guessed_right": guesses.right,
    })
}
