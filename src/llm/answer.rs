//! An answer while it is put together, the same for every dialect.

use super::{
    constrained,
    lenient::{self, Found},
};
use crate::{
    agent::port::{CallMode, ModelCall, ModelError, Reply},
    domain::ToolSpec,
};

/// Collects an answer's pieces; what it returns on the way may be shown.
#[derive(Debug)]
pub(super) struct Answer {
    reader: Reader,
    known: Vec<&'static str>,
    reply: Reply,
}

#[derive(Debug)]
enum Reader {
    Lenient(lenient::Reader),
    Constrained(constrained::Reader),
}

impl Answer {
    pub(super) fn new(mode: CallMode, tools: &[ToolSpec]) -> Self {
        let known: Vec<_> = tools.iter().map(|t| t.name).collect();
        let reader = match mode {
            _ if known.is_empty() => Reader::Lenient(lenient::Reader::plain()),
            CallMode::Native => {
                Reader::Lenient(lenient::Reader::new(known.iter().map(|n| (*n).to_owned()).collect()))
            }
            CallMode::Constrained | CallMode::Words => Reader::Constrained(constrained::Reader::default()),
        };
        Self { reader, known, reply: Reply::default() }
    }

    pub(super) fn text(&mut self, piece: &str) -> String {
        match &mut self.reader {
            Reader::Lenient(reader) => reader.push(piece),
            Reader::Constrained(reader) => reader.push(piece),
        }
    }

    pub(super) fn thinking(&mut self, piece: &str) {
        self.reply.thinking.push_str(piece);
    }

    pub(super) fn call(&mut self, call: ModelCall) {
        self.reply.calls.push(call);
    }

    pub(super) fn tokens(&mut self, prompt: Option<u64>, generated: Option<u64>) {
        self.reply.tokens_in = prompt.unwrap_or(self.reply.tokens_in);
        self.reply.tokens_out = generated.unwrap_or(self.reply.tokens_out);
    }

    /// Ends the answer; `cut` when a length limit did. Returns what may be shown now, and the reply.
    ///
    /// # Errors
    /// `Swallowed` when tools were on offer and nothing, or an unreadable call, came; `Broken` when nothing came.
    pub(super) fn finish(self, cut: bool) -> Result<(String, Reply), ModelError> {
        let Self { reader, known, mut reply } = self;
        let constrained = matches!(reader, Reader::Constrained(_));
        let (shown, found) = match reader {
            Reader::Lenient(reader) => reader.finish(cut),
            Reader::Constrained(reader) => reader.finish(&known, cut),
        };
        let Found { text, thinking, calls, lost } = found;
        if reply.thinking.is_empty() {
            reply.thinking = thinking;
        }
        for call in calls {
            // Some servers leave the text of a call that they have also parsed.
            let seen = reply.calls.iter().any(|c| c.name == call.name && c.args == call.args);
            if !seen {
                reply.calls.push(call);
            }
        }
        reply.text = text;
        reply.cut = cut;
        let empty = reply.text.is_empty() && reply.calls.is_empty();
        match (lost || empty) && reply.calls.is_empty() && !cut {
            false => Ok((shown, reply)),
            true if lost || (!constrained && !known.is_empty() && reply.tokens_out > 0) => {
                Err(ModelError::Swallowed)
            }
            true => Err(ModelError::Broken("it was empty".into())),
        }
    }
}
