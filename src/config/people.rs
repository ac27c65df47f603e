//! People and customers: whoever has a name, and the clashes between names.

use std::collections::BTreeMap;

use globset::Glob;

use super::{
    CustomerConfig, Person,
    reader::{Reader, filled},
};
use crate::domain::{Customer, CustomerId, PersonName, Role};

/// `[[person]]`, in the file's order.
pub(super) fn people(r: &mut Reader<'_>) -> Vec<Person> {
    let mut taken = Taken::default();
    let people = r.tables("person", |r| {
        let name = r.parsed("name", plain_name);
        let name = r.need("name", name, "write the name that cards and audit shall show");
        let role = r.parsed("role", str::parse::<Role>);
        let role = r.need("role", role, "write viewer, operator or admin");
        let unix_user = r.parsed("unix_user", account);
        let telegram_id = r.integer("telegram_id", 1, i64::MAX);
        let discord_id = r.integer("discord_id", 1, i64::MAX).map(i64::unsigned_abs);
        let (telegram, discord) = (telegram_id.map(|n| n.to_string()), discord_id.map(|n| n.to_string()));
        taken.claim(r, "name", name.as_deref());
        taken.claim(r, "unix_user", unix_user.as_deref());
        taken.claim(r, "telegram_id", telegram.as_deref());
        taken.claim(r, "discord_id", discord.as_deref());
        Some(Person { name: PersonName::new(name?), role: role?, unix_user, telegram_id, discord_id })
    });
    people.into_iter().flatten().collect()
}

/// `[[customer]]`, in the file's order.
pub(super) fn customers(r: &mut Reader<'_>) -> Vec<CustomerConfig> {
    let mut taken = Taken::default();
    let customers = r.tables("customer", |r| {
        let id = r.word_or_number("id");
        let id = r.need("id", id, "write the customer's id, such as \"19\"");
        let name = r.string("name");
        let aliases = r.list("aliases", filled);
        let domain = r.string("domain");
        let labels: BTreeMap<_, _> = r.texts("labels").into_iter().collect();
        let containers = r.list("containers", |text| {
            let glob = filled(text)?;
            Glob::new(&glob).map(|_| glob).map_err(|e| format!("is no glob: {}", e.kind()))
        });
        // Whatever a person may call a customer must mean that one only: ids, names and aliases share one space.
        let mut mine = Vec::new();
        let names = [("id", id.as_deref()), ("name", name.as_deref()), ("domain", domain.as_deref())];
        let names = names.into_iter().filter_map(|(key, n)| n.map(|n| (key, n)));
        for (key, text) in names.chain(aliases.iter().map(|a| ("aliases", a.as_str()))) {
            if !mine.contains(&text.to_lowercase()) {
                taken.claim_as(r, key, "", text);
                mine.push(text.to_lowercase());
            }
        }
        let customer = Customer { id: CustomerId::new(id?), name, aliases, domain, labels };
        Some(CustomerConfig { customer, containers })
    });
    customers.into_iter().flatten().collect()
}

/// A name for a person or host: short, with no colon (keys are built with it) and nothing unprintable.
pub(super) fn plain_name(text: &str) -> Result<String, String> {
    PersonName::parse(&filled(text)?).map(|name| name.to_string())
}

fn account(text: &str) -> Result<String, String> {
    let name = filled(text)?;
    if name.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("`{name}` is a number; write the account's name (`id -un {name}` prints it)"));
    }
    if name.chars().any(|c| c.is_whitespace() || ":/".contains(c)) {
        return Err(format!("`{name}` is no account's name"));
    }
    Ok(name)
}

/// Who has which name already.
#[derive(Default)]
pub(super) struct Taken(BTreeMap<(&'static str, String), usize>);

impl Taken {
    /// Takes `text`, if there is any, as this entry's own `key`.
    pub(super) fn claim(&mut self, r: &Reader<'_>, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.claim_as(r, key, key, text);
        }
    }

    /// Takes `text` in the space `space`, compared without case; notes a fault at `key` when it is gone.
    fn claim_as(&mut self, r: &Reader<'_>, key: &str, space: &'static str, text: &str) {
        let slot = (space, text.to_lowercase());
        match self.0.get(&slot) {
            Some(line) => {
                r.bad(key, format!("`{text}` is taken by the entry in line {line}; each may stand once"))
            }
            None => {
                self.0.insert(slot, r.line());
            }
        }
    }
}
