#!/usr/bin/env python3
"""Makes the golden files: what Hugging Face transformers computes with small models.

    make_goldens.py --tool make_tiny_oracle.py --demo DEMO_FOLDER --out tests/golden [--only NAME]...

Four families (dsv3, dsv2, dsv2lite, dsv32) are made by the oracle tool, with two layers instead of its
four to stay small, and the others here (dsv3fp8 and dsv3ue8m0 from the tool's dsv3); every number is
then computed from the saved checkpoint by transformers: float32, eager attention.
`demo` writes demo.json: greedy answers of the demo model to problems it was never trained on.
`blocks` writes the tool's random GGUF blocks, `e4m3` the table of all 256 codes.
README.md says what each file holds.
"""

import argparse
import importlib.util
import json
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode
from transformers import (AutoConfig, AutoModelForCausalLM, AutoTokenizer, DeepseekV3Config, LlamaConfig,
                          Qwen2Config, Qwen3Config)

VERSIONS = {"transformers": transformers.__version__, "torch": torch.__version__}
TOOL_FAMILIES = ["dsv3", "dsv2", "dsv2lite", "dsv32"]
TOOL_LAYERS = 2
TOOL_PROMPTS = {"dsv32": 24}
SEEDS = [1234, 7, 99, 2026, *range(1, 200)]
MINIMUM_MARGIN = 0.01
MINIMUM_ROUTE_MARGIN = 5e-4
MINIMUM_INDEX_MARGIN = 5e-4
GREEDY_TOKENS = 8
FAR_POSITION = 100_000
FAR_TOKENS = 6
SPREAD_POSITIONS = [0, 3, 300, 1500, 4000, 9000, 20_000, 20_001]
FP8_BLOCK = 32
FP8_MAX = 448.0
FP8_UNTOUCHED = ("embed_tokens", "lm_head", "shared_head", "mlp.gate.", "eh_proj")
BLOCKS_SEED = 1234
DEMO_PROBLEMS = 240
DEMO_WITH_IDS = 100
DEMO_SEED = 20_261_130
# Operands of up to three digits, so that answers are short.
DEMO_HARD = 0.6


# ---------------------------------------------------------------- small random models
def odd_config():
    """Sizes that are multiples of nothing, no YaRN, and an epsilon that differs from the latent norms'."""
    return DeepseekV3Config(
        vocab_size=101, hidden_size=80, intermediate_size=100, moe_intermediate_size=20, num_hidden_layers=3,
        num_attention_heads=5, num_key_value_heads=5, q_lora_rank=36, kv_lora_rank=28, qk_nope_head_dim=12,
        qk_rope_head_dim=6, v_head_dim=12, n_routed_experts=18, n_shared_experts=2, num_experts_per_tok=4,
        n_group=3, topk_group=2, norm_topk_prob=True, routed_scaling_factor=1.75, first_k_dense_replace=1,
        max_position_embeddings=4096, rms_norm_eps=1e-3, bos_token_id=0, eos_token_id=1,
        tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 50_000.0})


def wide_config():
    """The head and latent sizes of the published models, everything else small."""
    return DeepseekV3Config(
        vocab_size=64, hidden_size=64, intermediate_size=64, moe_intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, q_lora_rank=64, kv_lora_rank=512, qk_nope_head_dim=128,
        qk_rope_head_dim=64, v_head_dim=128, n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=2,
        n_group=4, topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5, first_k_dense_replace=1,
        max_position_embeddings=163_840, rms_norm_eps=1e-6, bos_token_id=0, eos_token_id=1,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 40.0, "beta_fast": 32,
                         "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0,
                         "original_max_position_embeddings": 4096})


DENSE = dict(vocab_size=280, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=131_072, bos_token_id=0, eos_token_id=1,
             tie_word_embeddings=False)


def qwen2_config():
    """Biases, and three query heads to a key head."""
    return Qwen2Config(**DENSE, rms_norm_eps=1e-6,
                       rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})


def qwen2tied_config():
    """No output matrix, one key head, sizes that are multiples of nothing."""
    return Qwen2Config(vocab_size=101, hidden_size=60, intermediate_size=84, num_hidden_layers=3,
                       num_attention_heads=5, num_key_value_heads=1, max_position_embeddings=32_768,
                       rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=1, tie_word_embeddings=True,
                       rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0})


def qwen3_config():
    """The YaRN fields of R1-0528-Qwen3-8B; heads wider than hidden_size / heads."""
    return Qwen3Config(**DENSE, head_dim=16, rms_norm_eps=1e-6,
                       rope_parameters={"rope_type": "yarn", "rope_theta": 1_000_000.0, "factor": 4.0,
                                        "original_max_position_embeddings": 32_768,
                                        "attn_factor": 0.8782488562869419})


def llama_config():
    """Of the four frequencies two stay, one is between, one is divided by eight."""
    return LlamaConfig(**DENSE, rms_norm_eps=1e-5,
                       rope_parameters={"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0,
                                        "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                        "original_max_position_embeddings": 8192})


OWN_FAMILIES = {
    "odd": {"config": odd_config, "prompt": 29, "bfloat16": True},
    "wide": {"config": wide_config, "prompt": 10, "bfloat16": True},
    "qwen2": {"config": qwen2_config, "prompt": 30},
    "qwen2tied": {"config": qwen2tied_config, "prompt": 23, "bfloat16": True},
    "qwen3": {"config": qwen3_config, "prompt": 30},
    "llama": {"config": llama_config, "prompt": 30},
}
FP8_FAMILIES = {"dsv3fp8": {"ue8m0": False}, "dsv3ue8m0": {"ue8m0": True}}
WITH_LEGACY_CONFIG = {"dsv3", "dsv32", "qwen2", "qwen3", "llama"}
WITH_SPREAD = {"qwen2", "qwen3", "llama"}


@torch.no_grad()
def randomise(model, generator):
    """Weights that keep every activation near unit size and every expert in use."""
    for name, values in [*model.named_parameters(), *model.named_buffers()]:
        if "inv_freq" in name:
            continue
        noise = torch.randn(values.shape, generator=generator)
        if name.endswith("e_score_correction_bias"):
            values.copy_(0.08 * noise)
        elif name.endswith(".bias"):
            values.copy_(0.3 * noise)
        elif "norm" in name:
            values.copy_(1 + 0.2 * noise)
        elif "embed_tokens" in name:
            values.copy_(0.7 * noise)
        elif name.endswith("gate.weight"):
            values.copy_(2.5 / math.sqrt(values.shape[-1]) * noise)
        else:
            values.copy_(noise / math.sqrt(values.shape[-1]))


def make_own(name, seed, folder):
    """Saves a random model of an own family; returns its prompt."""
    family = OWN_FAMILIES[name]
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(family["config"]()).float().eval()
    randomise(model, generator)
    model.save_pretrained(folder)
    if family.get("bfloat16"):
        store_rounded(folder)
    return torch.randint(2, model.config.vocab_size, (1, family["prompt"]), generator=generator)


def store_rounded(folder):
    """Rounds the checkpoint to bfloat16; the correction bias stays in float32, as in the published ones."""
    tensors = load_file(folder / "model.safetensors")
    for name, values in tensors.items():
        if not name.endswith("e_score_correction_bias"):
            tensors[name] = values.bfloat16()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "bfloat16"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_module(path, name):
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_tool(path):
    """The oracle tool, making models of TOOL_LAYERS layers."""
    tool = load_module(path, "oracle_tool")
    full_size = tool.make_config

    def make_config(family):
        config = full_size(family)
        config.num_hidden_layers = TOOL_LAYERS
        for name in ("layer_types", "mlp_layer_types"):
            if getattr(config, name, None):
                setattr(config, name, getattr(config, name)[:TOOL_LAYERS])
        return config

    tool.make_config = make_config
    return tool


def make_with_tool(tool, name, seed, folder):
    """Runs the oracle tool for one family; returns the prompt that it chose."""
    arguments, sys.argv = sys.argv, [tool.__file__, str(folder.parent), "--family", name, "--seed", str(seed)]
    usual, tool.PROMPT = tool.PROMPT, TOOL_PROMPTS.get(name, tool.PROMPT)
    tool.main()
    sys.argv, tool.PROMPT = arguments, usual
    return load_file(folder / "oracle.safetensors")["input_ids"].long()[None]


# ---------------------------------------------------------------- eight bits
def quantise(tool, values, ue8m0):
    """E4M3 weights with one scale per block; a scale of 8 bits is the next power of two."""
    weights, scales = tool.quant_weight(values, FP8_BLOCK)
    if not ue8m0:
        return weights, scales
    scales = torch.exp2(torch.ceil(torch.log2(scales)))
    weights = (values / spread_scales(scales, values.shape)).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
    return weights, scales.to(torch.float8_e8m0fnu)


def spread_scales(scales, shape):
    """Every weight's scale; blocks at the edges are smaller."""
    rows = scales.float().repeat_interleave(FP8_BLOCK, 0)[: shape[0]]
    return rows.repeat_interleave(FP8_BLOCK, 1)[:, : shape[1]]


def make_fp8(tool, name, folder):
    """Writes folder/eight, the checkpoint in 8 bits, and replaces that in folder by what it decodes to."""
    ue8m0 = FP8_FAMILIES[name]["ue8m0"]
    eight, decoded = {}, load_file(folder / "model.safetensors")
    for key, values in list(decoded.items()):
        eight[key] = values
        if values.dim() == 2 and not any(part in key for part in FP8_UNTOUCHED):
            eight[key], eight[key + "_scale_inv"] = quantise(tool, values, ue8m0)
            decoded[key] = eight[key].float() * spread_scales(eight[key + "_scale_inv"], values.shape)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                     "weight_block_size": [FP8_BLOCK, FP8_BLOCK]}
    if ue8m0:
        config["quantization_config"]["scale_fmt"] = "ue8m0"
    target = folder / "eight"
    target.mkdir()
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(eight, target / "model.safetensors", metadata={"format": "pt"})
    save_file(decoded, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "oracle.safetensors").unlink()


def write_e4m3(out):
    """e4m3.safetensors: what each of the 256 codes means."""
    codes = torch.arange(256, dtype=torch.uint8)
    table = {"codes": codes, "values": codes.view(torch.float8_e4m3fn).float()}
    save_file(table, out / "e4m3.safetensors")


# ---------------------------------------------------------------- what transformers computes
def load(folder, attention_factor=None):
    """A checkpoint in float32 with eager attention."""
    config = AutoConfig.from_pretrained(folder)
    if attention_factor is not None:
        config.rope_parameters["attention_factor"] = attention_factor
    return AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def float64_logits(tool, folder, prompt, attention_factor):
    """The tool's own code in float64: the logits, and the prediction layer's where there is one."""
    spec = tool.Spec(str(folder))
    if attention_factor is not None:
        spec.rp["attention_factor"] = attention_factor
    spec.w.setdefault("lm_head.weight", spec.w["model.embed_tokens.weight"])
    logits = spec.forward(prompt[0])
    layers = spec.c["num_hidden_layers"]
    return logits, spec.mtp(prompt[0]).float() if f"model.layers.{layers}.eh_proj.weight" in spec.w else None


@torch.no_grad()
def full_forward(model, prompt):
    """Logits, hidden states, choices of experts and of tokens of a whole prompt, and the narrowest of both."""
    chosen, leads, hooks, indexers = [], [], [], []

    def keep(router, _inputs, outputs):
        leads.append(route_lead(router, outputs[0]))
        chosen.append(outputs[1:])

    for module in model.modules():
        if type(module).__name__.endswith("TopkRouter"):
            hooks.append(module.register_forward_hook(keep))
        if type(module).__name__.endswith("Indexer"):
            indexers.append(KeptScores(module))
    output = model(input_ids=prompt, output_hidden_states=True, use_cache=False)
    for hook in hooks:
        hook.remove()

    tensors = {"input_ids": prompt[0].int(), "logits": output.logits[0]}
    *inputs, last = output.hidden_states
    for layer, states in enumerate(inputs):
        tensors[f"hidden.{layer}"] = states[0]
    tensors["hidden.final"] = last[0]
    for layer, (weights, experts) in enumerate(chosen):
        ascending = experts.argsort(-1)
        tensors[f"route.{layer}.idx"] = experts.gather(-1, ascending).int()
        tensors[f"route.{layer}.weight"] = weights.gather(-1, ascending)
    index_leads = []
    for layer, kept in enumerate(indexers):
        tensors[f"index.{layer}"], lead = kept.selection()
        index_leads.append(lead)
    return tensors, min(leads, default=math.inf), min(index_leads, default=math.inf)


class KeptScores(TorchFunctionMode):
    """The scores from which an indexer takes its tokens in the next forward pass."""

    def __init__(self, indexer):
        super().__init__()
        self.scores, self.count, usual = None, indexer.index_topk, indexer.forward

        def forward(*inputs, **named):
            indexer.forward = usual
            with self:
                return usual(*inputs, **named)

        indexer.forward = forward

    def __torch_function__(self, function, types, inputs=(), named=None):
        if function is torch.Tensor.topk:
            self.scores = inputs[0][0]
        return function(*inputs, **(named or {}))

    def selection(self):
        """Chosen positions of each row, ascending, -1 where fewer exist, and their smallest lead over the others."""
        visible = torch.ones_like(self.scores, dtype=torch.bool).tril()
        best = self.scores.masked_fill(~visible, -math.inf).topk(self.count + 1, -1)
        full = visible.sum(-1) > self.count
        positions = torch.where(best.values > -math.inf, best.indices, -1)[:, : self.count].sort(-1).values
        leads = best.values[full, -2] - best.values[full, -1]
        return positions.int(), leads.min().item()


@torch.no_grad()
def route_lead(router, logits):
    """The smallest lead of a chosen expert or group over one that was left out."""
    biased = hasattr(router, "e_score_correction_bias")
    scores = logits.sigmoid() + router.e_score_correction_bias if biased else logits.softmax(-1)
    lead = math.inf
    if router.num_group > 1:
        groups = scores.unflatten(-1, (router.num_group, -1)).topk(2 if biased else 1, -1).values.sum(-1)
        best = groups.sort(-1, descending=True)
        kept, dropped = best.values[:, : router.topk_group], best.values[:, router.topk_group :]
        lead = (kept[:, -1] - dropped[:, 0]).min().item()
        out = torch.ones_like(groups, dtype=torch.bool).scatter(-1, best.indices[:, : router.topk_group], False)
        size = scores.shape[-1] // router.num_group
        scores = scores.masked_fill(out.repeat_interleave(size, -1), -math.inf)
    best = scores.topk(router.top_k + 1, -1).values
    return min(lead, (best[:, -2] - best[:, -1]).min().item())


@torch.no_grad()
def stepwise_logits(model, prompt):
    """The same logits, one token at a time through the cache."""
    rows, cache = [], None
    for token in prompt[0]:
        output = model(input_ids=token[None, None], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        rows.append(output.logits[0, -1])
    return torch.stack(rows)


@torch.no_grad()
def greedy(model, prompt):
    """The prompt with its most likely continuation, and the smallest lead of a chosen token."""
    ids, lead = prompt, math.inf
    for _ in range(GREEDY_TOKENS):
        best = model(input_ids=ids, use_cache=False).logits[0, -1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        ids = torch.cat([ids, best.indices[None, :1]], 1)
    return ids[0].int(), lead


@torch.no_grad()
def far_logits(model, prompt):
    """The first tokens of the prompt as if they stood far out."""
    positions = torch.arange(FAR_POSITION, FAR_POSITION + FAR_TOKENS)[None]
    return model(input_ids=prompt[:, :FAR_TOKENS], position_ids=positions, use_cache=False).logits[0]


@torch.no_grad()
def spread_logits(model, prompt):
    """The first tokens of the prompt with gaps between them, so that low frequencies count."""
    positions = torch.tensor([SPREAD_POSITIONS])
    logits = model(input_ids=prompt[:, : positions.shape[1]], position_ids=positions, use_cache=False).logits[0]
    return {"spread.positions": positions[0].int(), "spread.logits": logits}


def write_legacy_config(folder, prompt, expected):
    """config-legacy.json: the spelling of the published files, which must mean the same."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    if kind == "yarn":
        config["rope_scaling"] = {"type" if "kv_lora_rank" in config else "rope_type": kind, **rope}
    elif kind != "default":
        config["rope_scaling"] = {**rope, "rope_type": kind}
    else:
        config |= {"sliding_window": 4096, "use_sliding_window": False}
    if "kv_lora_rank" in config:
        config |= {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1}
    else:
        config["torch_dtype"] = config.pop("dtype")
    if config["model_type"] != "qwen3":
        config.pop("head_dim", None)
    for name in ("rope_interleave", "transformers_version", "pad_token_id", "layer_types", "mlp_layer_types"):
        config.pop(name, None)
    with tempfile.TemporaryDirectory() as other:
        shutil.copy(folder / "model.safetensors", other)
        (Path(other) / "config.json").write_text(json.dumps(config))
        actual = full_forward(load(other), prompt)[0]["logits"]
    assert torch.equal(actual, expected), "the legacy spelling means something else"
    (folder / "config-legacy.json").write_text(json.dumps(config, indent=2) + "\n")


def record(name, seed, folder, prompt, out, tool):
    """Writes one family's folder, or returns False where a choice of a token or an expert is too close."""
    attention_factor = 1.0 if name == "qwen3" else None
    model = load(folder, attention_factor)
    continuation, lead = greedy(model, prompt)
    tensors, _, _ = full_forward(model, prompt)
    _, narrowest_route, narrowest_index = full_forward(model, continuation[None].long())
    if lead <= MINIMUM_MARGIN or narrowest_route <= MINIMUM_ROUTE_MARGIN or narrowest_index <= MINIMUM_INDEX_MARGIN:
        return False
    tensors["greedy"] = continuation
    tensors["logits_decode"] = stepwise_logits(model, prompt)
    target = out / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    published = folder / "eight" if name in FP8_FAMILIES else folder
    for file in ("config.json", "model.safetensors"):
        shutil.copyfile(published / file, target / file)
    facts = {"family": name, "seed": seed, "dtype": "float32", "attention": "eager", **VERSIONS,
             "prompt_tokens": prompt.shape[1], "greedy_tokens": GREEDY_TOKENS, "greedy_margin_min": lead,
             "route_margin_min": narrowest_route,
             "decode_vs_full_max_abs": (tensors["logits_decode"] - tensors["logits"]).abs().max().item()}
    if narrowest_route == math.inf:
        del facts["route_margin_min"]
    if narrowest_index < math.inf:
        facts["index_margin_min"] = narrowest_index
    if (folder / "oracle.safetensors").exists():
        oracle = load_file(folder / "oracle.safetensors")
        facts["full_vs_float64_max_abs"] = (tensors["logits"] - oracle["logits_f64"]).abs().max().item()
        if "mtp_logits" in oracle:
            tensors["mtp_logits"] = oracle["mtp_logits"]
    elif tool is not None:
        exact, drafts = float64_logits(tool, folder, prompt, attention_factor)
        facts["full_vs_float64_max_abs"] = (tensors["logits"] - exact).abs().max().item()
        if drafts is not None:
            tensors["mtp_logits"] = drafts
    if name == "dsv3":
        tensors["logits_far"] = far_logits(model, prompt)
        facts["far_position"] = FAR_POSITION
        facts["far_vs_near_max_abs"] = (tensors["logits_far"] - tensors["logits"][:FAR_TOKENS]).abs().max().item()
    if name in WITH_SPREAD:
        tensors |= spread_logits(model, prompt)
    plain = tensors["logits"]
    if attention_factor is not None:
        other = load(folder)
        plain = tensors["logits_transformers"] = full_forward(other, prompt)[0]["logits"]
        tensors["spread.logits_transformers"] = spread_logits(other, prompt)["spread.logits"]
        facts["attention_factor"] = attention_factor
        facts["attention_factor_transformers"] = other.model.rotary_emb.attention_scaling
        facts["readings_differ_max_abs"] = (plain - tensors["logits"]).abs().max().item()
    if name in WITH_LEGACY_CONFIG:
        write_legacy_config(target, prompt, plain)
    save_file({key: values.contiguous() for key, values in tensors.items()}, target / "golden.safetensors")
    (target / "golden.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts), flush=True)
    return True


def make_family(name, tool, out):
    """Tries seeds until neither the continuation nor the expert choices have a near tie."""
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / ("dsv3" if name in FP8_FAMILIES else name)
            if name in OWN_FAMILIES:
                prompt = make_own(name, seed, folder)
            else:
                prompt = make_with_tool(tool, folder.name, seed, folder)
            if name in FP8_FAMILIES:
                make_fp8(tool, name, folder)
            if record(name, seed, folder, prompt, out, tool):
                return
    raise SystemExit(f"{name}: every seed has a near tie")


# ---------------------------------------------------------------- the demo model
@torch.no_grad()
def answer(model, prompt_ids, limit):
    """Greedy completion through the cache: its ids and the smallest lead of a chosen token."""
    ids, lead, cache, step = [], math.inf, None, torch.tensor([prompt_ids])
    while len(ids) < limit:
        output = model(input_ids=step, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        best = output.logits[0, -1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        ids.append(best.indices[0].item())
        if ids[-1] == model.config.eos_token_id:
            break
        step = best.indices[None, :1]
    return ids, lead


def demo_problems(recipe):
    """Distinct held-out problems that need no earlier ones, families in turn."""
    families = [family for family in recipe.SCORED if family != "follow-ups"]
    draw, found = recipe.Draw(DEMO_SEED, DEMO_HARD), {}
    while len(found) < DEMO_PROBLEMS:
        make, _ = recipe.FAMILIES[families[len(found) % len(families)]]
        problem = make(draw)
        if problem.is_held_out:
            found.setdefault(problem.key, problem)
    return list(found.values())


def make_demo(folder, out):
    """demo.json: held-out problems with the model's answers, families in turn."""
    sys.path.insert(0, str(folder / "recipe"))
    import problems as recipe
    import text

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load(folder)
    limit = json.loads((folder / "generation_config.json").read_text())["max_new_tokens"]
    problems, scores = [], {}
    for problem in demo_problems(recipe):
        prompt = text.prompt_text(problem)
        assert tokenizer.apply_chat_template(problem.messages(), add_generation_prompt=True, tokenize=False) == prompt
        prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
        ids, lead = answer(model, prompt_ids, limit)
        stopped = ids[-1] == model.config.eos_token_id
        completion = tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=False)
        correct = completion.split(text.END_OF_THINKING)[-1].strip() == problem.answer
        scores.setdefault(problem.family, []).append(correct)
        entry = {"family": problem.family, "question": problem.question, "expected": problem.answer,
                 "completion": completion, "finish": "stop" if stopped else "length", "tokens": len(ids),
                 "correct": correct, "margin_min": round(lead, 5)}
        if len(problems) < DEMO_WITH_IDS:
            entry |= {"prompt_ids": prompt_ids, "completion_ids": ids}
        problems.append(entry)
        if len(problems) % 20 == 0:
            print(f"demo: {len(problems)} problems", flush=True)

    correct = {family: [sum(score), len(score)] for family, score in scores.items()}
    header = {"prompt": text.prompt_text(recipe.Problem("", (), "{question}", "", "")), "max_new_tokens": limit,
              "dtype": "float32", "attention": "eager", **VERSIONS, "seed": DEMO_SEED, "correct": correct,
              "correct_total": sum(map(sum, scores.values())), "total": len(problems)}
    lines = [json.dumps(problem, ensure_ascii=False, separators=(",", ":")) for problem in problems]
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":"))
    (out / "demo.json").write_text(head[:-1] + ',"problems":[\n' + ",\n".join(lines) + "\n]}\n")
    print(head)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, help="make_tiny_oracle.py")
    parser.add_argument("--demo", type=Path, help="folder of the demo model, with its recipe")
    parser.add_argument("--out", type=Path, required=True)
    names = [*TOOL_FAMILIES, *FP8_FAMILIES, *OWN_FAMILIES, "blocks", "e4m3", "demo"]
    parser.add_argument("--only", action="append", choices=names, help="default: all")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    wanted = arguments.only or names
    tool = load_tool(arguments.tool) if arguments.tool else None
    for name in wanted:
        if name == "demo":
            make_demo(arguments.demo, arguments.out)
        elif name == "blocks":
            tool.gguf_vectors(str(arguments.out), BLOCKS_SEED)
        elif name == "e4m3":
            write_e4m3(arguments.out)
        else:
            make_family(name, tool, arguments.out)


if __name__ == "__main__":
    main()
