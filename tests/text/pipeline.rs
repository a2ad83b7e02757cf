//! All that answers pass through, token by token: characters, stop strings, thinking, calls.

use tiefsee::text::Opening;
use tiefsee::text::Piece;
use tiefsee::text::ReasoningSplitter;
use tiefsee::text::Specials;
use tiefsee::text::StopStrings;
use tiefsee::text::TextStream;
use tiefsee::text::ToolCall;
use tiefsee::text::ToolFormat;
use tiefsee::text::ToolPiece;
use tiefsee::text::ToolSplitter;

use crate::Random;
use crate::demo_tokenizer;

/// An answer's parts.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    reasoning: String,
    content: String,
    calls: Vec<ToolCall>,
}

/// The steps behind the tokens.
struct Steps {
    stop: StopStrings,
    splitter: ReasoningSplitter,
    tools: ToolSplitter,
    parts: Parts,
}

impl Steps {
    fn new(opening: Opening) -> Self {
        let stops = ["STOP", "né\n", "]>"].map(str::to_owned).to_vec();
        Self {
            stop: StopStrings::new(stops).unwrap(),
            splitter: ReasoningSplitter::new(opening),
            tools: ToolSplitter::new(ToolFormat::Object),
            parts: Parts::default(),
        }
    }

    fn push(&mut self, text: &str) {
        let text = self.stop.push(text);
        let pieces = self.splitter.push(&text);
        self.take(pieces);
    }

    fn finish(mut self) -> Parts {
        let held = self.stop.finish();
        let mut pieces = self.splitter.push(&held);
        pieces.extend(self.splitter.finish());
        self.take(pieces);
        let rest = self.tools.finish();
        self.say(rest);
        self.parts
    }

    fn take(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Reasoning(text) => self.parts.reasoning += &text,
                Piece::Content(text) => {
                    let said = self.tools.push(&text);
                    self.say(said);
                }
            }
        }
    }

    fn say(&mut self, pieces: Vec<ToolPiece>) {
        for piece in pieces {
            match piece {
                ToolPiece::Content(text) => self.parts.content += &text,
                ToolPiece::Call(call) => self.parts.calls.push(call),
            }
        }
    }
}

#[test]
fn what_is_streamed_is_what_comes_whole() {
    let tokenizer = demo_tokenizer();
    let words = [
        "</think>",
        "<think>",
        "</thi",
        "\n",
        " ",
        "né",
        "🙂",
        "STO",
        "P",
        "]",
        ">",
        "text",
        "<tool_call>",
        "<tool",
        "{\"name\": \"é\", \"arguments\": {\"a\": \"🙂\"}}",
        "</tool_call>",
        "<tool_call>{\"name\": \"né\"}</tool_call>",
        "\u{fffd}",
    ];
    let mut random = Random(41);
    let (mut called, mut thought, mut stopped) = (0, 0, 0);
    for _ in 0..3000 {
        let text = random.text(&words, 14);
        let mut tokens = tokenizer.encode_with_specials(&text).unwrap();
        // A cut within a character happens, too.
        tokens.truncate(tokens.len() - random.below(3).min(tokens.len()));
        let opening = [Opening::Reasoning, Opening::Undecided, Opening::Content][random.below(3)];
        let mut whole = Steps::new(opening);
        whole.push(&tokenizer.decode(&tokens, Specials::KeepStructure));
        stopped += usize::from(whole.stop.stopped());
        let whole = whole.finish();
        let mut stream = TextStream::new(tokenizer.clone(), Specials::KeepStructure);
        let mut steps = Steps::new(opening);
        for &token in &tokens {
            steps.push(&stream.push(token));
        }
        steps.push(&stream.finish());
        called += whole.calls.len();
        thought += usize::from(!whole.reasoning.is_empty());
        assert_eq!(steps.finish(), whole, "{text:?}");
    }
    assert!(
        called > 5 && thought > 200 && stopped > 100,
        "{called} {thought} {stopped}"
    );
}
