//! The smallest program: load a model, ask, print the answer as it comes.
//!
//! `cargo run --release --example generate -- demo "What is 27 + 48?"`

use futures::{StreamExt, pin_mut};
use tiefsee::{Llm, LoadOptions, Message, Result, Role, Update};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or("demo".into());
    let content = arguments.next().unwrap_or("What is 27 + 48?".into());
    pollster::block_on(async {
        let mut llm = Llm::load(&model, LoadOptions::default()).await?;
        let options = llm.defaults(0);
        let answer = llm.chat(&[Message::new(Role::User, content)], &options)?;
        pin_mut!(answer);
        while let Some(update) = answer.next().await {
            if let Update::Reasoning(text) | Update::Content(text) = update? {
                print!("{text}");
            }
        }
        println!();
        Ok(())
    })
}
