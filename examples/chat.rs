//! A conversation: questions from standard input, a line each, and answers as they come.
//!
//! `cargo run --release --example chat -- demo`

use std::io::{BufRead, Write};

use futures::{StreamExt, pin_mut};
use tiefsee::{Error, Llm, LoadOptions, Message, Result, Role, Update};

fn main() -> Result<()> {
    let model = std::env::args().nth(1).unwrap_or("demo".into());
    let mut llm = pollster::block_on(Llm::load(&model, LoadOptions::default()))?;
    let mut messages = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let content = line.map_err(|source| Error::Io {
            path: "standard input".into(),
            source,
        })?;
        messages.push(Message::new(Role::User, content));
        let content = pollster::block_on(answer(&mut llm, &messages))?;
        messages.push(Message::new(Role::Assistant, content));
    }
    Ok(())
}

/// Prints the answer to a conversation, and returns it without the thinking.
async fn answer(llm: &mut Llm, messages: &[Message]) -> Result<String> {
    let options = llm.defaults(0);
    let updates = llm.chat(messages, &options)?;
    pin_mut!(updates);
    let mut thinking = false;
    while let Some(update) = updates.next().await {
        match update? {
            Update::Reasoning(text) => {
                thinking = true;
                print!("\x1b[2m{text}\x1b[0m");
            }
            Update::Content(text) => {
                let gap = if std::mem::take(&mut thinking) {
                    "\n\n"
                } else {
                    ""
                };
                print!("{gap}{text}");
            }
            Update::Done(completion) => {
                let rate = completion.decode_rate();
                println!("\n({} tokens, {rate:.0}/s)", completion.tokens.len());
                return Ok(completion.content);
            }
            _ => {}
        }
        // What cannot be shown is not worth ending the conversation for.
        _ = std::io::stdout().flush();
    }
    unreachable!("every answer ends with its completion")
}
