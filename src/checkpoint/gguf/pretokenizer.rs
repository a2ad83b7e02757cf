//! How texts are cut before merging, by the names that llama.cpp has for it.
//!
//! The expressions are those of the models' own tokenizer.json files.

use serde_json::{Value, json};

/// What a name stands for.
pub(super) struct Rules {
    pub(super) pre_tokenizer: Value,
    pub(super) normalizer: Value,
    /// Whether a piece that is a token is that token, whatever the merges make of it.
    pub(super) ignore_merges: bool,
    /// Whether a text starts with the beginning-of-sequence token, where a file does not say.
    pub(super) add_bos: bool,
}

/// The names, alphabetically.
pub(super) const NAMES: &str = "deepseek-coder, deepseek-llm, deepseek-r1-qwen, deepseek-v3, default, \
                                gpt-2, llama-bpe, qwen2, smollm";

/// Runs of Chinese characters and of what lies before them up to Indian scripts, and of Hangul.
const CJK: &str = r"[\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+";

/// Punctuation, of ASCII, wide, and of East Asia; letters of ASCII, which are cut off before, are in its
/// ranges.
const PUNCTUATION: &str =
    r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+";

/// Letters of scripts that have capitals, each range as its first and last.
const LETTERS: &str = concat!(
    r"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}",
    r"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}",
    r"\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}",
    r"\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}",
    r"\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}",
    r"\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}",
    r"\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}",
    r"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}",
    r"\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}",
    r"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}",
    r"\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}",
    r"\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}",
    r"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}",
    r"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}",
    r"\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}",
    r"\x{1E900}-\x{1E943}]+"
);

/// DeepSeek-V3's pieces, after numbers and runs of Chinese characters and Japanese syllables.
const V3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+",
    concat!(
        r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
        r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
];

/// The rules of a name; `None` for a name that is not known.
pub(super) fn rules(name: &str) -> Option<Rules> {
    let pre_tokenizer = match name {
        "deepseek-llm" => sequence(&[
            split(r"[\r\n]"),
            split(LETTERS),
            split(PUNCTUATION),
            split(r"\s+$"),
            split(CJK),
            digits(),
            bytes(false),
        ]),
        "deepseek-coder" => sequence(&[
            split(r"[\r\n]"),
            split(r"\s?\p{L}+"),
            split(r"\s?\p{P}+"),
            split(CJK),
            digits(),
            bytes(false),
        ]),
        "deepseek-v3" => {
            let [numbers, cjk, rest] = V3.map(split);
            sequence(&[numbers, cjk, rest, bytes(false)])
        }
        "llama-bpe" | "llama3" | "llama-v3" => sequence(&[split(&words(3)), bytes(false)]),
        "qwen2" | "deepseek-r1-qwen" => sequence(&[split(&words(1)), bytes(false)]),
        "smollm" => sequence(&[digits(), bytes(true)]),
        "gpt-2" | "default" => bytes(true),
        _ => return None,
    };
    let is_llama = name.starts_with("llama");
    let is_qwen = name.contains("qwen");
    Some(Rules {
        pre_tokenizer,
        normalizer: if is_qwen {
            json!({"type": "NFC"})
        } else {
            Value::Null
        },
        ignore_merges: is_llama,
        add_bos: is_llama,
    })
}

/// The name of what tokenizer.json cuts texts with; `None` if there is none.
///
/// Files differ in how they write the same expression, so that what tells them apart is looked for.
pub(super) fn name_of(pre_tokenizer: Option<&Value>) -> Option<&'static str> {
    let text = pre_tokenizer?.to_string();
    let has = |part: &str| text.contains(&part.replace('\\', "\\\\"));
    let has_kind = |kind: &str| text.contains(&format!("\"type\":\"{kind}\""));
    let is_said = |flag: &str, is: bool| text.contains(&format!("\"{flag}\":{is}"));
    // No name adds a space, and those without expressions cut by GPT-2's.
    if is_said("add_prefix_space", true) || !has_kind("Split") && is_said("use_regex", false) {
        return None;
    }
    let cuts_words = has(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)");
    match has_kind("Split") {
        true if cuts_words && has(r"\p{N}{1,3}") => Some("llama-bpe"),
        true if cuts_words => Some("qwen2"),
        true if has(r"\p{N}{1,3}") && has(r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+") => {
            Some("deepseek-v3")
        }
        true if has_kind("Digits") && has(r"\s?\p{L}+") => Some("deepseek-coder"),
        true if has_kind("Digits") && has(r"\s+$") => Some("deepseek-llm"),
        false if has_kind("Digits") => Some("smollm"),
        false if has_kind("ByteLevel") => Some("gpt-2"),
        _ => None,
    }
}

/// The pieces of Llama 3 and Qwen2, which differ in how many digits stay together.
fn words(digits: usize) -> String {
    let (before, after) = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    );
    format!(r"{before}|\p{{N}}{{1,{digits}}}|{after}")
}

fn sequence(steps: &[Value]) -> Value {
    json!({"type": "Sequence", "pretokenizers": steps})
}

/// What matches becomes a piece of its own.
fn split(expression: &str) -> Value {
    json!({
        "type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false,
    })
}

fn digits() -> Value {
    json!({"type": "Digits", "individual_digits": true})
}

/// The characters that stand for bytes; GPT-2's pieces, too, if asked for.
fn bytes(cut: bool) -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": cut,
    })
}
