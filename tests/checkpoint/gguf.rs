//! What a GGUF file holds is what a checkpoint has, under Hugging Face's names.

use half::{bf16, f16};
use pollster::block_on;
use tiefsee::checkpoint::gguf::{GgufName, gguf_architecture, gguf_name};

use crate::files::{Files, assert_fails, f32_bytes};
use crate::gguf_file::{ARRAY, F32, Gguf, I32, U64, array_bytes};

const VALUES: [f32; 6] = [0.0, -1.5, 2.0, 0.25, -7.0, 100.0];

fn encoded<const N: usize>(encode: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    VALUES.into_iter().flat_map(encode).collect()
}

#[test]
fn numbers_of_every_type_come_back() {
    for version in [2, 3] {
        let mut file = Gguf::new("qwen2")
            .floats("token_embd.weight", &[2, 3], &VALUES)
            .tensor(
                "output.weight",
                &[2, 3],
                1,
                &encoded(|v| f16::from_f32(v).to_le_bytes()),
            )
            .tensor(
                "blk.0.attn_q.weight",
                &[3, 2],
                30,
                &encoded(|v| bf16::from_f32(v).to_le_bytes()),
            )
            .tensor(
                "output_norm.weight",
                &[6],
                28,
                &encoded(|v| f64::from(v).to_le_bytes()),
            )
            .tensor("counts", &[1, 2, 1, 1], 26, &[1, 0, 0, 0, 2, 0, 0, 0]);
        file.version = version;
        let checkpoint = Files::gguf(file.bytes()).open().unwrap();
        for (name, shape) in [
            ("model.embed_tokens.weight", &[2, 3][..]),
            ("lm_head.weight", &[2, 3]),
            ("model.layers.0.self_attn.q_proj.weight", &[3, 2]),
            ("model.norm.weight", &[6]),
        ] {
            let tensor = checkpoint.tensor(name).expect(name);
            assert_eq!(tensor.shape, shape, "{name}");
            assert_eq!(block_on(tensor.read_all()).unwrap(), VALUES, "{name}");
        }
        let counts = checkpoint.tensor("counts").expect("unknown names stay");
        assert_eq!(counts.shape, [1, 2, 1, 1]);
        assert_fails(
            block_on(counts.read_all()),
            4,
            &["memory/x.gguf", "counts", "I32"],
        );
        assert_eq!(checkpoint.shards(), ["x.gguf"]);
    }
}

#[test]
fn blocks_are_read() {
    // A scale of 1 and the numbers -8, -7, ... 7 twice: the halves of each byte are 16 apart.
    let numbers = (0..16u8).map(|number| number | number << 4);
    let block: Vec<u8> = f16::ONE.to_le_bytes().into_iter().chain(numbers).collect();
    let rows = [block.clone(), block].concat();
    let file = Gguf::new("qwen2").tensor("token_embd.weight", &[2, 32], 2, &rows);
    let checkpoint = Files::gguf(file.bytes()).open().unwrap();
    let tensor = checkpoint.tensor("model.embed_tokens.weight").unwrap();
    let row: Vec<f32> = (0..32).map(|i| (i % 16) as f32 - 8.0).collect();
    assert_eq!(block_on(tensor.read_rows(1..2)).unwrap(), row);
    assert_eq!(tensor.encoding.to_string(), "Q4_0");
}

#[test]
fn experts_are_tensors_of_their_own() {
    let values: Vec<f32> = (0..24u8).map(f32::from).collect();
    let file = Gguf::new("deepseek2")
        .floats("blk.1.ffn_up_exps.weight", &[3, 4, 2], &values)
        .floats("blk.1.exp_probs_b.bias", &[3], &values[..3])
        .floats("blk.1.attn_k_b.weight", &[2, 3, 4], &values)
        .floats("blk.1.nextn.eh_proj.weight", &[2, 2], &values[..4]);
    let checkpoint = Files::gguf(file.bytes()).open().unwrap();
    let names: Vec<_> = checkpoint.tensors().map(|tensor| tensor.name).collect();
    assert_eq!(
        names,
        [
            "blk.1.nextn.eh_proj.weight",
            "model.layers.1.mlp.experts.0.up_proj.weight",
            "model.layers.1.mlp.experts.1.up_proj.weight",
            "model.layers.1.mlp.experts.2.up_proj.weight",
            "model.layers.1.mlp.gate.e_score_correction_bias",
            "model.layers.1.self_attn.k_b_proj.weight",
        ]
    );
    let expert = checkpoint.tensor(names[2]).unwrap();
    assert_eq!(expert.shape, [4, 2]);
    assert_eq!(block_on(expert.read_all()).unwrap(), values[8..16]);
    assert_eq!(checkpoint.tensor(names[5]).unwrap().shape, [2, 3, 4]);
}

/// Architectures, names of Hugging Face and names of GGUF files, the latter empty where there is none.
const NAMES: [(&str, &str, &str, Option<usize>); 16] = [
    (
        "llama",
        "model.embed_tokens.weight",
        "token_embd.weight",
        None,
    ),
    ("llama", "lm_head.weight", "output.weight", None),
    (
        "qwen2",
        "model.layers.12.self_attn.q_proj.bias",
        "blk.12.attn_q.bias",
        None,
    ),
    (
        "qwen3",
        "model.layers.0.self_attn.k_norm.weight",
        "blk.0.attn_k_norm.weight",
        None,
    ),
    (
        "deepseek2",
        "model.layers.3.post_attention_layernorm.weight",
        "blk.3.ffn_norm.weight",
        None,
    ),
    (
        "deepseek2",
        "model.layers.3.self_attn.kv_a_proj_with_mqa.weight",
        "blk.3.attn_kv_a_mqa.weight",
        None,
    ),
    (
        "deepseek2",
        "model.layers.3.self_attn.v_b_proj.weight",
        "blk.3.attn_v_b.weight",
        None,
    ),
    (
        "deepseek2",
        "model.layers.3.mlp.gate.weight",
        "blk.3.ffn_gate_inp.weight",
        None,
    ),
    (
        "deepseek2",
        "model.layers.3.mlp.gate.e_score_correction_bias",
        "blk.3.exp_probs_b.bias",
        None,
    ),
    (
        "deepseek2",
        "model.layers.3.mlp.shared_experts.up_proj.weight",
        "blk.3.ffn_up_shexp.weight",
        None,
    ),
    (
        "deepseek2",
        "model.layers.3.mlp.experts.255.down_proj.weight",
        "blk.3.ffn_down_exps.weight",
        Some(255),
    ),
    (
        "llama",
        "model.layers.3.mlp.experts.255.down_proj.weight",
        "",
        None,
    ),
    ("deepseek2", "model.layers.03.mlp.gate.weight", "", None),
    (
        "deepseek2",
        "model.layers.3.mlp.gate.weight_scale_inv",
        "",
        None,
    ),
    ("deepseek2", "model.layers.3.eh_proj.weight", "", None),
    ("deepseek2", "", "", None),
];

#[test]
fn names_go_both_ways() {
    for (architecture, hf, gguf, expert) in NAMES {
        let name = gguf.to_owned();
        let expected = (!gguf.is_empty()).then_some(GgufName { name, expert });
        assert_eq!(gguf_name(architecture, hf), expected, "{hf}");
        if expected.is_none() {
            continue;
        }
        // As a tensor of that name, it is called by the first name again.
        let shape: &[u64] = if expert.is_some() { &[256, 1, 1] } else { &[1] };
        let values = &[1.0; 256][..shape[0] as usize];
        let file = Gguf::new(architecture).floats(gguf, shape, values);
        let checkpoint = Files::gguf(file.bytes()).open().unwrap();
        assert!(checkpoint.tensor(hf).is_some(), "{gguf}");
    }
    assert_eq!(gguf_architecture("deepseek_v2"), Some("deepseek2"));
    assert_eq!(gguf_architecture("qwen3"), Some("qwen3"));
    assert_eq!(gguf_architecture("gemma"), None);
}

#[test]
fn metadata_are_kept_as_they_are() {
    let long = "x".repeat(300);
    let file = Gguf::new("llama")
        .text("general.name", "a name")
        .text("long", &long)
        .u32("count", 7)
        .f32("number", 0.1)
        .bool("flag", true)
        .key("negative", I32, &(-3i32).to_le_bytes())
        .key("large", U64, &u64::MAX.to_le_bytes())
        .texts("texts", &["a", "", "é"])
        .i32s("numbers", &[1, 2, 300])
        .key(
            "floats",
            ARRAY,
            &array_bytes(F32, 1, f32_bytes(&[1.0]).into_iter()),
        );
    let checkpoint = Files::gguf(file.bytes()).open().unwrap();
    let metadata = checkpoint.metadata().unwrap();
    let get = |key: &str| &metadata[key];
    assert_eq!(get("general.name").as_str(), Some("a name"));
    assert_eq!(get("count").as_u64(), Some(7));
    assert_eq!(get("number").as_f64(), Some(0.1));
    assert_eq!(get("flag").as_bool(), Some(true));
    assert_eq!(
        (get("negative").as_u64(), get("negative").as_f64()),
        (None, Some(-3.0))
    );
    assert_eq!(get("large").as_u64(), Some(u64::MAX));
    assert_eq!(
        get("texts").texts().unwrap().collect::<Vec<_>>(),
        ["a", "", "é"]
    );
    assert_eq!(get("numbers").integers(), Some(vec![1, 2, 300]));
    assert!(get("floats").integers().is_none() && get("floats").texts().is_none());
    assert_eq!(get("count").as_str(), None);
    let brief = |key: &str| get(key).brief();
    assert_eq!(
        (brief("texts"), brief("flag")),
        ("3 texts".into(), true.into())
    );
    assert_eq!(
        (brief("negative"), brief("number")),
        ((-3.0).into(), 0.1.into())
    );
    assert_eq!(brief("long").as_str().unwrap().chars().count(), 201);
    // Written again as they are, they are the same.
    let copy = metadata.iter().fold(Gguf::empty(), |file, (key, value)| {
        file.key(key, value.kind, value.bytes())
    });
    let copy = Files::gguf(copy.bytes()).open().unwrap();
    assert_eq!(copy.metadata(), Some(metadata));
    assert!(Files::single("").open().is_err());
}

#[test]
fn folders_beside_are_not_looked_at() {
    let folder = Files::gguf(Gguf::new("llama").bytes())
        .with("config.json", "{")
        .with("tokenizer.json", "x")
        .with("chat_template.jinja", "y");
    let checkpoint = folder.open().unwrap();
    for file in ["tokenizer.json", "chat_template.jinja", "x"] {
        assert_eq!(block_on(checkpoint.text(file)).unwrap(), None, "{file}");
    }
    assert_eq!(
        checkpoint.path("config.json"),
        "memory/x.gguf (as config.json)"
    );
    assert_eq!(checkpoint.path("x.gguf"), "memory/x.gguf");
}
