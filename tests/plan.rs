//! A plan says what a loaded model takes of the device.

mod common;

use std::rc::Rc;

use tiefsee::LoadOptions;
use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{Engine, Limits, Request, Sampling, Speculate};
use tiefsee::formats::{self, Format};
use tiefsee::gpu::{CacheType, Gpu, Memory, Tensor};
use tiefsee::llm::{Plan, load_model, open_source, weight_bytes};
use tiefsee::models::WeightOptions;

fn open(model: &str) -> Checkpoint {
    let path = format!("{}/{model}", env!("CARGO_MANIFEST_DIR"));
    let source = open_source(&path).expect("the model");
    pollster::block_on(Checkpoint::open(source)).expect("a checkpoint")
}

fn weights(options: &LoadOptions) -> WeightOptions {
    WeightOptions {
        quantize: options.quantize,
        prediction: options.speculate.predicts(),
    }
}

/// What the device holds after weights are loaded, and after an answer.
async fn measure(checkpoint: &Checkpoint, options: &LoadOptions, prompt: usize) -> [Memory; 2] {
    let (proven, model) = load_model(
        checkpoint,
        &options.device,
        weights(options),
        options.cache_type,
        &|_| (),
    )
    .await
    .expect("a model");
    let gpu = Rc::clone(&proven.gpu);
    let loaded = gpu.memory();
    let context = options.context.expect("a context");
    let limits = Limits {
        context,
        sequences: 1,
        step_tokens: 256,
        cache_tokens: context,
        cache_type: options.cache_type,
    };
    let mut engine = Engine::new(proven.gpu, model, limits).await.expect("room");
    engine.speculate(options.speculate);
    for temperature in [0.0, 1.0] {
        let request = Request {
            tokens: (0..prompt as u32).map(|token| token % 90).collect(),
            max_tokens: 20,
            sampling: Sampling {
                temperature,
                ..Sampling::GREEDY
            },
            ..Request::default()
        };
        engine.add(request).expect("it fits");
        while !engine.is_idle() {
            engine.step().await.expect("a step");
        }
    }
    [loaded, gpu.memory()]
}

#[test]
fn plans_are_what_loaded_models_take() {
    let cache = |name| CacheType::named(name).expect("a cache type");
    for (model, context, quantize, cache_type) in [
        ("examples/demo-model", 2048, None, cache("f32")),
        (
            "examples/demo-model",
            512,
            Some(&formats::Q4_0),
            cache("q8_0"),
        ),
        ("tests/golden/dsv3", 512, None, cache("f16")),
        ("tests/golden/dsv2", 512, Some(&formats::Q8_0), cache("f32")),
        ("tests/golden/dsv2lite", 512, None, cache("f32")),
        ("tests/golden/dsv3fp8", 512, None, cache("f32")),
        ("tests/golden/qwen2", 512, None, cache("q8_0")),
        ("tests/golden/qwen2tied", 512, None, cache("f32")),
        ("tests/golden/gguf/dsv3.gguf", 512, None, cache("f32")),
        ("tests/golden/gguf/llama.gguf", 512, None, cache("f16")),
    ] {
        let checkpoint = open(model);
        let options = LoadOptions {
            device: common::options(),
            context: Some(context),
            quantize,
            cache_type,
            speculate: Speculate::Auto,
            ..LoadOptions::default()
        };
        let (plan, [loaded, used]) = pollster::block_on(async {
            let plan = Plan::of(&checkpoint, &options).await.expect("a plan");
            // A multiple of a step, and some tokens more.
            (plan, measure(&checkpoint, &options, 300).await)
        });
        let format = quantize.map_or("as stored", |format: &Format| format.name);
        println!(
            "{model}, {format}: {} bytes planned, {} taken: {used:?}",
            plan.total(),
            used.total()
        );
        assert_eq!(plan.weights, loaded.weights, "{model}");
        assert_eq!(plan.vectors, loaded.tensors + loaded.params, "{model}");
        let (planned, taken) = (plan.total() as f64, used.total() as f64);
        assert!(
            (planned / taken - 1.0).abs() < 0.05,
            "{model}: {planned} planned, {taken} taken"
        );
        let weights =
            pollster::block_on(weight_bytes(&checkpoint, weights(&options))).expect("a count");
        assert_eq!(weights, loaded.total(), "{model}");
        assert_eq!(loaded.scratch, 0, "{model}");
    }
}

#[test]
fn plans_say_what_fits() {
    let checkpoint = open("examples/demo-model");
    let options = |context| LoadOptions {
        device: common::options(),
        context: Some(context),
        ..LoadOptions::default()
    };
    let plan =
        |context| pollster::block_on(Plan::of(&checkpoint, &options(context))).expect("a plan");
    let (small, large) = (plan(512), plan(2048));
    assert_eq!(large.cache, 4 * small.cache);
    assert_eq!(large.cache, 2048 * large.cache_per_token);
    assert!(large.fits(None) && large.fits(Some(large.total())));
    assert!(!large.fits(Some(large.total() - 1)));
    assert_eq!(large.largest_context(None), 2048);
    assert_eq!(large.largest_context(Some(large.total() - 1)), 2048 - 32);
    assert_eq!(large.largest_context(Some(large.total() - large.cache)), 0);
}

#[test]
fn buffers_are_counted_while_they_are_alive() {
    let gpu = common::open();
    let before = gpu.memory();
    let tensor = Tensor::new(&gpu, &[25]);
    let other = tensor.clone();
    assert_eq!(gpu.memory().tensors, before.tensors + 100);
    drop(tensor);
    assert_eq!(gpu.memory().tensors, before.tensors + 100);
    drop(other);
    assert_eq!(gpu.memory(), before);
    let weight = common::upload(&gpu, &formats::F32, [1, 3, 8], &[0.5; 24]);
    assert_eq!(gpu.memory().weights["f32"], 96);
    assert_eq!(gpu.memory().weights["f32"], weight.bytes());
    drop(weight);
    assert_eq!(gpu.memory().total(), before.total());
}

#[test]
fn what_only_counts_stores_nothing() {
    let gpu = pollster::block_on(Gpu::counting(None)).expect("wgpu's empty back end");
    let tensor = Tensor::new(&gpu, &[1 << 40, 2]);
    assert_eq!(gpu.memory().tensors, tensor.bytes());
}
