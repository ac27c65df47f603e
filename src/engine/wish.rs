//! The calls of a model beside the person's own words: a change that these speak against is asked back about, before any
//! card, and one that says less than they do is completed.

use super::{
    Engine,
    intent::{self, Offer},
    plain::{as_called, heard},
    turn::{Ledger, Scene, entry},
};
use crate::{
    agent::{CallResult, PlannedCall, port::Reply},
    domain::{AuditKind, ToolCall, ToolSpec},
};

impl Engine {
    /// Passes the model's calls to the gate, without those that the person's message speaks against.
    pub(super) async fn run_wished(
        &self,
        mut calls: Vec<PlannedCall>,
        ledger: &mut Ledger,
        scene: &Scene<'_>,
    ) -> Vec<CallResult> {
        let writes = |p: &PlannedCall| self.registry().spec(&p.call.tool).is_some_and(ToolSpec::is_write);
        // Looks need no names, and do not wait for the inventory.
        let directory =
            if calls.iter().any(writes) { self.directory().await } else { intent::Directory::default() };
        let offer = Offer { tools: self.registry().vocabulary(), directory: &directory };
        let mut held = Vec::new();
        for planned in &mut calls {
            held.push(self.wished(&mut planned.call, ledger, offer));
        }
        let free = calls.iter().zip(&held).filter(|(_, held)| held.is_none()).map(|(call, _)| call.clone());
        let mut results = self.run_all(free.collect(), ledger, scene).await.into_iter();
        for (planned, _) in calls.iter().zip(&held).filter(|(_, held)| held.is_some()) {
            let summary = format!("{}: held, because the message speaks against it", planned.call);
            ledger.audit.push(self.clean(entry(scene, AuditKind::Judged, &summary)));
        }
        let result = |held: Option<String>| match held {
            Some(question) => Some(CallResult::NotNamed(question)),
            None => results.next(),
        };
        held.into_iter().filter_map(result).collect()
    }

    /// Completes a change; what to say in its place where the words speak against it.
    fn wished(&self, call: &mut ToolCall, ledger: &Ledger, offer: Offer<'_>) -> Option<String> {
        let spec = self.registry().spec(&call.tool).filter(|s| s.is_write())?;
        let (text, _) = ledger.said.as_ref()?;
        for (param, value) in intent::left_out(text, call, spec, offer) {
            call.args.0.insert(param.to_owned(), value.into());
        }
        intent::unwished(text, call, spec, offer)
    }

    /// The answer of a model that needs help with calls, with calls that hold against the person's words.
    pub(super) async fn grounded(&self, mut reply: Reply, ledger: &Ledger) -> Reply {
        let directory = self.directory().await;
        let offer = Offer { tools: self.registry().vocabulary(), directory: &directory };
        let alone = reply.calls.len() == 1;
        let mut calls = Vec::new();
        for made in reply.calls {
            let spec = self.registry().spec(&made.name);
            let read = spec.and_then(|spec| Some((spec, spec.read_args(&made.args).ok()?)));
            let grounded = read.and_then(|(spec, args)| {
                let call = ToolCall { tool: made.name.clone(), args };
                heard(ledger, |asked| intent::grounded(asked, &call, spec, alone, offer))
            });
            match grounded {
                Some(grounded) => calls.extend(grounded.iter().map(as_called)),
                None => calls.push(made),
            }
        }
        reply.calls = calls;
        reply
    }
}
