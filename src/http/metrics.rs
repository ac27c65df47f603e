//! Prometheus' text exposition of the daemon's counters and of its process.

use std::{fmt::Write, fs};

use crate::runtime::{
    Counters,
    counters::{BUCKETS, Family, Kind, Labels, Value},
};

/// What the kernel knows of this process; absent where it does not say.
#[derive(Debug, Default)]
pub(super) struct Process {
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    open_files: Option<u64>,
}

impl Process {
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as u64);
        Self { open_files, ..Self::parse(&status) }
    }

    fn parse(status: &str) -> Self {
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            resident_bytes: number("VmRSS").map(|kib| kib * 1024),
            virtual_bytes: number("VmSize").map(|kib| kib * 1024),
            threads: number("Threads"),
            open_files: None,
        }
    }
}

pub(super) fn render(counters: &Counters, process: &Process) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    for (name, family) in counters.snapshot() {
        page.family(name, &family);
    }
    page.head("opsbot_build_info", "The build that runs, as labels; always 1.", "gauge");
    page.line("opsbot_build_info", &[("version", env!("CARGO_PKG_VERSION").to_owned())], None, "1");
    let started = counters.started().as_millisecond() as f64 / 1000.0;
    page.gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        Some(started),
    );
    let of_process = [
        ("process_resident_memory_bytes", "Memory in RAM.", process.resident_bytes),
        ("process_virtual_memory_bytes", "Address space in use.", process.virtual_bytes),
        ("process_threads", "Threads of the process.", process.threads),
        ("process_open_fds", "Open file descriptors.", process.open_files),
    ];
    for (name, help, value) in of_process {
        page.gauge(name, help, value.map(|value| value as f64));
    }
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.head(name, help, "gauge");
            self.line(name, &[], None, &number(value));
        }
    }

    fn family(&mut self, name: &str, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.head(name, &family.help, kind);
        for (labels, value) in &family.series {
            match value {
                Value::Count(count) => self.line(name, labels, None, &count.to_string()),
                Value::Level(level) => self.line(name, labels, None, &number(*level)),
                Value::Spread { buckets, sum, count } => {
                    self.histogram(name, labels, buckets, (*sum, *count))
                }
            }
        }
    }

    fn histogram(&mut self, name: &str, labels: &Labels, buckets: &[u64], (sum, count): (f64, u64)) {
        let bucket = format!("{name}_bucket");
        let mut so_far = 0;
        for (bound, hits) in BUCKETS.iter().zip(buckets) {
            so_far += hits;
            self.line(&bucket, labels, Some(&number(*bound)), &so_far.to_string());
        }
        self.line(&bucket, labels, Some("+Inf"), &count.to_string());
        self.line(&format!("{name}_sum"), labels, None, &number(sum));
        self.line(&format!("{name}_count"), labels, None, &count.to_string());
    }

    fn line(&mut self, name: &str, labels: &[(&'static str, String)], le: Option<&str>, value: &str) {
        let own = labels.iter().map(|(label, value)| (*label, value.as_str()));
        let pairs: Vec<_> = own
            .chain(le.map(|le| ("le", le)))
            .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
            .collect();
        if pairs.is_empty() {
            self.push(format_args!("{name} {value}\n"));
        } else {
            self.push(format_args!("{name}{{{}}} {value}\n", pairs.join(",")));
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        self.0.write_fmt(text).ok();
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let counters = Counters::new(Timestamp::from_millisecond(1500).unwrap());
        counters.describe("opsbot_turns_total", "Turns by\nhow \\ they ended.");
        counters.add("opsbot_turns_total", &[("status", "an\"sw\\er\ned")], 3);
        counters.set("opsbot_level", &[], f64::INFINITY);
        counters.observe("opsbot_turn_seconds", &[("model", "m")], 0.05);
        counters.observe("opsbot_turn_seconds", &[("model", "m")], 999.0);
        let process = Process::parse("Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\n");
        let page = render(&counters, &process);
        for want in [
            "# HELP opsbot_turns_total Turns by\\nhow \\\\ they ended.\n# TYPE opsbot_turns_total counter\n\
             opsbot_turns_total{status=\"an\\\"sw\\\\er\\ned\"} 3\n",
            "opsbot_level +Inf\n",
            "opsbot_turn_seconds_bucket{model=\"m\",le=\"0.025\"} 0\n",
            "opsbot_turn_seconds_bucket{model=\"m\",le=\"0.1\"} 1\n",
            "opsbot_turn_seconds_bucket{model=\"m\",le=\"300\"} 1\n",
            "opsbot_turn_seconds_bucket{model=\"m\",le=\"+Inf\"} 2\n",
            "opsbot_turn_seconds_sum{model=\"m\"} 999.05\n",
            "opsbot_turn_seconds_count{model=\"m\"} 2\n",
            "process_start_time_seconds 1.5\n",
            "process_resident_memory_bytes 1048576\n",
            "process_threads 7\n",
        ] {
            assert!(page.contains(want), "{want}\nis missing in\n{page}");
        }
        assert!(!page.contains("process_open_fds"), "what is not known is not said");
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let process = Process::read();
        assert!(process.resident_bytes > Some(100_000) && process.open_files > Some(2), "{process:?}");
    }
}
