//! A model that gives scores that are no numbers where a certain token is the last.

#![allow(unreachable_pub, reason = "tests share it")]

use std::ops::Range;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde_json::Value;
use tiefsee::Result;
use tiefsee::checkpoint::Source;
use tiefsee::llm::open_source;

/// It.
pub fn demo() -> Rc<dyn Source> {
    Rc::new(Poisoned(open_source("demo").expect("it is bundled")))
}

/// The bundled model, but what a token means is so large that products with it are no numbers. Where several rows are
/// normalised before the product, they become zeros.
struct Poisoned(Rc<dyn Source>);

/// The control character 5, which no question and no answer has.
pub const TOKEN: u32 = 200;

impl Source for Poisoned {
    fn name(&self) -> String {
        self.0.name()
    }

    fn size<'a>(&'a self, file: &'a str) -> LocalBoxFuture<'a, Result<Option<u64>>> {
        self.0.size(file)
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> LocalBoxFuture<'a, Result<Vec<u8>>> {
        Box::pin(async move {
            let mut bytes = self.0.read(file, range.clone()).await?;
            if file == "model.safetensors" {
                let place = poison(&*self.0).await?;
                for at in place.step_by(2).filter(|at| range.contains(at)) {
                    let number = bytes.get_mut((at - range.start) as usize..);
                    let number = number.and_then(|rest| rest.get_mut(..2));
                    number
                        .expect("whole numbers")
                        .copy_from_slice(&0x7f7f_u16.to_le_bytes());
                }
            }
            Ok(bytes)
        })
    }
}

/// Where the numbers of the token lie in the file: bf16.
async fn poison(source: &dyn Source) -> Result<Range<u64>> {
    let file = "model.safetensors";
    let length = source.read(file, 0..8).await?.try_into().expect("8 bytes");
    let start = 8 + u64::from_le_bytes(length);
    let header = source.read(file, 8..start).await?;
    let header: Value = serde_json::from_slice(&header).expect("a header");
    let tensor = &header["model.embed_tokens.weight"];
    let row = 2 * tensor["shape"][1].as_u64().expect("a number");
    let begin = tensor["data_offsets"][0].as_u64().expect("a number") + u64::from(TOKEN) * row;
    Ok(start + begin..start + begin + row)
}
