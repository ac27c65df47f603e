//! Menus over a small directory: what they offer, and where their buttons lead.

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
        ("stop_container", Risk::Confirm, vec![customer(), service()]),
        ("start_container", Risk::Confirm, vec![customer(), service()]),
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
        phrases: &[],
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
    let page = |n: usize| with(&directory, Role::Admin, |menu| menu.navigate(&format!("m:p:{n}")).unwrap());
    let first = with(&directory, Role::Admin, |menu| menu.navigate("m:p:0").unwrap());
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
        shown(&with(&self::directory(2), Role::Admin, |menu| menu.navigate("m:p:0").unwrap())).len(),
        1,
        "one page needs no steps"
    );
    let none = with(&self::directory(0), Role::Admin, |menu| menu.navigate("m:p:0").unwrap());
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
        ("Start…", "t:/start_container 3 web"),
        ("Stop…", "t:/stop_container 3 web"),
        ("« Containers", "m:l:0:3"),
    ];
    assert_eq!(shown(&container).concat(), want);
    let container = at(Role::Viewer, "m:s:1:3web");
    let labels = shown(&container).concat();
    assert!(!labels.iter().any(|(label, _)| label.ends_with('…')), "{labels:?}");
}

#[test]
fn a_command_that_lacks_its_customer_asks_whose() {
    let page = |text: &str, role| page_for(text, role, &specs());
    let table = [
        ("/menu", Some("m:p:0")),
        ("/start ref", Some("m:p:0")),
        ("/help", Some("m:h:")),
        ("/help check_up", None),
        ("/check_up", Some("m:t:0:check_up")),
        ("/check_up 3", None),
        ("/customers", None),
        ("/search_output", None),
        ("/get_rows", None),
        ("/modify_billing", None),
        ("/menus", None),
        ("menu", None),
        ("", None),
    ];
    for (text, want) in table {
        assert_eq!(page(text, Role::Operator).as_deref(), want, "{text}");
    }
    assert_eq!(page("/restart_container", Role::Viewer), None);
    let to = page("/restart_container", Role::Operator).unwrap();
    let directory = directory(4);
    let post = with(&directory, Role::Operator, |menu| menu.navigate(&to).unwrap());
    let taps = shown(&post).concat();
    assert_eq!(taps[2..], [("3 · Firm 3", "m:l:0:3"), ("4 · Firm 4", "t:/restart_container 4")]);
    let post = with(&directory, Role::Viewer, |menu| menu.navigate("m:t:0:check_up").unwrap());
    assert_eq!(shown(&post).concat()[0], ("1 · Firm 1", "t:/check_up 1"));
}

#[test]
fn help_is_grouped_and_fits_a_message_and_a_role() {
    let help = |role| with(&directory(0), role, |menu| menu.navigate("m:h:").unwrap());
    let admin = help(Role::Admin);
    for part in [
        "Look\n/check_up – What it does.\n/customers –",
        "Change, after a yes\n/restart_container –",
        "/unfreeze –",
        "Never, whoever asks: modify billing.",
    ] {
        assert!(text(&admin).contains(part), "{part}\n{}", text(&admin));
    }
    let Body::Text(rich) = &admin.body else { panic!() };
    let units: Vec<u16> = rich.text.encode_utf16().collect();
    let of = |e: &MessageEntity| String::from_utf16(&units[e.offset..e.offset + e.length]).unwrap();
    let code = |e: &&MessageEntity| e.kind == teloxide::types::MessageEntityKind::Code;
    let coded: Vec<_> = rich.entities.iter().filter(code).map(of).collect();
    assert_eq!(
        coded,
        [
            "/search_output <id>",
            "/get_rows <customer_id> <table>",
            "/approve ID",
            "/deny ID",
            "/ack N",
            "/silence N [30m | until 08:00 | MATCHERS for 2h]",
            "/unsilence ID",
            "/incident N",
            "/investigate N"
        ]
    );
    let viewer = help(Role::Viewer);
    assert!(!text(&viewer).contains("restart") && !text(&viewer).contains("unfreeze"), "{viewer:?}");
    assert_eq!(shown(&viewer).concat()[0], ("Customers", "m:p:0"));
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
        "m:t:0:nothing",
        "m:t:0:list_customers",
        "m:t:0:modify_billing",
        "m:h:x",
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
    let mut open = vec![menu.navigate("m:p:0").unwrap()];
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
            "customers",
            "check_up",
            "get_container_status",
            "get_recent_logs",
            "search_output",
            "get_invoices",
            "get_rows",
            "help",
            "history",
            "forget",
            "status",
            "whoami",
            "model",
            "version",
            "silences",
            "incident",
            "investigate",
            "digest",
            "oncall"
        ]
    );
    assert!(names(Role::Operator).contains(&"restart_container".into()));
    for admins in ["unfreeze", "reload"] {
        assert!(!names(Role::Operator).contains(&admins.into()));
        assert!(names(Role::Admin).contains(&admins.into()));
    }
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
