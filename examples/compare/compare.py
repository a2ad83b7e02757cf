"""tiefsee beside llama.cpp, burn and transformers: in one run, by turns, on the same driver and the same files.

    compare.py [--rounds 5] [PART..]      speed, start, products, demo; all of them if none is named

`make compare` sets up what this needs and runs it on Mesa's software driver. Each round runs every
program once, in an order that alternates; a row of the table has the medians over the rounds and the
median of the rounds' quotients, which noise of the machine disturbs least. Ends with 1 if a quotient
is below what is wanted.

speed     tokens a second. llama.cpp runs with its default arithmetic and with GGML_VK_DISABLE_F16=1; its
          faster setting counts, though its 16-bit sums change what a model says. Flash attention is off:
          on this driver it crashes after a prompt.
start     seconds from the start of the process to the first token after a prompt of 128. tiefsee's clock runs
          until its process has ended. Cold is without any kernel kept on disk, by the driver or the engine.
products  matrices in f32, rows x outer x inner, against burn's wgpu back end after it has tuned itself.
demo      the bundled model against transformers, f32, two threads; needs torch and transformers.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BUILT = TARGET / "compare"
TIEFSEE = os.environ.get("TIEFSEE", TARGET / "release/tiefsee")
LLAMA = os.environ.get("LLAMA", BUILT / "llama")
BURN = BUILT / "burn/release/products"
SMOLLM2 = json.loads((ROOT / "tests/golden/smollm2.json").read_text())

PROMPT = 128
RUNS = 3  # of each program in a round, after one that does not count
SETTINGS = {"f16": {}, "f32": {"GGML_VK_DISABLE_F16": "1"}}
# File, tokens to generate, times as fast as llama.cpp: decoding, and reading a prompt if that is compared.
MODELS = {
    "V3's shape, 48 M, Q4_0": (BUILT / "v3-48m-q4_0.gguf", 32, 3, 3),
    "V3's shape, 48 M, F16": (BUILT / "v3-48m-f16.gguf", 32, 3, 3),
    "SmolLM2-135M, Q4_1": (TARGET / "packages" / SMOLLM2["package"] / SMOLLM2["file"], 16, 2, None),
}
# Each character is a token of the borrowed tokenizer, and most differ.
TEXT = "".join(chr(33 + place * 37 % 94) for place in range(PROMPT))
STARTS_FASTER = 4
PRODUCTS = ["512x512x512", "1024x1024x1024", "128x4096x4096", "1x4096x4096"]


def run(arguments, **environment):
    """What a program writes to standard output; the one place that starts programs and waits for them."""
    arguments = [str(argument) for argument in arguments]
    folders = {"MESA_SHADER_CACHE_DIR": BUILT / "cache/driver", "TIEFSEE_CACHE_DIR": BUILT / "cache/tiefsee"}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GGML_VK_VISIBLE_DEVICES": "0"} | folders | environment
    done = subprocess.run(
        arguments, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} ends with {done.returncode}")
    return done.stdout


def by_turns(rounds, ours, theirs):
    """What both give in each round, as pairs."""
    pairs = []
    for number in range(rounds):
        one, other = (ours, theirs) if number % 2 else (theirs, ours)
        first, second = one(), other()
        pairs.append((first, second) if one is ours else (second, first))
    return pairs


def row(name, unit, pairs, wanted, faster):
    """Prints a row; whether it is as wanted. `faster` says by how much ours is faster in a pair."""
    quotients = sorted(faster(*pair) for pair in pairs)
    middle = statistics.median(quotients)
    ours, theirs = (statistics.median(side) for side in zip(*pairs))
    verdict = "" if middle >= wanted else "MISSED"
    print(
        f"| {name} | {ours:.4g} {unit} | {theirs:.4g} {unit} | {middle:.2f} ({quotients[0]:.2f} to {quotients[-1]:.2f}) "
        f"| {wanted:g} | {verdict} |",
        flush=True,
    )
    return not verdict


def higher(ours, theirs):
    return ours / theirs


def lower(ours, theirs):
    return theirs / ours


def tiefsee_speed(file, prompt, tokens, runs=RUNS):
    """Medians of tokens a second: of the prompt, if there is one, and decoding."""
    flags = ["-p", prompt, "-n", tokens, "-r", runs, "-o", "json", "--device", "cpu"]
    tests = json.loads(run([TIEFSEE, "bench", file, *flags]))["tests"]
    speeds = {test["test"][:2]: statistics.median(test["samples"]) for test in tests}
    return speeds.get("pp"), speeds["tg"]


def llama_speed(file, prompt, tokens, setting, runs=RUNS):
    """The same of llama.cpp."""
    lines = run([LLAMA, file, "speed", prompt, tokens, runs], **SETTINGS[setting]).splitlines()
    speeds = {}
    for what, speed in map(str.split, lines):
        speeds.setdefault(what, []).append(float(speed))
    medians = {what: statistics.median(values) for what, values in speeds.items()}
    return medians.get("prompt"), medians["decode"]


def faster_setting(file, prompt, tokens):
    """llama.cpp's setting that takes less time for a prompt and an answer, having compiled its kernels."""
    took = {}
    for setting in SETTINGS:
        llama_speed(file, prompt, tokens, setting, 1)
        prompt_speed, decode_speed = llama_speed(file, prompt, tokens, setting, 1)
        took[setting] = tokens / decode_speed + (prompt / prompt_speed if prompt else 0)
        print(f"llama.cpp, {setting}, {file.name}: prompt {prompt_speed} t/s, decode {decode_speed} t/s", file=sys.stderr)
    return min(took, key=took.get)


def compare_speed(rounds):
    passed = []
    for name, (file, tokens, decode, prefill) in MODELS.items():
        prompt = PROMPT if prefill else 0
        setting = faster_setting(file, prompt, tokens)
        pairs = by_turns(
            rounds,
            lambda: tiefsee_speed(file, prompt, tokens),
            lambda: llama_speed(file, prompt, tokens, setting),
        )
        name = f"{name}, llama.cpp with {setting}"
        decodes = [(ours[1], theirs[1]) for ours, theirs in pairs]
        passed.append(row(f"decode, {name}", "t/s", decodes, decode, higher))
        if prefill:
            prompts = [(ours[0], theirs[0]) for ours, theirs in pairs]
            passed.append(row(f"prompt of {PROMPT}, {name}", "t/s", prompts, prefill, higher))
    return passed


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def tiefsee_first(file):
    flags = ["--raw", "--temperature", "0", "--max-tokens", "1", "--json", "--device", "cpu"]
    answer = json.loads(run([TIEFSEE, "run", file, TEXT, *flags]))
    assert answer["usage"]["prompt_tokens"] == PROMPT, answer


def llama_first(file, setting):
    assert run([LLAMA, file, "first", TEXT], **SETTINGS[setting]) == f"{PROMPT}\n"


def compare_start(rounds):
    passed = []
    for name, (file, *_, prefill) in MODELS.items():
        if not prefill:
            continue
        setting = faster_setting(file, PROMPT, 1)
        title = f"{name}, llama.cpp with {setting}"

        def ours():
            return seconds(lambda: tiefsee_first(file))

        def theirs():
            return seconds(lambda: llama_first(file, setting))

        pairs = by_turns(rounds, lambda: cold(ours), lambda: cold(theirs))
        passed.append(row(f"first token, cold caches, {title}", "s", pairs, STARTS_FASTER, lower))
        # The last of them has left the other's caches empty.
        ours(), theirs()
        pairs = by_turns(rounds, ours, theirs)
        passed.append(row(f"first token, warm caches, {title}", "s", pairs, STARTS_FASTER, lower))
    return passed


def cold(action):
    shutil.rmtree(BUILT / "cache", ignore_errors=True)
    return action()


def tiefsee_products():
    text = run([TIEFSEE, "bench", "--products", ",".join(PRODUCTS), "-r", 3, "-o", "json", "--device", "cpu"])
    return [statistics.median(product["in_a_row_samples_us"]) for product in json.loads(text)["products"]]


def burn_products():
    lines = run([BURN, 3, *PRODUCTS]).splitlines()
    return [statistics.median(map(float, line.split()[1:])) for line in lines]


def compare_products(rounds):
    burn_products()  # tunes itself
    pairs = by_turns(rounds, tiefsee_products, burn_products)
    passed = []
    for place, size in enumerate(PRODUCTS):
        times = [(ours[place], theirs[place]) for ours, theirs in pairs]
        passed.append(row(f"product {size}, burn", "us", times, 1, lower))
    return passed


def compare_demo(rounds):
    speed = [sys.executable, ROOT / "tests/golden/speed.py", ROOT / "examples/demo-model"]
    if subprocess.run([sys.executable, "-c", "import torch, transformers"], stderr=subprocess.DEVNULL).returncode:
        print("| the bundled model, transformers | not compared: no torch and transformers here | | | | |")
        return []
    pairs = by_turns(
        rounds,
        lambda: tiefsee_speed("demo", 0, 64)[1],
        lambda: json.loads(run(speed))["median_tokens_per_second"],
    )
    return [row("decode, the bundled model, transformers with f32 and two threads", "t/s", pairs, 1, higher)]


PARTS = {"speed": compare_speed, "start": compare_start, "products": compare_products, "demo": compare_demo}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *PARTS], default=[], help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print("| what | tiefsee | other | times as fast | wanted | |\n|---|---:|---:|---:|---:|---|", flush=True)
    passed = [passed for part in arguments.parts or PARTS for passed in PARTS[part](arguments.rounds)]
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
