//! Tool output on its way to the model: redacted, cut to its share of the context, the rest kept for a search, fenced.

use jiff::Timestamp;

use crate::{
    domain::{Block, ToolOutput, ToolSpec, Untrusted},
    policy::{self, Redactor},
    spill::SpillStore,
};

/// What the model reads of a text, and what a person is shown besides the tool's own blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Presented {
    /// At most `cap` bytes and a few words.
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
    let Presented { text, kept } = fitted(&redactor.redact(&output.text), cap, (spill, now));
    let text = if spec.untrusted {
        let nonce = format!("{:08x}", rand::random::<u32>());
        policy::fence(&Untrusted::new(&text), &nonce, spec.name)
    } else {
        text
    };
    Presented { text, kept }
}

/// `clean` within `cap` bytes. What is longer loses its middle, is kept whole, and says how it is searched.
pub fn fitted(clean: &str, cap: usize, (spill, now): (&SpillStore, Timestamp)) -> Presented {
    if clean.len() <= cap {
        return Presented { text: clean.to_owned(), kept: None };
    }
    let head = clean.floor_char_boundary(cap / 3);
    let tail = clean.ceil_char_boundary(clean.len() - (cap - cap / 3));
    let cut = tail - head;
    let (note, kept) = match spill.put(clean, now) {
        Ok(id) => {
            let summary = format!("all of it is kept for 24 h: /search_output {id} PATTERN");
            let note =
                format!("[{cut} bytes left out here; search_output(id={id}, pattern=…) searches all of it]");
            (note, Some(Block::File { name: id.to_string(), bytes: clean.len() as u64, summary }))
        }
        Err(error) => {
            tracing::warn!(%error, "a long text could not be kept");
            (format!("[{cut} bytes left out here]"), None)
        }
    };
    let (begin, end) = (clean.get(..head).unwrap_or_default(), clean.get(tail..).unwrap_or_default());
    Presented { text: format!("{begin}\n{note}\n{end}"), kept }
}
