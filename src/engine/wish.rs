//! The calls of a model: a change that the person's own words speak against is asked back about, before any card.

use super::{
    Engine,
    intent::{self, Offer},
    turn::{Ledger, Scene, entry},
};
use crate::{
    agent::{CallResult, PlannedCall},
    domain::{AuditKind, ToolCall},
};

impl Engine {
    /// Passes the model's calls to the gate, without those that the person's message speaks against.
    pub(super) async fn run_wished(
        &self,
        calls: Vec<PlannedCall>,
        ledger: &mut Ledger,
        scene: &Scene<'_>,
    ) -> Vec<CallResult> {
        let mut held = Vec::new();
        for planned in &calls {
            held.push(self.unwished(&planned.call, ledger).await);
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

    async fn unwished(&self, call: &ToolCall, ledger: &Ledger) -> Option<String> {
        let spec = self.registry().spec(&call.tool).filter(|s| s.is_write())?;
        let (text, _) = ledger.said.as_ref()?;
        let directory = self.directory().await;
        let offer = Offer { tools: self.registry().vocabulary(), directory: &directory };
        intent::unwished(text, call, spec, offer)
    }
}
