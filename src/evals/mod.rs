//! The evals: what people ask, put to the real engine over a site of canned answers, and scored by code.
//!
//! [`cases`] are built in, so an installed box can judge its own model. Nothing here touches the user's store, Docker or
//! policy: each case has a store in memory and tools that resolve for real and answer from the case.

pub mod case;
mod matching;
mod numbers;
pub mod report;
pub mod run;
pub mod score;
mod seen;
pub mod site;

pub use case::{Case, Half, Kind, Style, cases};
pub use run::{Bench, BenchError};
pub use score::{Marks, Outcome};
