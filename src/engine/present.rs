//! Tool output on its way to the model: redacted, cut to its share of the context, the rest kept for a search, fenced.

use jiff::Timestamp;

use crate::{
    domain::{Block, ToolOutput, ToolSpec, Untrusted},
    policy::{self, Redactor},
    spill::SpillStore,
};

/// What the model reads of an output, and what a person is shown besides the tool's own blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Presented {
    /// Fenced and at most `cap` bytes and a few words.
    pub text: String,
    /// A pointer to the kept rest, when there is one.
    pub kept: Option<Block>,
}

/// Prepares `output` for the model; `cap` is in bytes.
pub fn present(
    output: &ToolOutput,
    spec: &ToolSpec,
    cap: usize,
    redactor: &Redactor,
    (spill, now): (&SpillStore, Timestamp),
) -> Presented {
    let clean = redactor.redact(&output.text);
    let mut kept = None;
    let text = if clean.len() <= cap {
        clean.into_owned()
    } else {
        let head = clean.floor_char_boundary(cap / 3);
        let tail = clean.ceil_char_boundary(clean.len() - (cap - cap / 3));
        let cut = tail - head;
        let note = match spill.put(&clean, now) {
            Ok(id) => {
                kept = Some(Block::File {
                    name: id.to_string(),
                    bytes: clean.len() as u64,
                    summary: format!("all of it is kept for 24 h: /search_output {id} PATTERN"),
                });
                format!("[{cut} bytes left out here; search_output(id={id}, pattern=…) searches all of it]")
            }
            Err(error) => {
                tracing::warn!(%error, "an output could not be kept");
                format!("[{cut} bytes left out here]")
            }
        };
        format!(
            "{}\n{note}\n{}",
            clean.get(..head).unwrap_or_default(),
            clean.get(tail..).unwrap_or_default()
        )
    };
    let text = if spec.untrusted {
        let nonce = format!("{:08x}", rand::random::<u32>());
        policy::fence(&Untrusted::new(&text), &nonce, spec.name)
    } else {
        text
    };
    Presented { text, kept }
}
