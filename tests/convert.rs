//! Models in another format: the same tensors, the same scores, and how much packing costs.

mod common;

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::StreamExt;
use safetensors::Dtype;
use serde_json::Value;
use tiefsee::checkpoint::gguf::is_model_file;
use tiefsee::checkpoint::{
    Checkpoint, Conversion, Folder, NewTensor, Recipe, TensorFile, pack_blocks, safetensors_header,
};
use tiefsee::engine::Sampling;
use tiefsee::llm::{Evaluation, Perplexity, Reference, ScoreOptions, Windows, open_source, score};
use tiefsee::{Error, Llm, LoadOptions, Message, Result, Role, Update};

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn open(model: &str) -> Checkpoint {
    let source = open_source(model).expect("a model");
    pollster::block_on(Checkpoint::open(source)).unwrap_or_else(|error| panic!("{model}: {error}"))
}

/// A folder that is gone when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("convert-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes `model` as `recipe` to `output`.
fn convert(model: &str, recipe: &str, output: &str) -> Result<()> {
    let checkpoint = open(model);
    let recipe = Recipe::named(recipe).expect("a recipe");
    pollster::block_on(async {
        let weights = if is_model_file(output) {
            output.to_owned()
        } else {
            fs::create_dir_all(output).expect("a folder");
            format!("{output}/model.safetensors")
        };
        let conversion = if is_model_file(output) {
            Conversion::to_gguf(&checkpoint, &recipe, "test").await?
        } else {
            Conversion::to_folder(&checkpoint, &recipe).await?
        };
        for (file, text) in &conversion.texts {
            fs::write(format!("{output}/{file}"), text).expect("a text");
        }
        let mut file = File::create(&weights).expect("a file");
        let told = Cell::new(0);
        let mut progress = |bytes| {
            told.set(told.get() + bytes);
            Ok(())
        };
        conversion
            .write(
                (Path::new(&weights), &mut file),
                &|format, values| pack_blocks(format, values),
                &mut progress,
            )
            .await?;
        let size = fs::metadata(&weights).expect("the file").len();
        assert_eq!((conversion.bytes(), told.get()), (size, size), "{output}");
        Ok(())
    })
}

fn scores(model: &str) -> Vec<f32> {
    let checkpoint = open(model);
    let tokens: Vec<u32> = (1..40).map(|token| token * 7 % 90).collect();
    let options = ScoreOptions {
        device: common::options(),
        ..ScoreOptions::default()
    };
    let scores = pollster::block_on(score(&checkpoint, &tokens, &options, &|_| ()));
    scores
        .unwrap_or_else(|error| panic!("{model}: {error}"))
        .logits
}

#[test]
fn gguf_files_are_as_llama_cpp_makes_them() {
    let place = Place::new("same");
    for name in ["dsv3", "dsv2lite", "llama", "qwen2", "qwen3"] {
        let file = place.file(&format!("{name}.gguf"));
        convert(&golden(name), "f32", &file).expect("a file");
        let (own, theirs) = (open(&file), open(&golden(&format!("gguf/{name}.gguf"))));
        let names = |checkpoint: &Checkpoint| -> Vec<String> {
            let names = checkpoint.tensors().map(|tensor| tensor.name.to_owned());
            names.collect()
        };
        assert_eq!(names(&own), names(&theirs));
        for (a, b) in own.tensors().zip(theirs.tensors()) {
            assert_eq!(a.shape, b.shape, "{name} {}", a.name);
            let [a_values, b_values] =
                [&a, &b].map(|tensor| pollster::block_on(tensor.read_all()).expect("numbers"));
            common::assert_near(&a_values, &b_values, 1e-6, &format!("{name} {}", a.name));
        }
        // These checkpoints have no tokenizer.
        let without_texts = |checkpoint: &Checkpoint| {
            let mut config = checkpoint.config().as_object().expect("an object").clone();
            config.retain(|key, _| !key.ends_with("token_id") && !key.starts_with("rope_scaling"));
            config
        };
        assert_eq!(without_texts(&own), without_texts(&theirs), "{name}");
        let is_qwen3 = name == "qwen3";
        let key = "qwen3.rope.scaling.attn_factor";
        let metadata = own.metadata().expect("metadata");
        assert_eq!(metadata.contains_key(key), is_qwen3, "{name}");
    }
}

#[test]
fn every_way_leads_to_the_same_scores() {
    let place = Place::new("ways");
    for name in [
        "dsv3",
        "dsv2",
        "dsv2lite",
        "dsv3fp8",
        "llama",
        "qwen2",
        "qwen2tied",
        "qwen3",
    ] {
        let [file, folder, back, again] = ["gguf", "folder", "back", "again.gguf"].map(|end| {
            place.file(&format!(
                "{name}{}{end}",
                if end.contains("gguf") { "." } else { "-" }
            ))
        });
        let exact = scores(&golden(name));
        convert(&golden(name), "f32", &file).expect("a file");
        convert(&file, "f32", &back).expect("a folder");
        convert(&file, "f32", &again).expect("a file");
        for other in [&file, &back, &again] {
            common::assert_near(&scores(other), &exact, 1e-4, other);
        }
        // Where errors of packing change experts, scores tell nothing.
        let recipes = if name.starts_with("ds") {
            &["f16", "bf16"][..]
        } else {
            &["f16", "bf16", "q8_0", "q4_0"]
        };
        for recipe in recipes {
            let file = file.replace(name, &format!("{name}-{recipe}"));
            convert(&golden(name), recipe, &file).expect("a file");
            convert(&golden(name), recipe, &folder).expect("a folder");
            let (a, b) = (scores(&file), scores(&folder));
            common::assert_near(&a, &b, 0.005, &format!("{name} {recipe}"));
            // Some are stored in that type.
            assert!(*recipe == "bf16" || a != exact, "{name} {recipe}");
        }
    }
}

#[test]
fn what_a_folder_says_of_its_blocks_is_checked() {
    let place = Place::new("blocks");
    let folder = place.file("model");
    convert("demo", "q8_0", &folder).expect("a folder");
    let file = format!("{folder}/config.json");
    let config = fs::read_to_string(&file).expect("the config");
    let name = "lm_head.weight";
    for (from, to, what) in [
        (
            "\"lm_head.weight\": \"q8_0\"",
            "\"lm_head.weight\": \"q9_9\"",
            "q9_9",
        ),
        (
            "\"lm_head.weight\": \"q8_0\"",
            "\"lm_head.weight\": 8",
            "has the type 8",
        ),
        (
            "\"lm_head.weight\": \"q8_0\"",
            "\"model.norm.weight\": \"q8_0\"",
            "F32",
        ),
        (
            "\"lm_head.weight\": \"q8_0\"",
            "\"nothing\": \"q8_0\"",
            "no such tensor",
        ),
        (
            "\"lm_head.weight\": \"q8_0\"",
            "\"lm_head.weight\": \"f8_e4m3\"",
            "not supported",
        ),
    ] {
        assert!(config.contains(from), "{name} is not in the config");
        fs::write(&file, config.replace(from, to)).expect("the config");
        let source = open_source(&folder).expect("a folder");
        match pollster::block_on(Checkpoint::open(source)) {
            Err(Error::Damaged { what: found, .. } | Error::Unsupported { what: found, .. }) => {
                assert!(found.contains(what), "{found}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{to} is taken"),
        }
    }
}

/// Problems, their prompts and answers as windows of their own, and which of the tokens come before one of
/// an answer: only those were learnt to be foretold.
fn problems(count: usize) -> (Vec<Value>, Windows, Vec<bool>) {
    let golden: Value = serde_json::from_str(include_str!("golden/demo.json")).expect("JSON");
    let mut windows = Windows {
        tokens: Vec::new(),
        positions: Vec::new(),
        length: 0,
        vocabulary: 512,
    };
    let mut learnt = Vec::new();
    let problems = golden["problems"].as_array().expect("a list")[..count].to_vec();
    for problem in &problems {
        let ids = |key: &str| -> Vec<u32> {
            let ids = problem[key].as_array().expect("ids").iter();
            ids.map(|id| id.as_u64().expect("an id") as u32).collect()
        };
        let (prompt, answer) = (ids("prompt_ids"), ids("completion_ids"));
        let length = prompt.len() + answer.len();
        windows.length = windows.length.max(length);
        windows.positions.extend(0..length as u32);
        learnt.extend((1..=length).map(|next| next >= prompt.len() && next < length));
        windows.tokens.extend(prompt);
        windows.tokens.extend(answer);
    }
    (problems, windows, learnt)
}

/// What is foretold, and all scores.
async fn evaluate(
    model: &str,
    windows: &Windows,
    reference: Option<Reference>,
) -> (Perplexity, Vec<f32>) {
    let options = ScoreOptions {
        device: common::options(),
        ..ScoreOptions::default()
    };
    let checkpoint = open(model);
    let evaluation = Evaluation::load(&checkpoint, windows.clone(), reference, &options, &|_| ());
    let mut evaluation = evaluation.await.expect("a model");
    let mut all = Vec::new();
    let keep = |scores: &[f32]| {
        all.extend(scores);
        Ok(())
    };
    let found = evaluation.run(keep).await.expect("scores");
    (found, all)
}

/// The mean divergence of rows that are `counted`.
fn divergence(reference: &[f32], scores: &[f32], counted: &[bool]) -> f64 {
    let logs = |scores: &[f32]| -> Vec<f64> {
        let sum: f64 = scores.iter().map(|&score| f64::from(score).exp()).sum();
        scores
            .iter()
            .map(|&score| f64::from(score) - sum.ln())
            .collect()
    };
    let row = |(reference, scores): (&[f32], &[f32])| -> f64 {
        let (reference, scores) = (logs(reference), logs(scores));
        let pairs = reference.iter().zip(scores);
        pairs
            .map(|(reference, own)| reference.exp() * (reference - own))
            .sum()
    };
    let rows = reference.chunks_exact(512).zip(scores.chunks_exact(512));
    let rows: Vec<_> = rows.zip(counted).filter(|(_, counted)| **counted).collect();
    rows.iter().map(|(pair, _)| row(*pair)).sum::<f64>() / rows.len() as f64
}

/// How many problems are answered well.
fn correct(model: &str, problems: &[Value]) -> usize {
    let options = LoadOptions {
        device: common::options(),
        context: Some(1024),
        ..LoadOptions::default()
    };
    let mut llm = pollster::block_on(Llm::load(model, options)).expect("a model");
    let mut options = llm.defaults(0);
    options.sampling = Sampling::GREEDY;
    options.max_tokens = Some(400);
    let is_right = |problem: &&Value| {
        let question = Message::new(Role::User, problem["question"].as_str().expect("a text"));
        let text = pollster::block_on(async {
            let answer = llm.chat(&[question], &options).expect("it fits");
            let updates: Vec<_> = answer.collect().await;
            match updates.into_iter().last() {
                Some(Ok(Update::Done(completion))) => completion.text,
                other => panic!("no end but {other:?}"),
            }
        });
        text.trim()
            .ends_with(problem["expected"].as_str().expect("a text"))
    };
    problems.iter().filter(is_right).count()
}

/// A file of scores, as `tiefsee perplexity` saves it.
fn write_reference(file: &str, windows: &Windows, scores: &[f32]) {
    let part = |name: &str, dtype, shape| NewTensor {
        name: name.into(),
        dtype,
        shape,
    };
    let count = windows.tokens.len();
    let mut bytes = safetensors_header(&[
        part("tokens", Dtype::I32, vec![count]),
        part("positions", Dtype::I32, vec![count]),
        part("logits", Dtype::F32, vec![count, 512]),
    ]);
    bytes.extend(bytemuck::cast_slice::<_, u8>(&windows.tokens));
    bytes.extend(bytemuck::cast_slice::<_, u8>(&windows.positions));
    bytes.extend(bytemuck::cast_slice::<_, u8>(scores));
    fs::write(file, bytes).expect("the reference");
}

#[test]
fn packing_costs_little() {
    let place = Place::new("costs");
    let (problems, windows, learnt) = problems(40);
    let (_, exact) = pollster::block_on(evaluate("demo", &windows, None));
    write_reference(&place.file("reference.safetensors"), &windows, &exact);
    for (recipe, most) in [
        ("q8_0", 0.001),
        ("q6_k", 0.001),
        ("q4_k", 0.03),
        ("q4_k_m", 0.03),
        ("q4_0", 0.03),
    ] {
        let file = place.file(&format!("{recipe}.gguf"));
        convert("demo", recipe, &file).expect("a file");
        let (found, scores) = pollster::block_on(async {
            let source = Rc::new(Folder::open(&place.0).expect("the folder"));
            let reference = TensorFile::open(source, "reference.safetensors").await;
            let reference = Reference::new(reference.expect("the file"), &windows).await;
            evaluate(&file, &windows, Some(reference.expect("the same tokens"))).await
        });
        let found = found.divergence.expect("a reference");
        let all = divergence(&exact, &scores, &vec![true; windows.tokens.len()]);
        assert!(
            (all - found.mean.value).abs() < 1e-6,
            "{all} is not {found:?}"
        );
        let answers = divergence(&exact, &scores, &learnt);
        // An answer takes much longer than to read it.
        let asked = if ["q8_0", "q4_k"].contains(&recipe) {
            &problems[..]
        } else {
            &[]
        };
        let correct = correct(&file, asked);
        println!(
            "{recipe}: {answers:.6} nats in answers, {all:.6} in all, {:.2} % the same; {correct} of {} correct",
            100.0 * found.same_top,
            asked.len()
        );
        assert!(answers < most, "{recipe}: {answers}");
        assert!(
            10 * correct >= 7 * asked.len(),
            "{recipe}: {correct} are correct"
        );
    }
}
