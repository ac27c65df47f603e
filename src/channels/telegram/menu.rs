//! Menus of buttons over customers, containers and the tools there are, so that a phone needs no typing.

use serde_json::{Map, Value};
use teloxide::types::MessageEntity;

use super::{Post, Rich, Tap, decode::one_line, post::DATA_LIMIT};
use crate::{
    domain::{Args, Customer, CustomerId, ParamKind, Risk, Role, ServiceName, ToolCall, ToolSpec},
    engine::{Directory, commands},
};

/// What the data of a button starts with that runs a command (`t:/check_up 19`).
pub const RUN: &str = "t:";
/// What the data of a button starts with that leads to another menu.
pub const GO: &str = "m:";

/// Customers or containers on one page.
const PAGE: usize = 8;
/// The longest label, in characters.
const LABEL: usize = 40;
/// Labels up to this length stand in two columns.
const SHORT: usize = 16;
/// Most commands, the longest name and the longest description that `setMyCommands` takes.
const COMMANDS: (usize, usize, usize) = (100, 32, 256);

/// Tools with a label of their own, in the order of their buttons: whether they stand with a customer, and with one of
/// its containers. A tool that is not here is placed by its parameters.
const KNOWN: &[(&str, &str, bool, bool)] = &[
    ("check_up", "Check-up", true, false),
    ("get_container_status", "Status", true, true),
    ("get_health_score", "Health score", true, false),
    ("get_metrics", "Metrics", true, true),
    ("list_active_alerts", "Alerts", true, false),
    ("get_recent_logs", "Logs", false, true),
    ("restart_container", "Restart…", false, true),
];

/// What menus are made from.
#[derive(Clone, Copy)]
pub struct Menu<'a> {
    /// Who and what there is.
    pub directory: &'a Directory,
    /// The tools of this build.
    pub specs: &'a [ToolSpec],
    /// Whose menu it is: viewers are offered no writes.
    pub role: Role,
    /// Keeps data that is too long for a button, and gives what stands for it there (at most 64 bytes).
    pub data: &'a dyn Fn(&str) -> String,
}

impl std::fmt::Debug for Menu<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Menu").field("role", &self.role).finish_non_exhaustive()
    }
}

/// Where a menu stands.
#[derive(Debug, PartialEq, Eq)]
enum Spot<'a> {
    Customers { page: usize },
    Customer { id: &'a str },
    Containers { page: usize, id: &'a str },
    Container { id: &'a str, service: &'a str },
}

impl<'a> Spot<'a> {
    fn read(data: &'a str) -> Option<Self> {
        let (kind, rest) = data.strip_prefix(GO)?.split_once(':')?;
        Some(match kind {
            "p" => Self::Customers { page: rest.parse().ok()? },
            "c" => Self::Customer { id: rest },
            "l" => {
                let (page, id) = rest.split_once(':')?;
                Self::Containers { page: page.parse().ok()?, id }
            }
            "s" => {
                // Names may hold any character, so a length tells where the first one ends.
                let (length, names) = rest.split_once(':')?;
                let (id, service) = names.split_at_checked(length.parse().ok()?)?;
                Self::Container { id, service }
            }
            _ => return None,
        })
    }

    fn data(&self) -> String {
        match self {
            Self::Customers { page } => format!("{GO}p:{page}"),
            Self::Customer { id } => format!("{GO}c:{id}"),
            Self::Containers { page, id } => format!("{GO}l:{page}:{id}"),
            Self::Container { id, service } => format!("{GO}s:{}:{id}{service}", id.len()),
        }
    }
}

impl Menu<'_> {
    /// The first menu: the customers.
    pub fn open(&self) -> Post {
        self.customers(0)
    }

    /// The menu that `data` leads to; none when it leads nowhere any more, and the menu is stale.
    pub fn navigate(&self, data: &str) -> Option<Post> {
        Some(match Spot::read(data)? {
            Spot::Customers { page } => self.customers(page),
            Spot::Customer { id } => self.customer(self.find(id)?),
            Spot::Containers { page, id } => self.containers(self.find(id)?, page),
            Spot::Container { id, service } => {
                let customer = self.find(id)?;
                let service = self.services(customer).find(|known| known.as_str() == service)?;
                self.container(customer, service)
            }
        })
    }

    fn customers(&self, page: usize) -> Post {
        let all = &self.directory.customers;
        if all.is_empty() {
            let text = "No customer is known yet: label containers with opsbot.customer and opsbot.service, or add \
                        [[customer]] to the configuration.";
            return Post::text(Rich::plain(text));
        }
        let taps = all.iter().map(|c| self.go(&name(c), &Spot::Customer { id: c.id.as_str() })).collect();
        let keyboard = self.paged(taps, page, |page| Spot::Customers { page });
        post("Customers", "Tap a customer, or ask in plain words; /help lists all commands.", keyboard)
    }

    fn customer(&self, customer: &Customer) -> Post {
        let id = customer.id.as_str();
        let mut taps = self.tools(&customer.id, None);
        let containers = self.services(customer).count();
        if containers > 0 {
            let label = format!("Containers ({containers})");
            taps.push(self.go(&label, &Spot::Containers { page: 0, id }));
        }
        let mut keyboard = rows(taps);
        let at = self.directory.customers.iter().position(|c| c.id == customer.id).unwrap_or(0);
        keyboard.push(vec![self.go("« Customers", &Spot::Customers { page: at / PAGE })]);
        let domain = customer.domain.as_deref().map(|domain| one_line(domain, LABEL)).unwrap_or_default();
        post(&name(customer), &domain, keyboard)
    }

    fn containers(&self, customer: &Customer, page: usize) -> Post {
        let id = customer.id.as_str();
        let taps = self
            .services(customer)
            .map(|s| self.go(s.as_str(), &Spot::Container { id, service: s.as_str() }))
            .collect();
        let mut keyboard = self.paged(taps, page, |page| Spot::Containers { page, id });
        keyboard.push(vec![self.go(&format!("« {}", name(customer)), &Spot::Customer { id })]);
        post(&format!("Containers of {}", name(customer)), "", keyboard)
    }

    fn container(&self, customer: &Customer, service: &ServiceName) -> Post {
        let id = customer.id.as_str();
        let mut keyboard = rows(self.tools(&customer.id, Some(service)));
        let at = self.services(customer).position(|known| known == service).unwrap_or(0);
        keyboard.push(vec![self.go("« Containers", &Spot::Containers { page: at / PAGE, id })]);
        let title = format!("{} of {}", one_line(service.as_str(), LABEL), name(customer));
        post(&title, "", keyboard)
    }

    /// Buttons of the tools that need no more than this customer and service.
    fn tools(&self, customer: &CustomerId, service: Option<&ServiceName>) -> Vec<Tap> {
        let place = |name: &str| KNOWN.iter().position(|(known, ..)| *known == name);
        let mut fitting: Vec<_> = self
            .specs
            .iter()
            .filter(|spec| may(self.role, spec))
            .filter(|spec| match place(spec.name).and_then(|n| KNOWN.get(n)) {
                Some((_, _, with_customer, with_container)) => {
                    if service.is_some() {
                        *with_container
                    } else {
                        *with_customer
                    }
                }
                None => belongs(spec, service.is_some()),
            })
            .filter_map(|spec| Some((place(spec.name), spec, filled(spec, customer, service)?)))
            .collect();
        fitting.sort_by_key(|(place, ..)| place.unwrap_or(KNOWN.len()));
        fitting
            .into_iter()
            .map(|(place, spec, command)| {
                let known = place.and_then(|n| KNOWN.get(n)).map(|(_, label, ..)| (*label).to_owned());
                self.tap(&known.unwrap_or_else(|| label(spec)), &format!("{RUN}{command}"))
            })
            .collect()
    }

    /// One page of `taps`, and a row that leads to the others.
    fn paged<'s>(&self, taps: Vec<Tap>, page: usize, spot: impl Fn(usize) -> Spot<'s>) -> Vec<Vec<Tap>> {
        let pages = taps.len().div_ceil(PAGE).max(1);
        let page = page.min(pages - 1);
        let mut keyboard = rows(taps.into_iter().skip(page * PAGE).take(PAGE).collect());
        if pages > 1 {
            let mut steps = Vec::new();
            if page > 0 {
                steps.push(self.go("◀", &spot(page - 1)));
            }
            steps.push(self.go(&format!("{}/{pages}", page + 1), &spot(page)));
            if page + 1 < pages {
                steps.push(self.go("▶", &spot(page + 1)));
            }
            keyboard.push(steps);
        }
        keyboard
    }

    fn find(&self, id: &str) -> Option<&Customer> {
        self.directory.customers.iter().find(|c| c.id.as_str() == id)
    }

    fn services<'s>(&'s self, customer: &'s Customer) -> impl Iterator<Item = &'s ServiceName> {
        self.directory.services.iter().filter(|(id, _)| *id == customer.id).map(|(_, service)| service)
    }

    fn go(&self, label: &str, to: &Spot<'_>) -> Tap {
        self.tap(label, &to.data())
    }

    fn tap(&self, label: &str, data: &str) -> Tap {
        let data = if data.len() <= DATA_LIMIT { data.to_owned() } else { (self.data)(data) };
        let label = one_line(label, LABEL);
        // Telegram takes no button without a label.
        Tap { label: if label.is_empty() { "?".into() } else { label }, data }
    }
}

/// The bot's menu of commands for `setMyCommands`, most useful first: name and description.
pub fn commands(specs: &[ToolSpec], role: Role) -> Vec<(String, String)> {
    let needs = |spec: &&ToolSpec| spec.params.iter().any(|p| p.required);
    let tools = specs.iter().filter(|spec| may(role, spec)).map(|spec| (needs(&spec), spec));
    let (asking, plain): (Vec<_>, Vec<_>) = tools.partition(|(needs, _)| *needs);
    let tools = plain.into_iter().chain(asking).map(|(_, spec)| (spec.name, spec.summary));
    let urgent = ["stop", "pending"];
    let (first, rest): (Vec<_>, Vec<_>) = commands::steering()
        .filter(|(name, _)| role >= least_role(name))
        .partition(|(name, _)| urgent.contains(name));
    let (most, longest_name, longest_text) = COMMANDS;
    let proper = |name: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        (1..=longest_name).contains(&name.len()) && name.chars().all(allowed)
    };
    std::iter::once(("menu", "customers and containers as buttons"))
        .chain(first)
        .chain(tools)
        .chain(rest)
        .filter(|(name, _)| proper(name))
        .map(|(name, text)| {
            let text = one_line(text, longest_text);
            (name.to_owned(), if text.is_empty() { name.to_owned() } else { text })
        })
        .take(most)
        .collect()
}

/// Who may use a steering command, as the engine decides again when it comes.
fn least_role(name: &str) -> Role {
    match name {
        "approve" | "deny" | "freeze" => Role::Operator,
        "unfreeze" => Role::Admin,
        _ => Role::Viewer,
    }
}

/// Whether a tool is worth offering; policy decides on every call.
fn may(role: Role, spec: &ToolSpec) -> bool {
    let risk = spec.floor.max(spec.default);
    risk < Risk::Blocked && (role > Role::Viewer || risk == Risk::Safe)
}

/// Where a tool without a place of its own stands: one that takes a service with a container, another that takes a
/// customer and changes nothing with that.
fn belongs(spec: &ToolSpec, with_container: bool) -> bool {
    let takes = |kind: &ParamKind| spec.params.iter().any(|p| p.kind == *kind);
    if with_container {
        takes(&ParamKind::Service)
    } else {
        takes(&ParamKind::Customer) && !takes(&ParamKind::Service) && !spec.is_write()
    }
}

/// The command with customer and service filled in; none when it needs more.
fn filled(spec: &ToolSpec, customer: &CustomerId, service: Option<&ServiceName>) -> Option<String> {
    let mut args = Map::new();
    for param in &spec.params {
        let value = match param.kind {
            ParamKind::Customer => Some(customer.to_string()),
            ParamKind::Service => service.map(ToString::to_string),
            ParamKind::Text | ParamKind::Integer { .. } | ParamKind::Duration => None,
        };
        match value {
            Some(value) => args.insert(param.name.into(), Value::from(value)),
            None if param.required => return None,
            None => None,
        };
    }
    Some(commands::command_for(&ToolCall { tool: spec.name.into(), args: Args(args) }))
}

fn name(customer: &Customer) -> String {
    let whole = match customer.name.as_deref().or(customer.domain.as_deref()) {
        Some(name) => format!("{} · {name}", customer.id),
        None => customer.id.to_string(),
    };
    one_line(&whole, LABEL)
}

/// A tool's name in words; an ellipsis where something is asked before it happens.
fn label(spec: &ToolSpec) -> String {
    let words = spec.name.trim_start_matches("get_").trim_start_matches("list_").replace('_', " ");
    let mut chars = words.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase()).unwrap_or_default();
    format!("{first}{}{}", chars.as_str(), if spec.is_write() { "…" } else { "" })
}

/// In two columns where all labels are short.
fn rows(taps: Vec<Tap>) -> Vec<Vec<Tap>> {
    let columns = if taps.iter().all(|tap| tap.label.chars().count() <= SHORT) { 2 } else { 1 };
    taps.chunks(columns).map(<[Tap]>::to_vec).collect()
}

fn post(title: &str, text: &str, keyboard: Vec<Vec<Tap>>) -> Post {
    let bold = MessageEntity::bold(0, title.encode_utf16().count());
    let text = if text.is_empty() { title.to_owned() } else { format!("{title}\n{text}") };
    Post { keyboard, ..Post::text(Rich { text, entities: vec![bold] }) }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{channels::telegram::Body, domain::Param};

    fn param(name: &'static str, kind: ParamKind, required: bool) -> Param {
        Param { name, kind, required, help: "" }
    }

    fn specs() -> Vec<ToolSpec> {
        let customer = || param("customer_id", ParamKind::Customer, true);
        let service = || param("service", ParamKind::Service, false);
        [
            ("check_up", Risk::Safe, vec![customer()]),
            ("list_customers", Risk::Safe, vec![]),
            ("get_container_status", Risk::Safe, vec![customer(), service()]),
            ("get_recent_logs", Risk::Safe, vec![customer(), service()]),
            ("search_output", Risk::Safe, vec![param("id", ParamKind::Text, true)]),
            ("restart_container", Risk::Confirm, vec![customer(), service()]),
            ("get_invoices", Risk::Safe, vec![customer()]),
            ("get_rows", Risk::Safe, vec![customer(), param("table", ParamKind::Text, true)]),
            ("modify_billing", Risk::Blocked, vec![customer()]),
        ]
        .into_iter()
        .map(|(name, floor, params)| ToolSpec {
            name,
            summary: "What it does.",
            params,
            floor,
            default: floor,
            untrusted: false,
            timeout: Duration::from_secs(1),
        })
        .collect()
    }

    fn directory(customers: usize) -> Directory {
        let customer = |n: usize| Customer {
            id: CustomerId::new(n.to_string()),
            name: Some(format!("Firm {n}")),
            aliases: vec![],
            domain: None,
            labels: BTreeMap::new(),
        };
        let services = ["web", "db"].map(|s| (CustomerId::from("3"), ServiceName::from(s))).to_vec();
        Directory { customers: (1..=customers).map(customer).collect(), services }
    }

    fn with<T>(directory: &Directory, role: Role, look: impl Fn(&Menu<'_>) -> T) -> T {
        let specs = specs();
        look(&Menu { directory, specs: &specs, role, data: &|_| "k:1".into() })
    }

    fn shown(post: &Post) -> Vec<Vec<(&str, &str)>> {
        post.keyboard
            .iter()
            .map(|row| row.iter().map(|t| (t.label.as_str(), t.data.as_str())).collect())
            .collect()
    }

    fn text(post: &Post) -> &str {
        match &post.body {
            Body::Text(rich) => &rich.text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn customers_come_in_pages_of_eight() {
        let directory = directory(19);
        let page =
            |n: usize| with(&directory, Role::Admin, |menu| menu.navigate(&format!("m:p:{n}")).unwrap());
        let first = with(&directory, Role::Admin, |menu| menu.open());
        assert_eq!(first, page(0));
        assert!(text(&first).starts_with("Customers\n"), "{first:?}");
        let rows = shown(&first);
        assert_eq!(rows[0], [("1 · Firm 1", "m:c:1"), ("2 · Firm 2", "m:c:2")]);
        assert_eq!((rows.len(), rows[4].clone()), (5, vec![("1/3", "m:p:0"), ("▶", "m:p:1")]));
        assert_eq!(shown(&page(1))[4], [("◀", "m:p:0"), ("2/3", "m:p:1"), ("▶", "m:p:2")]);
        let last = page(2);
        assert_eq!(shown(&last)[2], [("◀", "m:p:1"), ("3/3", "m:p:2")]);
        assert_eq!(page(999), last, "customers may have gone meanwhile");
        assert_eq!(
            shown(&with(&self::directory(2), Role::Admin, |menu| menu.open())).len(),
            1,
            "one page needs no steps"
        );
        let none = with(&self::directory(0), Role::Admin, |menu| menu.open());
        assert!(none.keyboard.is_empty() && text(&none).contains("[[customer]]"));
    }

    #[test]
    fn a_customer_and_a_container_offer_the_tools_that_fit() {
        let directory = directory(9);
        let at = |role, data| with(&directory, role, |menu| menu.navigate(data).unwrap());
        let customer = at(Role::Operator, "m:c:3");
        assert_eq!(
            shown(&customer).concat(),
            [
                ("Check-up", "t:/check_up 3"),
                ("Status", "t:/get_container_status 3"),
                ("Invoices", "t:/get_invoices 3"),
                ("Containers (2)", "m:l:0:3"),
                ("« Customers", "m:p:0"),
            ]
        );
        assert_eq!(text(&customer), "3 · Firm 3");
        assert_eq!(shown(&at(Role::Operator, "m:c:9")).concat().last(), Some(&("« Customers", "m:p:1")));
        let containers = at(Role::Operator, "m:l:0:3");
        assert_eq!(
            shown(&containers).concat(),
            [("web", "m:s:1:3web"), ("db", "m:s:1:3db"), ("« 3 · Firm 3", "m:c:3")]
        );
        let container = at(Role::Operator, "m:s:1:3web");
        let want = [
            ("Status", "t:/get_container_status 3 web"),
            ("Logs", "t:/get_recent_logs 3 web"),
            ("Restart…", "t:/restart_container 3 web"),
            ("« Containers", "m:l:0:3"),
        ];
        assert_eq!(shown(&container).concat(), want);
        let container = at(Role::Viewer, "m:s:1:3web");
        let labels = shown(&container).concat();
        assert!(!labels.iter().any(|(label, _)| label.starts_with("Restart")), "{labels:?}");
    }

    #[test]
    fn what_leads_nowhere_is_stale() {
        let directory = directory(4);
        let table = [
            "",
            "m:",
            "m:p:x",
            "m:p:-1",
            "m:z:1",
            "m:c:99",
            "m:c:",
            "m:l:3",
            "m:l:0:99",
            "m:s:1:3cache",
            "m:s:9:3web",
            "m:s:x:3web",
            "t:/check_up 3",
            "a:1",
        ];
        for data in table {
            assert_eq!(with(&directory, Role::Admin, |menu| menu.navigate(data)), None, "{data}");
        }
    }

    #[test]
    fn strange_and_long_names_lead_back_to_themselves() {
        let ids = ["a:b", "ä", "two words", &"x".repeat(80), "\u{202e}"];
        let customer = |id: &str| Customer {
            id: id.into(),
            name: None,
            aliases: vec![],
            domain: None,
            labels: BTreeMap::new(),
        };
        let directory = Directory {
            customers: ids.iter().map(|id| customer(id)).collect(),
            services: ids.iter().map(|id| (CustomerId::from(*id), ServiceName::from("1:web"))).collect(),
        };
        let specs = specs();
        let kept = RefCell::new(Vec::new());
        let keep = |data: &str| {
            kept.borrow_mut().push(data.to_owned());
            format!("k:{}", kept.borrow().len() - 1)
        };
        let menu = Menu { directory: &directory, specs: &specs, role: Role::Admin, data: &keep };
        let full = |data: &str| match data.strip_prefix("k:") {
            Some(n) => kept.borrow()[n.parse::<usize>().unwrap()].clone(),
            None => data.to_owned(),
        };
        let mut leaves = 0;
        let mut open = vec![menu.open()];
        for _ in 0..3 {
            let taps: Vec<_> = open.drain(..).flat_map(|post| post.keyboard.concat()).collect();
            for tap in taps {
                assert!(tap.data.len() <= DATA_LIMIT && !tap.label.is_empty(), "{tap:?}");
                let data = full(&tap.data);
                match data.strip_prefix(RUN) {
                    Some(command) => {
                        let read = commands::parse(command, &specs);
                        assert!(matches!(read, Some(Ok(commands::Command::Tool(_)))), "{command}: {read:?}");
                        leaves += 1;
                    }
                    None => open.push(menu.navigate(&data).unwrap_or_else(|| panic!("{data}"))),
                }
            }
        }
        assert!(leaves >= ids.len() * 3, "{leaves}");
    }

    #[test]
    fn the_command_menu_keeps_to_telegrams_limits_and_to_the_role() {
        let names =
            |role| -> Vec<String> { commands(&specs(), role).into_iter().map(|(name, _)| name).collect() };
        assert_eq!(
            names(Role::Viewer),
            [
                "menu",
                "stop",
                "pending",
                "list_customers",
                "check_up",
                "get_container_status",
                "get_recent_logs",
                "search_output",
                "get_invoices",
                "get_rows",
                "help",
                "status",
                "whoami",
                "version"
            ]
        );
        assert!(names(Role::Operator).contains(&"restart_container".into()));
        assert!(!names(Role::Operator).contains(&"unfreeze".into()));
        assert!(names(Role::Admin).contains(&"unfreeze".into()));
        let mut many = specs();
        let odd = |name| ToolSpec { name, summary: "", ..specs()[0].clone() };
        many.extend(["Odd-Name", "a_name_that_is_much_longer_than_telegram_takes", "plain"].map(odd));
        many.extend(std::iter::repeat_n(odd("more"), 200));
        let all = commands(&many, Role::Admin);
        assert_eq!(all.len(), 100);
        for (name, text) in &all {
            assert!(name.len() <= 32 && (1..=256).contains(&text.chars().count()), "{name}: {text}");
        }
        assert!(all.iter().any(|(name, text)| name == "plain" && text == "plain"));
    }
}
