//! The policy: all rules, checked against the tools and against their own examples.

use std::collections::BTreeSet;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    example::Example,
    matching::{Facts, Match},
    rule::Rule,
};
use crate::domain::{
    Risk, ToolSpec,
    tool::{canonical, hex},
};

/// Checked rules with their version.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    version: String,
}

impl Policy {
    /// Checks `rules` against the tools of this build and against their examples; returns warnings too.
    ///
    /// # Errors
    /// All that is wrong, each with the rule's id and the cure.
    pub fn new(rules: Vec<Rule>, specs: &[ToolSpec]) -> Result<(Self, Vec<String>), Vec<String>> {
        let mut warnings = Vec::new();
        let mut errors = Vec::new();
        let mut ids = BTreeSet::new();
        for rule in &rules {
            if !ids.insert(rule.id.as_str()) {
                errors.push(format!("rule {}: another rule has the same id; give each its own", rule.id));
            }
            check_tools(rule, specs, &mut errors, &mut warnings);
            check_examples(rule, specs, &mut errors, &mut warnings);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let version = hex(&Sha256::digest(canonical(&json!(rules)).as_bytes()));
        Ok((Self { rules, version }, warnings))
    }

    /// SHA-256 of the canonical rules, hexadecimal: another text, another version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The rules, as configured.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// Whether it would make a call of this tool less risky than the tool's default.
    pub(super) fn loosens(&self, spec: Option<&ToolSpec>) -> bool {
        spec.map_or(self.effect == Risk::Safe, |spec| self.effect < spec.default)
    }
}

fn check_tools(rule: &Rule, specs: &[ToolSpec], errors: &mut Vec<String>, warnings: &mut Vec<String>) {
    for pattern in rule.when.tools.iter().flatten() {
        let named: Vec<_> = specs.iter().filter(|spec| pattern.matches(spec.name)).collect();
        if named.is_empty() {
            let what = if pattern.is_word() { "the tool" } else { "any tool that fits" };
            warnings.push(format!(
                "rule {}: this build does not have {what} `{pattern}`; until it has, the rule's examples are judged \
                 by its conditions alone",
                rule.id
            ));
        } else if let Some(floor) =
            named.iter().map(|spec| spec.floor).min().filter(|floor| *floor > rule.effect)
        {
            errors.push(format!(
                "rule {}: effect `{}` is below the floor `{floor}` of `{pattern}`, which no rule can loosen; make the \
                 effect `{floor}` or stricter, or remove `{pattern}` from `tools`",
                rule.id, rule.effect
            ));
        }
    }
}

fn check_examples(rule: &Rule, specs: &[ToolSpec], errors: &mut Vec<String>, warnings: &mut Vec<String>) {
    let sides = [("match", &rule.matches, Match::Yes), ("not_match", &rule.not_matches, Match::No)];
    for (key, example, want) in
        sides.iter().flat_map(|(key, list, want)| list.iter().map(move |e| (key, e, want)))
    {
        let spec = specs.iter().find(|spec| spec.name == example.call.tool);
        warnings.extend(spec.and_then(|spec| stray_argument(rule, example, spec)));
        let got = rule.when.hold(&Facts::of_example(example), rule.loosens(spec));
        let what = match &got {
            got if got == want => continue,
            Match::Unsaid(how) => format!("does not say enough; add {}", how.join(", ")),
            Match::Yes => "matches the rule; change the rule or the example".into(),
            Match::No => "does not match the rule; change the rule or the example".into(),
        };
        errors.push(format!("rule {}: the `{key}` example `{}` {what}", rule.id, example.text));
    }
}

fn stray_argument(rule: &Rule, example: &Example, spec: &ToolSpec) -> Option<String> {
    let stray = example.call.args.0.keys().find(|key| !spec.params.iter().any(|p| p.name == key.as_str()))?;
    Some(format!(
        "rule {}: the example `{}` gives `{stray}`, which {} does not take",
        rule.id, example.text, spec.name
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{rule::RawRule, testing::specs};
    use super::*;

    fn load(toml: &str) -> Result<(Policy, Vec<String>), Vec<String>> {
        #[derive(serde::Deserialize)]
        struct File {
            rule: Vec<RawRule>,
        }
        let file: File = toml::from_str(toml).unwrap();
        Policy::new(file.rule.into_iter().map(|r| r.read().unwrap()).collect(), &specs())
    }

    const DESIGN: &str = r#"
        [[rule]]
        id = "gold-needs-two"
        effect = "two_person"
        tools = ["restart_container", "run_playbook"]
        targets = ["label:tier=gold"]
        reason = "gold customers need a second pair of eyes"
        match = ["restart_container(customer_id=19, service=web) as operator on telegram with tier=gold"]
        not_match = ["get_metrics(customer_id=19) as operator on telegram"]
        [[rule]]
        id = "weekend-freeze"
        effect = "blocked"
        tools = ["run_playbook"]
        roles = ["operator"]
        args = { name = { not = ["free-disk"] } }
        during = "Fri 18:00-Mon 06:00 Europe/Berlin"
        reason = "change freeze"
        match = ["run_playbook(name=rotate, customer_id=7) as operator on discord at 2026-11-21T23:00"]
        not_match = ["run_playbook(name=rotate, customer_id=7) as admin on discord at 2026-11-21T23:00"]
    "#;

    #[test]
    fn the_designs_rules_load_with_a_warning_for_a_tool_that_is_not_here() {
        let (policy, warnings) = load(DESIGN).unwrap();
        assert_eq!(policy.rules().len(), 2);
        assert_eq!(policy.version().len(), 64);
        assert!(warnings.len() == 2 && warnings.iter().all(|w| w.contains("`run_playbook`")), "{warnings:?}");
        let (again, _) = load(DESIGN).unwrap();
        assert_eq!(policy.version(), again.version());
        let (other, _) = load(&DESIGN.replace("Mon 06:00", "Mon 07:00")).unwrap();
        assert_ne!(policy.version(), other.version());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rule = |body: &str| format!("[[rule]]\nid = 'r'\nreason = 'x'\n{body}\n");
        let table = [
            (rule("effect = 'safe'\ntools = ['restart_container']"), "floor"),
            (rule("effect = 'safe'\ntools = ['get_metrics', 'restart_container']"), "floor"),
            (rule("effect = 'safe'\ntools = ['restart_*']"), "floor"),
            (rule("effect = 'confirm'\ntools = ['delete_customer_data']"), "floor `blocked`"),
            (rule("effect = 'two_person'\ntools = 'delete_*'"), "floor"),
            (rule("effect = 'blocked'") + &rule("effect = 'blocked'"), "same id"),
            (
                rule("effect = 'confirm'\nroles = 'viewer'\nmatch = 'get_metrics(customer_id=1)'"),
                "add `as ROLE`",
            ),
            (rule("effect = 'confirm'\nroles = 'viewer'\nnot_match = 'get_metrics()'"), "add `as ROLE`"),
            (rule("effect = 'confirm'\nduring = 'daily 01:00-02:00 UTC'\nmatch = 't()'"), "add `at TIME`"),
            (rule("effect = 'confirm'\ntargets = 'container:a'\nmatch = 't()'"), "add `touching"),
            (
                rule("effect = 'confirm'\nroles = 'viewer'\nmatch = 't() as admin'"),
                "`t() as admin` does not match",
            ),
            (
                rule("effect = 'confirm'\nroles = 'viewer'\nnot_match = 't() as viewer'"),
                "`t() as viewer` matches",
            ),
        ];
        for (toml, part) in table {
            let errors = load(&toml).unwrap_err();
            assert!(errors.iter().any(|e| e.contains("rule r") && e.contains(part)), "{toml}: {errors:?}");
        }
        for fine in [
            "effect = 'safe'\ntools = ['get_*']",
            "effect = 'safe'",
            "effect = 'confirm'\ntools = ['restart_container']",
            "effect = 'safe'\ntools = ['*']",
            "effect = 'blocked'\ntools = ['delete_customer_data']",
        ] {
            load(&rule(fine)).unwrap();
        }
    }

    #[test]
    fn examples_match_by_all_conditions() {
        // (conditions, example, matches)
        let table = [
            ("targets = 'customer:19'", "t(customer_id=19)", true),
            ("targets = 'customer:19'", "t(customer_id=190)", false),
            ("targets = 'customer:19'", "t()", false),
            ("targets = ['service:db', 'service:redis']", "t(service=redis)", true),
            ("targets = 'service:db'", "t(service=web)", false),
            ("targets = 'label:tier=gold'", "t() with tier=gold", true),
            ("targets = 'label:tier=gold'", "t() with tier=silver", false),
            ("targets = 'label:tier=*'", "t() with tier=silver", true),
            ("targets = 'container:shop-*'", "t() touching local/shop-web", true),
            ("targets = 'container:shop-*'", "t() touching local/blog-web", false),
            ("targets = 'host:b'", "t() touching a/x, b/y", true),
            ("args = { name = 'rot*' }", "t(name=rotate)", true),
            ("args = { name = ['a', 'b'] }", "t(name=c)", false),
            ("args = { name = { not = ['a'] } }", "t(name=a)", false),
            ("args = { name = { not = 'a' } }", "t()", true),
            ("args = { lines = 500 }", "t(lines=500)", true),
            ("people = 'anna'", "t() by anna", true),
            ("people = 'anna'", "t() by ben", false),
            ("channels = ['telegram', 'discord']", "t() on discord", true),
            ("channels = ['telegram']", "t() on console", false),
            ("origin = 'voice'", "t() via voice", true),
            ("origin = ['voice']", "t() via typed", false),
            ("during = 'daily 22:00-06:00 UTC'", "t() at 2026-01-01T23:00", true),
            ("during = 'daily 22:00-06:00 Europe/Berlin'", "t() at 2026-01-01T21:30:00Z", true),
            ("during = 'daily 22:00-06:00 UTC'", "t() at 2026-01-01T21:30", false),
            ("tools = 'x'\nroles = 'admin'", "t()", false),
        ];
        for (conditions, example, matches) in table {
            let key = if matches { "match" } else { "not_match" };
            let other = if matches { "not_match" } else { "match" };
            let toml = |key| {
                format!("[[rule]]\nid='r'\nreason='x'\neffect='confirm'\n{conditions}\n{key} = '{example}'")
            };
            load(&toml(key)).unwrap_or_else(|e| panic!("{conditions} on {example}: {e:?}"));
            assert!(load(&toml(other)).is_err(), "{conditions} on {example}");
        }
    }

    #[test]
    fn an_example_with_a_stray_argument_is_noticed() {
        let toml = "[[rule]]\nid='r'\nreason='x'\neffect='confirm'\ntools='get_metrics'\nnot_match='list_customers(customer=19)'";
        let (_, warnings) = load(toml).unwrap();
        assert!(warnings.iter().any(|w| w.contains("`customer`, which list_customers")), "{warnings:?}");
    }
}
