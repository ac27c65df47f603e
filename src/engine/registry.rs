//! All tools by name: those with a body, and those that exist only so that their refusal can be explained.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    agent::{port::Tool, prompt},
    domain::ToolSpec,
};

/// The tools of this build.
pub struct Registry {
    tools: BTreeMap<&'static str, Arc<dyn Tool>>,
    specs: Vec<ToolSpec>,
    core: Arc<Vec<ToolSpec>>,
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
        Self { tools, specs, core }
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

    /// The fixed core that every prompt offers.
    pub fn core(&self) -> Arc<Vec<ToolSpec>> {
        self.core.clone()
    }
}
