//! All tools by name: those with a body, and those that exist only so that their refusal can be explained.

use std::{collections::BTreeMap, sync::Arc};

use super::intent::Vocabulary;
use crate::{
    agent::{port::Tool, prompt},
    domain::ToolSpec,
};

/// The tools of this build.
pub struct Registry {
    tools: BTreeMap<&'static str, Arc<dyn Tool>>,
    specs: Arc<Vec<ToolSpec>>,
    core: Arc<Vec<ToolSpec>>,
    vocabulary: Vocabulary,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|s| s.name)).finish()
    }
}

impl Registry {
    /// Tools with a body, then `bodiless` ones, in the order of `/help`.
    pub fn new(tools: Vec<Arc<dyn Tool>>, bodiless: Vec<ToolSpec>) -> Self {
        let mut specs: Vec<_> = tools.iter().map(|t| t.spec().clone()).collect();
        specs.extend(bodiless);
        let core = Arc::new(prompt::core(&specs));
        let tools = tools.into_iter().map(|t| (t.spec().name, t)).collect();
        let specs = Arc::new(specs);
        let vocabulary = Vocabulary::new(specs.clone());
        Self { tools, specs, core, vocabulary }
    }

    /// The tool with a body.
    pub fn tool(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }

    /// What is known of a tool.
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.specs.iter().find(|s| s.name == name)
    }

    /// All tools.
    pub fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// The words that are used for each tool.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// All tools, to be shared.
    pub fn everything(&self) -> Arc<Vec<ToolSpec>> {
        self.specs.clone()
    }

    /// What a conversation's prompt offers: the fixed core, then the tools that the conversation was given, in the order
    /// in which it was given them. Names that this build lacks are left out.
    pub fn offered(&self, further: &[String]) -> Arc<Vec<ToolSpec>> {
        let further: Vec<_> = further
            .iter()
            .filter(|name| !self.core.iter().any(|s| s.name == name.as_str()))
            .filter_map(|name| self.spec(name).cloned())
            .collect();
        if further.is_empty() {
            return self.core.clone();
        }
        Arc::new(self.core.iter().cloned().chain(further).collect())
    }
}
