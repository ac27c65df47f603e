//! Menus of buttons over customers, containers and the tools there are, so that a phone needs no typing.

mod help;
#[cfg(test)]
mod tests;

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
    ("start_container", "Start…", false, true),
    ("stop_container", "Stop…", false, true),
    ("get_disk_usage", "Disk", true, false),
    ("image_updates", "Image updates", true, false),
    // The button that leads to a customer's containers shows the same.
    ("list_containers", "All containers", false, false),
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
    Customers {
        page: usize,
    },
    Customer {
        id: &'a str,
    },
    Containers {
        page: usize,
        id: &'a str,
    },
    Container {
        id: &'a str,
        service: &'a str,
    },
    /// The customers for a command that lacks one.
    Whose {
        page: usize,
        tool: &'a str,
    },
    Help,
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
            "t" => {
                let (page, tool) = rest.split_once(':')?;
                Self::Whose { page: page.parse().ok()?, tool }
            }
            "h" if rest.is_empty() => Self::Help,
            _ => return None,
        })
    }

    fn data(&self) -> String {
        match self {
            Self::Customers { page } => format!("{GO}p:{page}"),
            Self::Customer { id } => format!("{GO}c:{id}"),
            Self::Containers { page, id } => format!("{GO}l:{page}:{id}"),
            Self::Container { id, service } => format!("{GO}s:{}:{id}{service}", id.len()),
            Self::Whose { page, tool } => format!("{GO}t:{page}:{tool}"),
            Self::Help => format!("{GO}h:"),
        }
    }
}

impl Menu<'_> {
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
            Spot::Whose { page, tool } => {
                let spec = self.specs.iter().find(|spec| spec.name == tool && asks_whose(self.role, spec))?;
                self.whose(spec, page)
            }
            Spot::Help => self.help(),
        })
    }

    fn customers(&self, page: usize) -> Post {
        let all = &self.directory.customers;
        if all.is_empty() {
            return nobody();
        }
        let taps = all.iter().map(|c| self.go(&name(c), &Spot::Customer { id: c.id.as_str() })).collect();
        let keyboard = self.paged(taps, page, |page| Spot::Customers { page });
        post("Customers", "Tap a customer, or ask in plain words; /help lists all commands.", keyboard)
    }

    /// The customers for a tool that needs one. Before a write its container is chosen as well.
    fn whose(&self, spec: &ToolSpec, page: usize) -> Post {
        if self.directory.customers.is_empty() {
            return nobody();
        }
        let narrow = spec.is_write() && belongs(spec, true);
        let taps = self.directory.customers.iter().filter_map(|customer| {
            let (label, id) = (name(customer), customer.id.as_str());
            if narrow && self.services(customer).next().is_some() {
                return Some(self.go(&label, &Spot::Containers { page: 0, id }));
            }
            Some(self.tap(&label, &format!("{RUN}{}", filled(spec, &customer.id, None)?)))
        });
        let keyboard = self.paged(taps.collect(), page, |page| Spot::Whose { page, tool: spec.name });
        post(&format!("Whose? {}", label(spec)), spec.summary, keyboard)
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
        Tap::new(if label.is_empty() { "?".into() } else { label }, data)
    }
}

/// The page that answers `text`: the customers, the help, or whose it is for a command that lacks nothing but that.
pub fn page_for(text: &str, role: Role, specs: &[ToolSpec]) -> Option<String> {
    let mut words = text.split_whitespace();
    let (command, bare) = (words.next()?.strip_prefix('/')?, words.next().is_none());
    let spot = match command {
        "menu" | "start" => Spot::Customers { page: 0 },
        "help" if bare => Spot::Help,
        tool if bare => {
            let spec = commands::tool(tool, specs).filter(|spec| asks_whose(role, spec))?;
            Spot::Whose { page: 0, tool: spec.name }
        }
        _ => return None,
    };
    Some(spot.data())
}

/// The bot's menu of commands for `setMyCommands`, most useful first: name and description.
pub fn commands(specs: &[ToolSpec], role: Role) -> Vec<(String, String)> {
    let needs = |spec: &&ToolSpec| spec.params.iter().any(|p| p.required);
    let tools = specs.iter().filter(|spec| may(role, spec)).map(|spec| (needs(&spec), spec));
    let (asking, plain): (Vec<_>, Vec<_>) = tools.partition(|(needs, _)| *needs);
    let tools = plain.into_iter().chain(asking).map(|(_, spec)| (commands::short(spec.name), spec.summary));
    let urgent = ["stop", "pending"];
    let (first, rest): (Vec<_>, Vec<_>) = commands::steering()
        .filter(|(name, ..)| role >= least_role(name))
        .map(|(name, _, what)| (name, what))
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
        "approve" | "deny" | "freeze" | "ack" | "silence" | "unsilence" => Role::Operator,
        "unfreeze" | "pair" | "reload" => Role::Admin,
        _ => Role::Viewer,
    }
}

/// Whether a tool lacks nothing but its customer when its command comes alone.
fn asks_whose(role: Role, spec: &ToolSpec) -> bool {
    let mut needed = spec.params.iter().filter(|p| p.required);
    may(role, spec) && needed.next().is_some_and(|p| p.kind == ParamKind::Customer) && needed.next().is_none()
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
            ParamKind::Text | ParamKind::Integer { .. } | ParamKind::Duration | ParamKind::Choice(_) => None,
        };
        match value {
            Some(value) => args.insert(param.name.into(), Value::from(value)),
            None if param.required => return None,
            None => None,
        };
    }
    Some(commands::command_for(&ToolCall { tool: spec.name.into(), args: Args(args) }))
}

fn nobody() -> Post {
    let text = "No customer is known yet: label containers with opsbot.customer and opsbot.service, or add \
                [[customer]] to the configuration.";
    Post::text(Rich::plain(text))
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
