//! `[[log_source]]`: logs besides Docker's, each of one customer, under a name like a service's.

use std::path::PathBuf;

use serde::Serialize;

use super::{
    CustomerConfig, people,
    reader::{Reader, filled},
};
use crate::{
    domain::{CustomerId, ServiceName},
    logs::PathGlob,
};

/// `[[log_source]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogSourceConfig {
    /// Whose log it is.
    pub customer: CustomerId,
    /// Its name beside the containers' services.
    pub service: ServiceName,
    /// A glob over absolute paths of files; either this or `journal`.
    pub path: Option<String>,
    /// The folder of a systemd journal, or `system` for this machine's; either this or `path`.
    pub journal: Option<String>,
    /// Only this unit's entries of the journal.
    pub unit: Option<String>,
}

impl LogSourceConfig {
    /// The journal's folder; none for this machine's.
    pub fn journal_folder(&self) -> Option<PathBuf> {
        self.journal.as_deref().filter(|j| *j != SYSTEM).map(PathBuf::from)
    }
}

const SYSTEM: &str = "system";

/// The sources, in the file's order; a customer may be named by whatever `[[customer]]` calls it.
pub(super) fn log_sources(r: &mut Reader<'_>, customers: &[CustomerConfig]) -> Vec<LogSourceConfig> {
    let all = r.tables("log_source", |r| log_source(r, customers));
    all.into_iter().flatten().collect()
}

fn log_source(r: &mut Reader<'_>, customers: &[CustomerConfig]) -> Option<LogSourceConfig> {
    let customer = r.word_or_number("customer");
    let customer = r.need("customer", customer, "write the customer's id, such as \"19\"");
    let service = r.parsed("service", people::plain_name);
    let service = r.need("service", service, "name the log as answers shall call it, such as \"nginx\"");
    let path = r.parsed("path", |text| {
        let text = filled(text)?;
        PathGlob::new(&text).map(|_| text)
    });
    let journal = r.parsed("journal", |text| {
        let text = filled(text)?;
        if text == SYSTEM || text.starts_with('/') {
            Ok(text)
        } else {
            Err(format!("`{text}` is neither \"system\" nor an absolute path of a folder"))
        }
    });
    let unit = r.parsed("unit", unit);
    match (r.has("path"), r.has("journal")) {
        (false, false) => {
            r.bad("path", "is missing; write path = \"/var/log/nginx/shop-*.log\" or journal = \"system\"");
            return None;
        }
        (true, true) => r.bad("journal", "does not go with path; write a [[log_source]] for each"),
        (true, false) if r.has("unit") => r.bad("unit", "belongs to a journal; files have no units"),
        (true, false) | (false, true) => {}
    }
    if path.is_none() && journal.is_none() {
        return None;
    }
    let customer = known(&customer?, customers);
    Some(LogSourceConfig { customer, service: ServiceName::new(service?), path, journal, unit })
}

/// The id of the customer that has this name; of one that the file does not describe, the name is the id.
pub(super) fn known(named: &str, customers: &[CustomerConfig]) -> CustomerId {
    let same = |text: &str| text.to_lowercase() == named.to_lowercase();
    let by_id = customers.iter().find(|c| same(c.customer.id.as_str()));
    let by_name = || {
        customers.iter().find(|c| {
            let c = &c.customer;
            c.name.iter().chain(&c.aliases).chain(&c.domain).any(|n| same(n))
        })
    };
    by_id.or_else(by_name).map_or_else(|| CustomerId::new(named), |c| c.customer.id.clone())
}

fn unit(text: &str) -> Result<String, String> {
    let text = filled(text)?;
    let good = |c: char| c.is_ascii_alphanumeric() || ":_.@\\-*?".contains(c);
    if text.chars().all(good) && text.len() <= 255 {
        Ok(text)
    } else {
        Err(format!("`{text}` is no unit's name, such as \"nginx.service\""))
    }
}
