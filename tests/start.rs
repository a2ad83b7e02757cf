//! What happens before the first token: features proven, kernels compiled ahead, constants measured, and all of it
//! kept from run to run.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pollster::block_on;
use serde_json::{Value, json};
use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{Chosen, Engine, Event, Limits, Request, Tune};
use tiefsee::gpu::{DeviceOptions, Gpu, Store, Tensor};
use tiefsee::llm::{Llm, open_source};
use tiefsee::models::{Loader, WeightOptions, architecture};
use tiefsee::ops::{self, Input};
use tiefsee::selftest::{self, Proven};
use tiefsee::{LoadOptions, formats};

/// Files in memory.
#[derive(Debug, Default)]
struct Shelf(RefCell<BTreeMap<String, Vec<u8>>>);

impl Store for Shelf {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.0.borrow().get(name).cloned()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.0.borrow_mut().insert(name.into(), bytes.into());
    }
}

impl Shelf {
    /// The only file of a kind.
    fn name(&self, kind: &str) -> String {
        let files = self.0.borrow();
        let names: Vec<_> = files.keys().filter(|name| name.ends_with(kind)).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].clone()
    }

    fn learnt(&self) -> Value {
        let json = self.read(&self.name(".json")).expect("the file");
        serde_json::from_slice(&json).expect("JSON")
    }
}

/// The device's options with a place to keep things in.
fn keeping(shelf: &Rc<Shelf>) -> DeviceOptions {
    DeviceOptions {
        store: Some(Rc::clone(shelf) as Rc<dyn Store>),
        ..common::options()
    }
}

fn load(device: DeviceOptions, tune: Tune) -> Llm {
    let options = LoadOptions {
        device,
        tune,
        context: Some(128),
        ..LoadOptions::default()
    };
    block_on(Llm::load("demo", options)).expect("the bundled model")
}

/// What the bundled model says first.
fn answer(engine: &mut Engine) -> Vec<u32> {
    let request = Request {
        tokens: (0..40).map(|i| (i * 37 + 11) % 500).collect(),
        max_tokens: 8,
        ..Request::default()
    };
    engine.add(request).expect("a sequence");
    let mut said = Vec::new();
    while !engine.is_idle() {
        for event in block_on(engine.step()).expect("a step") {
            if let Event::Token(_, Chosen { token, .. }) = event {
                said.push(token);
            }
        }
    }
    assert_eq!(said.len(), 8);
    said
}

#[test]
fn an_answer_takes_only_kernels_that_were_compiled_ahead() {
    let mut llm = load(common::options(), Tune::Never);
    let ahead = llm.gpu().kernels();
    assert!(ahead > 15, "{ahead} kernels");
    answer(llm.engine());
    assert_eq!(llm.gpu().kernels(), ahead);
}

/// Some kernels' results on a device that keeps what it can.
fn work(shelf: &Rc<Shelf>) -> Vec<f32> {
    let gpu = block_on(Gpu::open(&keeping(shelf))).expect("a device");
    common::run_f32(&gpu, |pass| {
        let x = Tensor::upload(pass.gpu, &[3, 10], &common::noise(30, 1));
        let wide = ops::pad(pass, &x, 16);
        ops::swiglu(pass, &wide)
    })
}

#[test]
fn compiled_kernels_are_kept_and_damage_does_no_harm() {
    let shelf = Rc::new(Shelf::default());
    let first = work(&shelf);
    let name = shelf.name(".pipelines");
    let whole = shelf.read(&name).expect("the driver's kernels");
    // Of another device, cut off, empty, and with a bit of the driver's own data turned.
    let foreign = [[0; 32].as_slice(), &whole[32..]].concat();
    let mut turned = whole.clone();
    *turned.last_mut().expect("data") ^= 1;
    for damaged in [
        foreign,
        whole[..whole.len() / 2].to_vec(),
        Vec::new(),
        turned,
    ] {
        shelf.write(&name, &damaged);
        assert_eq!(work(&shelf), first);
        assert_ne!(shelf.read(&name), Some(damaged), "it was not replaced");
    }
    assert_eq!(work(&shelf), first);
}

/// A device that takes its subgroups for half as wide as they are.
async fn liar(options: &DeviceOptions) -> tiefsee::Result<Rc<Gpu>> {
    let mut gpu = Gpu::open(options).await?;
    let tiers = &mut Rc::get_mut(&mut gpu).expect("the only owner").tiers;
    tiers.subgroup_size /= 2;
    tiers.widest_subgroup /= 2;
    Ok(gpu)
}

#[test]
fn a_broken_tier_is_switched_off_once_and_for_all_and_answers_stay_right() {
    let right = answer(load(common::options(), Tune::Never).engine());
    let shelf = Rc::new(Shelf::default());
    let prove = || block_on(selftest::prove_tiers_of(&keeping(&shelf), liar)).expect("a device");
    let Proven { gpu, disabled } = prove();
    let has_subgroups = common::open().tiers.subgroup_size > 0;
    assert_eq!(disabled.len(), usize::from(has_subgroups), "{disabled:?}");
    assert_eq!(gpu.tiers.subgroup_size, 0);

    let limits = Limits {
        context: 128,
        sequences: 1,
        step_tokens: 64,
        cache_tokens: 128,
        cache_type: Default::default(),
    };
    let mut engine = block_on(async {
        let checkpoint = Checkpoint::open(open_source("demo")?).await?;
        let loader = Loader::new(&gpu, &checkpoint, WeightOptions::default(), &|_| ());
        let model = (architecture(&checkpoint)?.load)(&loader).await?;
        Engine::new(Rc::clone(&gpu), model, limits).await
    })
    .expect("the bundled model");
    assert_eq!(answer(&mut engine), right);

    // The next run knows, and tries nothing.
    let again = prove();
    assert_eq!((again.disabled, again.gpu.tiers), (disabled, gpu.tiers));
    assert_eq!(again.gpu.kernels(), 0);
}

#[test]
fn what_works_is_tried_once_per_driver_and_version() {
    let shelf = Rc::new(Shelf::default());
    let kernels = || {
        let proven = block_on(selftest::prove_tiers(&keeping(&shelf))).expect("a device");
        assert!(proven.disabled.is_empty(), "{:?}", proven.disabled);
        assert_eq!(proven.gpu.tiers, common::open().tiers);
        proven.gpu.kernels()
    };
    let all = kernels();
    if common::open().tiers.subgroup_size == 0 {
        return assert_eq!(all, 0);
    }
    assert!(all > 0);
    assert_eq!(kernels(), 0);
    // Of another driver, not a table, cut off, and nothing at all.
    let name = shelf.name(".json");
    let mut other = shelf.learnt();
    other["adapter"] = "another driver".into();
    for json in [
        other.to_string(),
        "[1]".into(),
        "{\"adapter\"".into(),
        String::new(),
    ] {
        shelf.write(&name, json.as_bytes());
        assert_eq!(kernels(), all, "{json}");
    }
    assert_eq!(kernels(), 0);
}

/// The same product with the constants of a trial.
fn product(gpu: &Gpu, candidate: usize) -> Vec<f32> {
    gpu.try_constants(candidate);
    common::run_f32(gpu, |pass| {
        let weight = common::noise(96 * 264, 2);
        let weight = common::upload(pass.gpu, &formats::F32, [1, 96, 264], &weight);
        let x = Tensor::upload(pass.gpu, &[5, 264], &common::noise(5 * 264, 3));
        ops::matmul_few(pass, &Input::from(&x), &weight)
    })
}

#[test]
fn every_candidate_gives_the_same_but_for_rounding() {
    for gpu in common::layouts() {
        let default = product(&gpu, 0);
        assert!(gpu.open_candidates() > 3);
        for candidate in 1..gpu.open_candidates() {
            let other = product(&gpu, candidate);
            let what = format!("candidate {candidate} of {:?}", gpu.tiers);
            common::assert_near(&other, &default, 1e-5, &what);
        }
    }
}

#[test]
fn measured_constants_are_kept_and_strange_ones_ignored() {
    let shelf = Rc::new(Shelf::default());
    let right = answer(load(common::options(), Tune::Never).engine());
    assert_eq!(answer(load(keeping(&shelf), Tune::Again).engine()), right);
    let mut learnt = shelf.learnt();
    let constants = learnt["constants"].as_object_mut().expect("a table");
    assert!(constants.len() > 5, "{constants:#?}");
    assert!(constants.keys().any(|name| name.starts_with("matmul ")));
    let mut llm = load(keeping(&shelf), Tune::Never);
    assert_eq!(answer(llm.engine()), right);
    assert_eq!(llm.gpu().open_candidates(), 0, "a question is still open");
    // Three lanes are no power of two: nobody offers them.
    for chosen in constants.values_mut() {
        *chosen = json!({ "WORKGROUP_SIZE": 3, "LANES": 3 });
    }
    shelf.write(&shelf.name(".json"), learnt.to_string().as_bytes());
    assert_eq!(answer(load(keeping(&shelf), Tune::Never).engine()), right);
}

#[test]
fn nothing_is_measured_unless_it_is_worth_it() {
    let shelf = Rc::new(Shelf::default());
    for (device, tune) in [
        (keeping(&shelf), Tune::Never),
        (common::options(), Tune::Unknown),
    ] {
        let mut llm = load(device, tune);
        answer(llm.engine());
        assert!(llm.gpu().open_candidates() > 1);
    }
}
