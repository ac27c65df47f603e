//! Who may do what, and what must be asked: pure decisions over values.

pub mod approval;
pub mod book;
pub mod example;
pub mod fence;
pub mod judge;
mod matching;
mod name_match;
pub mod pairing;
pub mod pattern;
pub mod permit;
#[cfg(test)]
mod properties;
pub mod redact;
#[cfg(test)]
mod redact_tests;
pub mod redeem;
pub mod rule;
pub mod steps;
pub mod taint;
#[cfg(test)]
mod testing;
pub mod window;
mod words;

pub use approval::{Approval, Ask, LIFETIME, Ruling, Verb, card, rule_on, supersedes};
pub use book::Policy;
pub use example::{Example, Moment, parse_call};
pub use fence::fence;
pub use judge::{Decider, Question, Verdict, judge, permit_safe};
pub use pattern::{ArgCond, Pattern, TargetPattern};
pub use permit::Permit;
pub use redact::Redactor;
pub use redeem::{Redeem, redeem};
pub use rule::{Conditions, RawRule, Rule};
pub use steps::{judge_whole, permit_step};
pub use taint::{Known, Naming, Spoken, named};
pub use window::Window;
pub use words::own_words;
