"""Tokenizer and chat template of the bundled model, and problems as tokens."""

from dataclasses import dataclass
from itertools import islice

from problems import Draw, Problem, trained
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT, THINK, END_OF_THINKING = "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"
SPECIAL = [BOS, EOS, PAD, USER, ASSISTANT, THINK, END_OF_THINKING]

# DeepSeek-R1's template in the parts that a model without tools needs.
TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}"
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}"
    "{{ '<｜Assistant｜>' + m['content'].split('</think>')[-1].lstrip('\\n') + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)

# DeepSeek-V3's pre-tokenizer.
NUMBERS, CJK = r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+"
PIECES = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)


def prompt_text(problem: Problem) -> str:
    """What the template makes of the conversation."""
    turns = "".join(f"{USER}{each.question}{ASSISTANT}{each.answer}{EOS}" for each in problem.earlier)
    return f"{BOS}{problem.system}{turns}{USER}{problem.question}{ASSISTANT}{THINK}\n"


def answer_text(problem: Problem) -> str:
    return f"{problem.thinking}\n{END_OF_THINKING}\n\n{problem.answer}{EOS}"


def _split(numbers: str) -> pre_tokenizers.PreTokenizer:
    parts = [pre_tokenizers.Split(Regex(each), "isolated") for each in (numbers, CJK, PIECES)]
    return pre_tokenizers.Sequence([*parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def make_tokenizer(vocabulary: int, seed: int) -> Tokenizer:
    """A byte-level tokenizer in which every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    # Trained on single digits, so that no merge joins them; what it ships with splits as DeepSeek-V3's does.
    tokenizer.pre_tokenizer = _split(r"\p{N}")
    draw = Draw(seed)
    problems = iter(lambda: trained(draw), None)
    texts = (text for each in islice(problems, 20000) for text in (each.question, each.thinking, each.answer))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = _split(NUMBERS)
    return tokenizer


@dataclass(frozen=True)
class Example:
    """A problem's tokens, of which the first `prompt` are not learned."""

    ids: list[int]
    prompt: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, problem: Problem) -> "Example":
        parts = [tokenizer.encode(text, add_special_tokens=False).ids for text in (prompt_text(problem), answer_text(problem))]
        return cls(parts[0] + parts[1], len(parts[0]))


def tokenizer_config() -> dict:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "chat_template": TEMPLATE,
    }
