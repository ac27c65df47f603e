//! From signals to incidents to cards, pure: what is one incident, what makes a sound, what stands in a chat. Time comes in as a
//! value; what has to be written comes out as [`Changes`].

mod board;
mod card;
pub mod checklist;
mod desk;
pub mod digest;
pub mod expr;
mod group;
mod matcher_text;
mod matching;
pub mod oncall;
pub mod silencing;
mod storm_card;
pub mod tell;
#[cfg(test)]
pub(crate) mod testing;

pub use board::{Board, BoardRow, Job, Page, Reach, Storm};
pub use desk::{Desk, Refusal, Restored};
pub use matcher_text::{check_regex, is_label_name, parse_matcher, written};
pub use matching::Conditions;

use std::{fmt, sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use crate::{
    domain::{Alert, CustomerId, Incident, IncidentEvent, Labels, Matcher, Signal, Silence, Subject},
    policy::Window,
};

/// How alerts become incidents.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The labels that make one incident, after customer and service where these are known.
    pub group_by: Vec<String>,
    /// How long the first page waits for what belongs to it; a critical one never does.
    pub group_wait: Duration,
    /// For how long nothing may fire before an incident is over.
    pub hold_down: Duration,
    /// So many changes within the span make an incident flap.
    pub flapping: (usize, Duration),
    /// How long an acknowledgement of something critical holds.
    pub ack_lifetime: Duration,
    /// The ladder: how long after the first page nobody may have answered for each further step.
    pub ladder: Vec<Duration>,
    /// When warnings make no sound.
    pub quiet: Option<Window>,
    /// What larger alert explains which other.
    pub inhibit: Vec<Inhibit>,
    /// The zone of the times that people read.
    pub zone: TimeZone,
    /// What stands on cards besides the alerts' own words.
    pub cards: CardRules,
}

/// What an alert suggests: buttons' labels and their commands.
pub type Suggest = Arc<dyn Fn(&Labels, &Subject) -> Vec<(String, String)> + Send + Sync>;

/// What stands on cards besides the alerts' own words.
#[derive(Clone)]
pub struct CardRules {
    /// Only runbooks on these hosts get a button.
    pub runbook_hosts: Vec<String>,
    /// How a customer is called (`19 Bloom Flowers`).
    pub customer: Arc<dyn Fn(&CustomerId) -> String + Send + Sync>,
    /// The playbooks that an alert suggests.
    pub suggest: Suggest,
}

impl fmt::Debug for CardRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardRules").field("runbook_hosts", &self.runbook_hosts).finish_non_exhaustive()
    }
}

/// What a larger alert explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibit {
    /// The alert that explains.
    pub source: Vec<Matcher>,
    /// The alerts that it explains.
    pub target: Vec<Matcher>,
    /// Labels that both must have alike.
    pub equal: Vec<String>,
}

/// A signal with whom it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// What was reported.
    pub signal: Signal,
    /// Whom it is about.
    pub subject: Subject,
}

/// What has to be written, whole rows; a later change of the same row replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Incidents, new or changed.
    pub incidents: Vec<Incident>,
    /// Alerts, new or changed; those of resolved incidents are kept with them.
    pub alerts: Vec<Alert>,
    /// Silences, new or changed.
    pub silences: Vec<Silence>,
    /// What happened.
    pub events: Vec<IncidentEvent>,
}

impl Changes {
    /// Nothing has to be written.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.alerts.is_empty()
            && self.silences.is_empty()
            && self.events.is_empty()
    }
}

/// Whether a label set and its subject meet all conditions; regular expressions are anchored, one that is none matches nothing.
pub fn matches(matchers: &[Matcher], labels: &Labels, subject: &Subject) -> bool {
    matching::Conditions::new(matchers).hold(labels, subject)
}
