//! One turn as a pure machine: an event comes in, effects go out; the driver does them and comes back with what happened.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    agent::{
        history,
        port::{CallMode, Message, ModelCall, ModelError, ModelRequest, Reply},
        prompt,
    },
    domain::{Block, Level, ResolvedCall, ToolCall, ToolSpec, TurnStatus, tool::canonical},
    policy::Verdict,
};

/// How the result of a call begins that was not made because the person never named its target; the question follows.
pub const ASKED_BACK: &str = "not run: the person has not named this target. Asked: ";

/// The bounds of a turn.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls that a turn may make, wrong ones included.
    pub calls: u32,
    /// The tokens that a prompt may take, tools included.
    pub prompt_tokens: usize,
}

/// A call with a known name and checked arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCall {
    /// The server's id for it.
    pub id: Option<String>,
    /// The call.
    pub call: ToolCall,
}

/// What became of a planned call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallResult {
    /// It ran; the text is fenced, cut and redacted.
    Output(String),
    /// It failed; the text says how.
    Failed(String),
    /// Policy blocks it; the text is the reason.
    Refused(String),
    /// It needs somebody's yes.
    NeedsApproval(Box<(ResolvedCall, Verdict)>),
    /// The person never named its target; the text asks which one is meant.
    NotNamed(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The turn starts.
    Begin,
    /// The model answered.
    Reply(Reply),
    /// The model did not.
    ModelFailed(ModelError),
    /// The calls of the last [`Effect::Run`] ended, in its order.
    Results(Vec<CallResult>),
    /// A person stopped the turn.
    Stop,
}

/// What the driver is to do, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Ask the model; comes back as `Reply` or `ModelFailed`.
    Ask(ModelRequest),
    /// Judge and run these, Safe ones in parallel; comes back as `Results`.
    Run(Vec<PlannedCall>),
    /// Put these writes on one card.
    Offer(Vec<(ResolvedCall, Verdict)>),
    /// Show a block.
    Say(Block),
    /// Take back what was streamed since the last call.
    Retract,
    /// The model is of no use now, for this reason: answer without it.
    WithoutModel(String),
    /// The turn is over.
    Finish(TurnStatus),
}

/// A running turn.
#[derive(Debug)]
pub struct Turn {
    limits: Limits,
    specs: Arc<Vec<ToolSpec>>,
    /// All tools that there are, offered or not.
    known: Arc<Vec<ToolSpec>>,
    messages: Vec<Message>,
    first_new: usize,
    mode: CallMode,
    calls: u32,
    seen: BTreeMap<String, String>,
    running: Vec<PlannedCall>,
    withhold_tools: bool,
    switched: bool,
    shrunk: bool,
    refused: bool,
    looked: bool,
}

impl Turn {
    /// A turn over `messages` (system message first, the person's message last) with these tools on offer.
    pub fn new(limits: Limits, specs: Arc<Vec<ToolSpec>>, messages: Vec<Message>, mode: CallMode) -> Self {
        Self {
            limits,
            known: specs.clone(),
            specs,
            first_new: messages.len(),
            messages,
            mode,
            calls: 0,
            seen: BTreeMap::new(),
            running: Vec::new(),
            withhold_tools: false,
            switched: false,
            shrunk: false,
            refused: false,
            looked: false,
        }
    }

    /// Accepts calls of all these tools, whether they are on offer or not.
    #[must_use]
    pub fn knowing(self, known: Arc<Vec<ToolSpec>>) -> Self {
        Self { known, ..self }
    }

    /// What the turn added to the conversation so far, without thinking, which no later turn may read.
    pub fn added(&self) -> Vec<Message> {
        let mut added: Vec<_> = self.messages.iter().skip(self.first_new).cloned().collect();
        for message in &mut added {
            if let Message::Assistant { thinking, .. } = message {
                thinking.clear();
            }
        }
        added
    }

    /// Whether any tool brought something that was shown.
    pub fn looked(&self) -> bool {
        self.looked
    }

    /// The machine: decides what an event leads to.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Begin => vec![self.ask()],
            Event::Reply(reply) => self.on_reply(reply),
            Event::ModelFailed(error) => self.on_failure(error),
            Event::Results(results) => self.on_results(results),
            Event::Stop => {
                vec![Effect::Say(Block::notice(Level::Info, "Stopped.")), Effect::Finish(TurnStatus::Stopped)]
            }
        }
    }

    fn ask(&mut self) -> Effect {
        let (tools, mode) = match (self.withhold_tools, self.mode) {
            (false, mode) => (self.specs.clone(), mode),
            (true, CallMode::Native) => (Arc::new(Vec::new()), CallMode::Native),
            (true, CallMode::Constrained | CallMode::Words) => (self.specs.clone(), CallMode::Words),
        };
        let room = self.limits.prompt_tokens.saturating_sub(prompt::tools_tokens(&tools));
        history::shrink(&mut self.messages, room);
        let mut messages = self.messages.clone();
        if mode == CallMode::Words {
            messages.push(Message::User { text: prompt::WORDS_ONLY.into() });
        }
        Effect::Ask(ModelRequest { messages, tools, mode })
    }

    fn on_reply(&mut self, reply: Reply) -> Vec<Effect> {
        let silent = reply.text.trim().is_empty();
        if reply.calls.is_empty() || self.withhold_tools {
            if silent {
                return self.try_constrained("the model gave an empty answer");
            }
            self.messages.push(Message::Assistant {
                text: reply.text,
                thinking: reply.thinking,
                calls: vec![],
            });
            let mut effects = Vec::new();
            if reply.cut {
                effects.push(Effect::Say(Block::notice(
                    Level::Info,
                    "(The answer was cut at its length limit.)",
                )));
            }
            let status = if self.refused { TurnStatus::Refused } else { TurnStatus::Answered };
            effects.push(Effect::Finish(status));
            return effects;
        }
        self.messages.push(Message::Assistant {
            text: reply.text,
            thinking: reply.thinking,
            calls: reply.calls.clone(),
        });
        for call in reply.calls {
            self.take(call);
        }
        if self.calls >= self.limits.calls {
            self.withhold_tools = true;
        }
        if self.running.is_empty() { vec![self.ask()] } else { vec![Effect::Run(self.running.clone())] }
    }

    /// Plans one call, or answers the model at once why not.
    fn take(&mut self, call: ModelCall) {
        let ModelCall { id, name, args } = call;
        self.calls += 1;
        let answer = if self.calls > self.limits.calls {
            self.withhold_tools = true;
            format!("not run: a turn may make {} calls; answer with what you have", self.limits.calls)
        } else if let Some(spec) = self.known.iter().find(|s| s.name == name) {
            match spec.read_args(&args) {
                Ok(args) => {
                    let call = ToolCall { tool: name.clone(), args };
                    match self.repeated(&call) {
                        None => {
                            self.running.push(PlannedCall { id, call });
                            return;
                        }
                        Some(answer) => answer,
                    }
                }
                Err(error) => format!("not run: {error}"),
            }
        } else {
            format!("not run: there is no tool `{name}`; the nearest are {}", self.nearest(&name).join(", "))
        };
        self.messages.push(Message::Tool { id, name, text: answer });
    }

    /// A second identical call gets the earlier result, and the model is made to answer.
    fn repeated(&mut self, call: &ToolCall) -> Option<String> {
        let key = key(call);
        if self.running.iter().any(|p| self::key(&p.call) == key) {
            return Some("not run: the same call is already in this message".into());
        }
        let earlier = self.seen.get(&key)?;
        self.withhold_tools = true;
        Some(format!("not run again: you already made this call in this turn. Its result was: {earlier}"))
    }

    fn nearest(&self, name: &str) -> Vec<&'static str> {
        let mut names: Vec<_> = self.specs.iter().map(|s| s.name).collect();
        names.sort_by_key(|known| std::cmp::Reverse(shared_pairs(name, known)));
        names.truncate(3);
        names
    }

    fn on_results(&mut self, results: Vec<CallResult>) -> Vec<Effect> {
        let mut offers = Vec::new();
        let mut questions = Vec::new();
        let mut effects = Vec::new();
        let running = std::mem::take(&mut self.running);
        for (planned, result) in running.into_iter().zip(results) {
            let text = match result {
                CallResult::Output(text) => {
                    self.looked = true;
                    // A model that needs its calls forced does not stop by itself.
                    self.withhold_tools |= self.mode == CallMode::Constrained;
                    text
                }
                CallResult::Failed(text) => {
                    effects.push(Effect::Say(Block::notice(Level::Warning, sentence(&text))));
                    format!("failed: {text}")
                }
                CallResult::Refused(reason) => {
                    self.refused = true;
                    let shown = format!("Refused: {}. {}", planned.call, sentence(&reason));
                    effects.push(Effect::Say(Block::notice(Level::Error, shown)));
                    format!(
                        "refused by policy: {reason}. The person has read this already; add one short sentence at most."
                    )
                }
                CallResult::NeedsApproval(offer) => {
                    offers.push(*offer);
                    "not run yet: a card was shown to the person and waits for a decision".into()
                }
                CallResult::NotNamed(question) => {
                    let text = format!("{ASKED_BACK}{question}");
                    questions.push(question);
                    text
                }
            };
            self.seen.insert(key(&planned.call), first_line(&text));
            self.messages.push(Message::Tool { id: planned.id, name: planned.call.tool, text });
        }
        if offers.is_empty() && questions.is_empty() {
            effects.push(self.ask());
            return effects;
        }
        let status = if offers.is_empty() { TurnStatus::Answered } else { TurnStatus::WaitsForApproval };
        questions.dedup();
        effects.extend(questions.into_iter().map(|q| Effect::Say(Block::text(q))));
        if !offers.is_empty() {
            effects.push(Effect::Offer(offers));
        }
        effects.push(Effect::Finish(status));
        effects
    }

    fn on_failure(&mut self, error: ModelError) -> Vec<Effect> {
        match error {
            ModelError::Swallowed | ModelError::NoTools(_) => self.try_constrained(&error.to_string()),
            ModelError::TooLong(_) if !self.shrunk => {
                self.shrunk = true;
                self.limits.prompt_tokens = self.limits.prompt_tokens * 2 / 3;
                vec![Effect::Retract, self.ask()]
            }
            error => vec![Effect::Retract, Effect::WithoutModel(error.to_string())],
        }
    }

    fn try_constrained(&mut self, why: &str) -> Vec<Effect> {
        if self.switched {
            return vec![Effect::Retract, Effect::WithoutModel(why.to_owned())];
        }
        self.switched = true;
        self.mode = match self.mode {
            CallMode::Native => CallMode::Constrained,
            CallMode::Constrained | CallMode::Words => CallMode::Native,
        };
        vec![Effect::Retract, self.ask()]
    }
}

fn key(call: &ToolCall) -> String {
    format!("{} {}", call.tool, canonical(&serde_json::Value::Object(call.args.0.clone())))
}

fn shared_pairs(a: &str, b: &str) -> usize {
    let pairs = |s: &str| s.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let b = pairs(b);
    pairs(a).iter().filter(|p| b.contains(p)).count()
}

fn first_line(text: &str) -> String {
    let end = text.floor_char_boundary(400);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Whether `text` ends in the same 16 to 300 bytes four times over: a small model that goes round in circles.
pub fn repeats(text: &str) -> bool {
    let bytes = text.as_bytes();
    (16..=300.min(bytes.len() / 4)).any(|period| {
        let mut tail = bytes.rchunks_exact(period).take(4);
        tail.next().is_some_and(|last| tail.all(|chunk| chunk == last))
    })
}

/// The text with a capital first letter and a full stop.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    // A tool's name stays as it is written.
    let named =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').next().is_some_and(|w| w.contains('_'));
    let mut chars = text.chars();
    let mut out: String = match chars.next() {
        Some(c) if !named => c.to_uppercase().collect(),
        first => first.into_iter().collect(),
    };
    out.push_str(chars.as_str());
    if !out.ends_with(['.', '!', '?', ')']) {
        out.push('.');
    }
    out
}

#[cfg(test)]
mod tests;
