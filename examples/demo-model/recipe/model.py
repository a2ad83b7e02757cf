"""DeepSeek-V3 in PyTorch for training: the published mathematics and tensor names, batches without padding.

Tokens of all sequences of a batch lie one after another (`[tokens, hidden]`); only attention needs to know where each
begins. Everything is f32; how precisely matrix products are made of it is the caller's choice.
Source: DeepSeek-V3 Technical Report (arXiv 2412.19437).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def config(hidden: int, layers: int, experts: int, expert_width: int, vocabulary: int) -> dict:
    """A config.json of the architecture, by its sizes."""
    heads = hidden // 32
    return {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 3 * hidden,
        "moe_intermediate_size": expert_width,
        "num_hidden_layers": layers,
        "num_nextn_predict_layers": 1,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "n_shared_experts": 1,
        "n_routed_experts": experts,
        "num_experts_per_tok": 4,
        "n_group": 4,
        "topk_group": 2,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.5,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "q_lora_rank": 3 * hidden // 4,
        "kv_lora_rank": hidden // 2,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 32,
        "v_head_dim": 32,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "max_position_embeddings": 2048,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        "initializer_range": 0.02,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "use_cache": True,
        "torch_dtype": "bfloat16",
    }


# Sequences are as long as a multiple of this, and experts have as many rows: kernels are made for each shape of product,
# so there should not be many.
STEP = 64


def rounded(size):
    """The next multiple of `STEP`, for a number or a tensor of them."""
    return (size + STEP - 1) // STEP * STEP


@dataclass
class Together:
    """Sequences of about one length: `tokens` of the batch are theirs, each at `place` in `[sequences, longest]`."""

    tokens: slice
    sequences: int
    longest: int
    place: Tensor  # [tokens]
    hidden: Tensor  # [longest, longest], -inf where a key comes after the query

    def pad(self, x: Tensor) -> Tensor:
        """`[tokens, heads, size]` -> `[sequences * heads, longest, size]`"""
        padded = x.new_zeros(self.sequences * self.longest, *x.shape[1:]).index_copy(0, self.place, x[self.tokens])
        return padded.view(self.sequences, self.longest, *x.shape[1:]).transpose(1, 2).flatten(0, 1)

    def pack(self, x: Tensor) -> Tensor:
        """What `pad` made, back to `[tokens, heads * size]`."""
        heads = x.view(self.sequences, -1, *x.shape[1:])
        return heads.transpose(1, 2).reshape(self.sequences * self.longest, -1).index_select(0, self.place)


@dataclass
class Layout:
    """Where the sequences of a batch lie; the longest come last."""

    position: Tensor  # [tokens]
    groups: list[Together]

    @classmethod
    def of(cls, lengths: list[int], device) -> "Layout":
        """For lengths in ascending order."""
        groups, start, first = [], 0, 0
        while start < len(lengths):
            longest = rounded(lengths[start])
            end = sum(length <= longest for length in lengths)
            part = lengths[start:end]
            places = [torch.arange(length) + index * longest for index, length in enumerate(part)]
            hidden = torch.full((longest, longest), -math.inf).triu(1).to(device)
            tokens = slice(first, first + sum(part))
            groups.append(Together(tokens, len(part), longest, torch.cat(places).to(device), hidden))
            start, first = end, tokens.stop
        return cls(torch.cat([torch.arange(length) for length in lengths]).to(device), groups)

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Of `[tokens, heads, size]` each with its own sequence: `[tokens, heads * size]`."""
        scale, outputs = q.shape[-1] ** -0.5, []
        for group in self.groups:
            queries, keys, values = (group.pad(each) for each in (q, k, v))
            scores = torch.baddbmm(group.hidden, queries, keys.mT, alpha=scale)
            outputs.append(group.pack(scores.softmax(-1) @ values))
        return torch.cat(outputs)


class RmsNorm(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


def linear(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=scale / math.sqrt(inputs))
    return layer


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Neighbours are pairs, as in the published weights; the order of what comes out cancels between q and k."""
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.cat([even * cos - odd * sin, odd * cos + even * sin], -1)


class LatentAttention(nn.Module):
    """Section 2.1.1 of the report, not absorbed."""

    def __init__(self, c: dict, out_scale: float):
        super().__init__()
        self.c = c
        heads, nope, rope, value = self.sizes()
        self.q_a_proj = linear(c["hidden_size"], c["q_lora_rank"])
        self.q_a_layernorm = RmsNorm(c["q_lora_rank"])
        self.q_b_proj = linear(c["q_lora_rank"], heads * (nope + rope))
        self.kv_a_proj_with_mqa = linear(c["hidden_size"], c["kv_lora_rank"] + rope)
        self.kv_a_layernorm = RmsNorm(c["kv_lora_rank"])
        self.kv_b_proj = linear(c["kv_lora_rank"], heads * (nope + value))
        self.o_proj = linear(heads * value, c["hidden_size"], out_scale)

    def sizes(self) -> tuple[int, int, int, int]:
        names = ("num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        return tuple(self.c[name] for name in names)

    def forward(self, x: Tensor, angles: Tensor, layout: Layout) -> Tensor:
        heads, nope, rope, _ = self.sizes()
        latent_size = self.c["kv_lora_rank"]
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x))).view(len(x), heads, nope + rope)
        latent = self.kv_a_proj_with_mqa(x)
        shared = rotate(latent[:, None, latent_size:], angles).expand(-1, heads, rope)
        kv = self.kv_b_proj(self.kv_a_layernorm(latent[:, :latent_size])).view(len(x), heads, -1)
        q = torch.cat([q[..., :nope], rotate(q[..., nope:], angles)], -1)
        k = torch.cat([kv[..., :nope], shared], -1)
        return self.o_proj(layout.attention(q, k, kv[..., nope:]))


class Mlp(nn.Module):
    def __init__(self, hidden: int, width: int, out_scale: float):
        super().__init__()
        self.gate_proj, self.up_proj = linear(hidden, width), linear(hidden, width)
        self.down_proj = linear(width, hidden, out_scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Gate(nn.Module):
    """Scores by a sigmoid; the bias takes part in the choice only (section 2.1.2)."""

    def __init__(self, c: dict):
        super().__init__()
        self.c = c
        hidden, experts = c["hidden_size"], c["n_routed_experts"]
        self.weight = nn.Parameter(torch.randn(experts, hidden) / math.sqrt(hidden))
        self.register_buffer("e_score_correction_bias", torch.zeros(experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Chosen experts and their weights, both `[tokens, experts_per_token]`."""
        c, groups = self.c, self.c["n_group"]
        scores = F.linear(x, self.weight).sigmoid()
        with torch.no_grad():
            biased = scores + self.e_score_correction_bias
            best = biased.view(len(x), groups, -1).topk(2, -1).values.sum(-1)
            chosen = best.topk(c["topk_group"], -1).indices
            open_groups = torch.zeros_like(best, dtype=torch.bool).scatter_(1, chosen, True)
            is_open = open_groups.repeat_interleave(c["n_routed_experts"] // groups, 1)
            experts = biased.masked_fill(~is_open, -math.inf).topk(c["num_experts_per_tok"], -1).indices
        weights = scores.gather(1, experts)
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20) * c["routed_scaling_factor"]
        return experts, weights


class Experts(nn.Module):
    def __init__(self, c: dict, out_scale: float):
        super().__init__()
        count, hidden, width = c["n_routed_experts"], c["hidden_size"], c["moe_intermediate_size"]
        self.gate = Gate(c)
        # [experts, inputs, outputs], split into the published tensors by `to_published`.
        self.gate_proj = nn.Parameter(torch.randn(count, hidden, width) / math.sqrt(hidden))
        self.up_proj = nn.Parameter(torch.randn(count, hidden, width) / math.sqrt(hidden))
        self.down_proj = nn.Parameter(torch.randn(count, width, hidden) * out_scale / math.sqrt(width))
        self.shared_experts = Mlp(hidden, width * c["n_shared_experts"], out_scale)
        self.register_buffer("load", torch.zeros(count), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        chosen, weights = self.gate(x)
        each = chosen.shape[1]
        # Choices in the order of their experts.
        order = chosen.flatten().argsort(stable=True)
        expert, token = chosen.flatten()[order], order // each
        counts = torch.bincount(expert, minlength=self.load.numel())
        self.load += counts
        # Where each expert's rows begin with as many more as round them up; those read a row of zeros.
        rows = rounded(counts)
        ahead = (rows.cumsum(0) - rows) - (counts.cumsum(0) - counts)
        row = torch.arange(len(order), device=x.device) + ahead[expert]
        source = torch.full((int(rows.sum()),), len(x), device=x.device).index_copy_(0, row, token)
        outputs = [
            (F.silu(own @ gate) * (own @ up)) @ down
            for own, gate, up, down in zip(
                torch.cat([x, x.new_zeros(1, x.shape[1])]).index_select(0, source).split(rows.tolist()),
                self.gate_proj.unbind(),
                self.up_proj.unbind(),
                self.down_proj.unbind(),
                strict=True,
            )
        ]
        outputs = torch.cat(outputs).index_select(0, row) * weights.flatten()[order][:, None]
        return torch.zeros_like(x).index_add(0, token, outputs) + self.shared_experts(x)


class Layer(nn.Module):
    def __init__(self, c: dict, is_dense: bool, out_scale: float):
        super().__init__()
        hidden = c["hidden_size"]
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(hidden), RmsNorm(hidden)
        self.self_attn = LatentAttention(c, out_scale)
        self.mlp = Mlp(hidden, c["intermediate_size"], out_scale) if is_dense else Experts(c, out_scale)

    def forward(self, x: Tensor, angles: Tensor, layout: Layout) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), angles, layout)
        return x + self.mlp(self.post_attention_layernorm(x))


class Predictor(Layer):
    """The multi-token-prediction layer (section 2.2)."""

    def __init__(self, c: dict, out_scale: float):
        super().__init__(c, False, out_scale)
        hidden = c["hidden_size"]
        self.enorm, self.hnorm, self.eh_proj = RmsNorm(hidden), RmsNorm(hidden), linear(2 * hidden, hidden)
        self.shared_head = nn.ModuleDict({"norm": RmsNorm(hidden)})


class DeepseekV3(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.c = c
        hidden, layers, vocabulary = c["hidden_size"], c["num_hidden_layers"], c["vocab_size"]
        # Residual branches begin small.
        out_scale = (2 * layers) ** -0.5
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(vocabulary, hidden),
                "layers": nn.ModuleList(
                    [
                        *(Layer(c, index < c["first_k_dense_replace"], out_scale) for index in range(layers)),
                        Predictor(c, out_scale),
                    ]
                ),
                "norm": RmsNorm(hidden),
            }
        )
        nn.init.normal_(self.model["embed_tokens"].weight, std=0.5)
        self.lm_head = linear(hidden, vocabulary, 0.5)
        size = c["qk_rope_head_dim"]
        frequencies = c["rope_theta"] ** -(torch.arange(0, size, 2).float() / size)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def states(self, ids: Tensor, layout: Layout) -> Tensor:
        """Normalised states of all tokens, `[tokens, hidden]`."""
        angles = layout.position[:, None] * self.frequencies
        x = self.model["embed_tokens"](ids)
        for layer in self.model["layers"][:-1]:
            x = layer(x, angles, layout)
        return self.model["norm"](x)

    def predictions(self, states: Tensor, next_ids: Tensor, layout: Layout) -> Tensor:
        """Normalised states that tell the token after the next one, `[tokens, hidden]`."""
        layer = self.model["layers"][-1]
        embedded = layer.enorm(self.model["embed_tokens"](next_ids))
        x = layer.eh_proj(torch.cat([embedded, layer.hnorm(states)], -1))
        angles = layout.position[:, None] * self.frequencies
        return layer.shared_head["norm"](layer(x, angles, layout))

    def experts(self) -> list[Experts]:
        return [layer.mlp for layer in self.model["layers"] if isinstance(layer.mlp, Experts)]

    @torch.no_grad()
    def balance(self, step: float) -> float:
        """Raises the bias of experts that had less than their share and lowers the others' (section 2.1.2, without an
        auxiliary loss). The largest load of any expert over the mean."""
        worst = 0.0
        for experts in self.experts():
            mean = experts.load.mean()
            experts.gate.e_score_correction_bias += step * torch.sign(mean - experts.load)
            worst = max(worst, float(experts.load.max() / mean.clamp(min=1)))
            experts.load.zero_()
        return worst


STACKED = ("gate_proj", "up_proj", "down_proj")


def to_published(model: DeepseekV3) -> dict[str, Tensor]:
    """The tensors under their published names and in their shapes."""
    tensors = {}
    for name, value in model.state_dict().items():
        stem, _, last = name.rpartition(".")
        if last in STACKED:
            for expert, weight in enumerate(value):
                tensors[f"{stem}.experts.{expert}.{last}.weight"] = weight.T.contiguous()
        else:
            tensors[name] = value
    predictor = f"model.layers.{model.c['num_hidden_layers']}"
    tensors[f"{predictor}.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors[f"{predictor}.shared_head.head.weight"] = tensors["lm_head.weight"].clone()
    return tensors
