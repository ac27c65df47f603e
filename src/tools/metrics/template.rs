//! PromQL templates: text with placeholders, filled so that no name can ever leave the string it stands in.

use std::{fmt::Write, iter::Peekable, str::Chars, time::Duration};

/// The queries behind `get_metrics`, one per metric. Placeholders: `{customer}`, `{service}` and `{containers}` (a
/// regular expression that fits exactly these containers), each only as a label matcher's value, and `{window}`
/// (`120s`), anywhere. A series belongs to the container or service that one of its labels names; a template with
/// `{service}` is asked once per service instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    /// Percent of one core.
    pub cpu: String,
    /// Bytes in use.
    pub memory: String,
    /// Bytes; zero or absurdly much means no limit.
    pub memory_limit: String,
    /// Bytes on disk.
    pub disk: String,
    /// Bytes per second in.
    pub network_rx: String,
    /// Bytes per second out.
    pub network_tx: String,
}

impl Default for Templates {
    /// cAdvisor's names.
    fn default() -> Self {
        let rate =
            |metric: &str| format!("sum by (name) (rate({metric}{{name=~\"{{containers}}\"}}[{{window}}]))");
        let gauge =
            |how: &str, metric: &str| format!("{how} by (name) ({metric}{{name=~\"{{containers}}\"}})");
        Self {
            cpu: format!("{} * 100", rate("container_cpu_usage_seconds_total")),
            memory: gauge("sum", "container_memory_working_set_bytes"),
            memory_limit: gauge("max", "container_spec_memory_limit_bytes"),
            disk: gauge("sum", "container_fs_usage_bytes"),
            network_rx: rate("container_network_receive_bytes_total"),
            network_tx: rate("container_network_transmit_bytes_total"),
        }
    }
}

impl Templates {
    /// Every template by its key in the configuration.
    pub fn all(&self) -> [(&'static str, &str); 6] {
        [
            ("cpu", &self.cpu),
            ("memory", &self.memory),
            ("memory_limit", &self.memory_limit),
            ("disk", &self.disk),
            ("network_rx", &self.network_rx),
            ("network_tx", &self.network_tx),
        ]
    }

    /// What is wrong with the templates: key and sentence, for whoever wrote them. Empty when all is well.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let slots =
            Slots { customer: "c", service: "s", containers: &["x"], window: Duration::from_secs(60) };
        self.all().into_iter().filter_map(|(key, text)| Some((key, fill(text, &slots).err()?))).collect()
    }
}

/// What the placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots<'a> {
    pub(super) customer: &'a str,
    pub(super) service: &'a str,
    pub(super) containers: &'a [&'a str],
    pub(super) window: Duration,
}

pub(super) fn per_service(template: &str) -> bool {
    template.contains("{service}")
}

/// Fills `template`.
///
/// # Errors
/// One sentence: an unknown or misplaced placeholder, or a string that is never closed.
pub(super) fn fill(template: &str, slots: &Slots<'_>) -> Result<String, String> {
    let mut filler = Filler { out: String::new(), rest: template.chars().peekable(), slots };
    while let Some(c) = filler.rest.next() {
        match c {
            '"' | '\'' | '`' => filler.string(c)?,
            '#' => filler.comment(),
            '{' => filler.outside()?,
            _ => filler.out.push(c),
        }
    }
    if filler.out.trim().is_empty() {
        return Err("the template is empty".into());
    }
    Ok(filler.out)
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Equal,
    Regex,
    Other,
}

struct Filler<'a> {
    out: String,
    rest: Peekable<Chars<'a>>,
    slots: &'a Slots<'a>,
}

impl Filler<'_> {
    fn comment(&mut self) {
        self.out.push('#');
        while let Some(c) = self.rest.next_if(|&c| c != '\n') {
            self.out.push(c);
        }
    }

    fn outside(&mut self) -> Result<(), String> {
        match self.placeholder().as_deref() {
            None => self.out.push('{'),
            Some("window") => self.window(),
            Some(name @ ("customer" | "service" | "containers")) => {
                return Err(format!("`{{{name}}}` must stand in quotes behind =, !=, =~ or !~"));
            }
            Some(name) => return Err(unknown(name)),
        }
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), String> {
        let before = self.out.trim_end();
        let place = if before.ends_with("=~") || before.ends_with("!~") {
            Place::Regex
        } else if before.ends_with('=') && !before.ends_with("==") {
            Place::Equal
        } else {
            Place::Other
        };
        self.out.push(quote);
        while let Some(c) = self.rest.next() {
            match c {
                c if c == quote => {
                    self.out.push(c);
                    return Ok(());
                }
                '\\' if quote != '`' => {
                    self.out.push(c);
                    self.out.extend(self.rest.next());
                }
                '{' => match self.placeholder() {
                    None => self.out.push('{'),
                    Some(name) if name == "window" => self.window(),
                    Some(name) => self.value(&name, quote, place)?,
                },
                c => self.out.push(c),
            }
        }
        Err(format!("a string that begins with {quote} is never closed"))
    }

    fn value(&mut self, name: &str, quote: char, place: Place) -> Result<(), String> {
        let plain = match name {
            "customer" => self.slots.customer,
            "service" => self.slots.service,
            "containers" => "",
            _ => return Err(unknown(name)),
        };
        if quote == '`' {
            return Err(format!("`{{{name}}}` cannot stand in backticks; use double quotes"));
        }
        let text = match (name, place) {
            (_, Place::Other) => {
                return Err(format!("`{{{name}}}` must be the value of a label matcher (=, !=, =~ or !~)"));
            }
            ("containers", Place::Equal) => return Err("`{containers}` needs =~ or !~".into()),
            ("containers", Place::Regex) => {
                let names: Vec<_> = self.slots.containers.iter().map(|name| regex::escape(name)).collect();
                format!("(?:{})", names.join("|"))
            }
            (_, Place::Regex) => regex::escape(plain),
            (_, Place::Equal) => plain.to_owned(),
        };
        escape(&text, quote, &mut self.out);
        Ok(())
    }

    fn window(&mut self) {
        self.out.push_str(&seconds(self.slots.window));
    }

    /// The name of the placeholder whose brace was just read, the rest of it consumed; none when it is no placeholder.
    fn placeholder(&mut self) -> Option<String> {
        let mut ahead = self.rest.clone();
        let mut name = String::new();
        for c in ahead.by_ref() {
            match c {
                '}' if !name.is_empty() => {
                    self.rest = ahead;
                    return Some(name);
                }
                c if c.is_ascii_alphabetic() || c == '_' => name.push(c),
                _ => return None,
            }
        }
        None
    }
}

fn unknown(name: &str) -> String {
    format!("`{{{name}}}` is no placeholder (there are customer, service, containers and window)")
}

fn escape(text: &str, quote: char, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                write!(out, "\\u{:04x}", u32::from(c)).ok();
            }
            c => out.push(c),
        }
    }
}

/// A span as PromQL writes it.
pub(super) fn seconds(span: Duration) -> String {
    format!("{}s", span.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Slots<'static> {
        Slots {
            customer: "a\"} or up{x=\"",
            service: "w.b",
            containers: &["c19-web.1", "c19-db"],
            window: Duration::from_secs(120),
        }
    }

    #[test]
    fn placeholders_are_filled_for_the_place_they_stand_in() {
        let table = [
            (
                "rate(x{name=~\"{containers}\"}[{window}])",
                "rate(x{name=~\"(?:c19\\\\-web\\\\.1|c19\\\\-db)\"}[120s])",
            ),
            ("x{c=\"{customer}\"}", "x{c=\"a\\\"} or up{x=\\\"\"}"),
            ("x{c='{customer}'}", "x{c='a\"} or up{x=\"'}"),
            ("x{c =~ \"/{service}-.*\"}", "x{c =~ \"/w\\\\.b-.*\"}"),
            ("x{c!~'{service}', d!= \"{service}\"}", "x{c!~'w\\\\.b', d!= \"w.b\"}"),
            (
                "x{a=~\"b{2}{1,3}\\\"{window}\"} # it's {odd}\n> 0",
                "x{a=~\"b{2}{1,3}\\\"120s\"} # it's {odd}\n> 0",
            ),
            ("sum({__name__=~`a{2}`}) + x{}", "sum({__name__=~`a{2}`}) + x{}"),
        ];
        for (template, want) in table {
            assert_eq!(fill(template, &slots()).as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn a_placeholder_where_it_could_leave_its_string_is_refused() {
        let table = [
            ("x{name=~\"{contaners}\"}", "no placeholder"),
            ("x + {job}", "no placeholder"),
            ("{customer}", "in quotes"),
            ("x{name=\"{containers}\"}", "needs =~"),
            ("x{name=~`{containers}`}", "backticks"),
            ("label_replace(x, \"a\", \"{customer}\", \"b\", \".*\")", "label matcher"),
            ("x == \"{customer}\"", "label matcher"),
            ("x{a=\"b}", "never closed"),
            ("  ", "empty"),
        ];
        for (template, want) in table {
            let error = fill(template, &slots()).expect_err(template);
            assert!(error.contains(want), "{template}: {error}");
        }
    }

    #[test]
    fn the_defaults_are_sound_and_a_bad_one_is_named() {
        assert_eq!(Templates::default().check(), []);
        let bad = Templates { disk: "x{".into(), cpu: "x{a=\"{nope}\"}".into(), ..Templates::default() };
        let keys: Vec<_> = bad.check().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["cpu"], "what only Prometheus can judge is left to Prometheus");
    }

    #[test]
    fn control_characters_stay_inside_the_string() {
        let mut out = String::new();
        escape("a\nb\0c\\d\u{85}", '"', &mut out);
        assert_eq!(out, "a\\nb\\u0000c\\\\d\\u0085");
    }
}
