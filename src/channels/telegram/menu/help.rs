//! The help for a phone: what there is in groups, each command to be tapped where a tap suffices.

use teloxide::types::MessageEntity;

use super::{Menu, Spot, asks_whose, least_role, may};
use crate::{
    channels::telegram::{
        Post, ROOM, Rich, Tap,
        decode::one_line,
        menu::{RUN, rows},
        render,
    },
    domain::{Risk, ToolSpec},
    engine::commands,
};

/// The longest description, in characters.
const LINE: usize = 90;

impl Menu<'_> {
    /// All commands that the role may use.
    pub(super) fn help(&self) -> Post {
        let mut page = Page::default();
        page.text("Ask in plain words, or tap a command.");
        let open = |spec: &&ToolSpec| may(self.role, spec);
        let (writes, reads): (Vec<_>, Vec<_>) = self.specs.iter().filter(open).partition(|s| s.is_write());
        page.group("Look", reads.into_iter().map(|spec| self.entry(spec)));
        page.group("Change, after a yes", writes.into_iter().map(|spec| self.entry(spec)));
        let mine = commands::steering().filter(|(name, ..)| self.role >= least_role(name));
        page.group(
            "OpsBot itself",
            mine.map(|(name, usage, what)| Entry {
                usage: usage.to_owned(),
                // What stands in brackets may be left out.
                tappable: usage.split_whitespace().nth(1).is_none_or(|first| first.starts_with('[')),
                name: name.to_owned(),
                what: what.to_owned(),
            }),
        );
        let blocked = |spec: &&ToolSpec| spec.floor.max(spec.default) == Risk::Blocked;
        let never: Vec<_> = self.specs.iter().filter(blocked).map(|s| s.name.replace('_', " ")).collect();
        if !never.is_empty() {
            page.text(&format!("\n\nNever, whoever asks: {}.", never.join(", ")));
        }
        page.text("\n\n/help NAME shows one command in full.");
        let rich = render::split(page.0, ROOM).into_iter().next().unwrap_or_default();
        Post { keyboard: self.shortcuts(), ..Post::text(rich) }
    }

    fn entry(&self, spec: &ToolSpec) -> Entry {
        let name = commands::short(spec.name).to_owned();
        let tappable = asks_whose(self.role, spec) || !spec.params.iter().any(|p| p.required);
        Entry { usage: commands::usage(spec), tappable, name, what: spec.summary.to_owned() }
    }

    fn shortcuts(&self) -> Vec<Vec<Tap>> {
        let alerts = self.specs.iter().find(|s| s.name == "list_active_alerts" && may(self.role, s));
        let mut taps = vec![self.go("Customers", &Spot::Customers { page: 0 })];
        taps.extend(alerts.map(|_| self.tap("Alerts", &format!("{RUN}/alerts"))));
        taps.push(self.tap("Waiting cards", &format!("{RUN}/pending")));
        taps.push(self.tap("Status", &format!("{RUN}/status")));
        rows(taps)
    }
}

/// One command.
struct Entry {
    name: String,
    usage: String,
    what: String,
    /// Whether it can stand alone; one that cannot is shown as it is written.
    tappable: bool,
}

/// Text and its entities as they grow.
#[derive(Default)]
struct Page(Rich);

impl Page {
    fn text(&mut self, text: &str) {
        self.0.text.push_str(text);
    }

    fn formatted(&mut self, text: &str, entity: fn(usize, usize) -> MessageEntity) {
        let begin = self.0.text.encode_utf16().count();
        self.0.entities.push(entity(begin, text.encode_utf16().count()));
        self.text(text);
    }

    fn group(&mut self, title: &str, entries: impl Iterator<Item = Entry>) {
        let mut entries = entries.peekable();
        if entries.peek().is_none() {
            return;
        }
        self.text("\n\n");
        self.formatted(title, MessageEntity::bold);
        for Entry { name, usage, what, tappable } in entries {
            self.text("\n");
            if tappable {
                self.text(&format!("/{name}"));
            } else {
                self.formatted(&usage, MessageEntity::code);
            }
            self.text(&format!(" – {}", one_line(&what, LINE)));
        }
    }
}
