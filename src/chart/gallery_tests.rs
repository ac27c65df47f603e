//! Pictures to look at, each at full size and as a phone shows it: `CHART_GALLERY=<directory> cargo nextest run
//! --run-ignored all -E 'test(chart::gallery)'`.

use std::path::Path;

use jiff::{Timestamp, tz::TimeZone};
use tiny_skia::{Pixmap, PremultipliedColorU8};

use super::{Style, Theme, png};
use crate::{
    domain::{Chart, outbound::Series},
    runtime::Stopwatch,
};

const MIB: f64 = 1024.0 * 1024.0;
/// 2026-11-21 08:00 UTC.
const START: i64 = 1_795_248_000;

/// `n` points, one each `step` seconds; `value` gets the number of the point.
pub(super) fn series(name: &str, n: usize, step: i64, value: impl Fn(f64) -> f64) -> Series {
    let at = |i: usize| Timestamp::from_second(START + i as i64 * step).unwrap();
    Series { name: name.into(), points: (0..n).map(|i| (at(i), value(i as f64))).collect() }
}

pub(super) fn chart(title: &str, unit: &str, threshold: Option<f64>, series: Vec<Series>) -> Chart {
    Chart { title: title.into(), unit: unit.into(), series, threshold }
}

/// Looks like chance, and is the same every time: -1 to 1.
pub(super) fn noise(i: f64, seed: f64) -> f64 {
    let x = ((i + 1.0) * 12.9898 + seed * 78.233).sin() * 43_758.545;
    (x - x.floor()) * 2.0 - 1.0
}

/// Six hours of a service that loses memory, and was restarted once.
pub(super) fn leak() -> Chart {
    let used = |i: f64| {
        let since = if i < 250.0 { i + 60.0 } else { i - 250.0 };
        (120.0 + since * 1.17 + 4.0 * noise(i, 1.0)) * MIB
    };
    chart("Memory of customer 19", "B", Some(512.0 * MIB), vec![series("web", 360, 60, used)])
}

pub(super) fn cpu() -> Chart {
    let web = |i: f64| 38.0 + 18.0 * (i / 40.0).sin() + 6.0 * noise(i, 2.0);
    let db = |i: f64| 14.0 + 3.0 * noise(i, 3.0) + if i > 130.0 && i < 150.0 { 70.0 } else { 0.0 };
    let worker = |i: f64| (6.0 + 5.0 * noise(i, 4.0)).max(0.0);
    let all = vec![series("web", 180, 60, web), series("db", 180, 60, db), series("worker", 180, 60, worker)];
    chart("CPU of customer 19", "%", Some(80.0), all)
}

fn gallery() -> Vec<(&'static str, Chart)> {
    let gap = |mut s: Series| {
        s.points.retain(|(at, _)| !(START + 4_000..START + 9_000).contains(&at.as_second()));
        s
    };
    let wave = |i: f64| 3.0 * MIB + 2.5 * MIB * (i / 15.0).sin() + MIB * noise(i, 7.0).abs();
    let named = |n: usize| {
        let value = move |i: f64| 10.0 * n as f64 + 4.0 * (i / 9.0 + n as f64).sin() + noise(i, n as f64);
        series(&format!("customer-{n}-application-server"), 96, 900, value)
    };
    let short = |n: usize| {
        series(["web", "db", "cache", "mail", "cron"][n], 120, 30, move |i| {
            (0.02 + 0.05 * n as f64) * (1.0 + 0.3 * noise(i, n as f64))
        })
    };
    vec![
        ("leak", leak()),
        ("cpu", cpu()),
        ("single", chart("Restarts of customer 7", "", None, vec![series("web", 1, 60, |_| 3.0)])),
        ("gap", chart("Network of customer 19", "B/s", None, vec![gap(series("network in", 240, 60, wave))])),
        ("empty", chart("CPU of customer 404", "%", Some(80.0), vec![series("web", 0, 60, |_| 0.0)])),
        ("many", chart("Load by customer, last day", "%", Some(85.0), (1..=12).map(named).collect())),
        ("five", chart("Answer time by service", "s", Some(0.2), (0..5).map(short).collect())),
        (
            "far",
            chart(
                "CPU of customer 3, last 10 minutes",
                "%",
                Some(80.0),
                vec![series("web", 60, 10, |i| 3.0 + noise(i, 1.0))],
            ),
        ),
        (
            "week",
            chart(
                "Disk /var/lib/docker on a host with a very long name indeed.example.org",
                "%",
                Some(90.0),
                vec![
                    series("vda1", 336, 1800, |i| 61.0 + i / 12.0 + 0.2 * noise(i, 1.0)),
                    series("日本語のボリューム and a long name", 336, 1800, |i| 40.0 + i / 90.0),
                ],
            ),
        ),
        (
            "signs",
            chart(
                "Change of connections",
                "",
                Some(-20_000.0),
                vec![series("Δ per min", 90, 60, |i| 18_000.0 * (i / 12.0).sin() + 4_000.0 * noise(i, 5.0))],
            ),
        ),
        ("flat", chart("Memory of customer 19", "B", None, vec![series("db", 60, 60, |_| 256.0 * MIB)])),
        (
            "huge",
            chart(
                "Requests",
                "req/s",
                None,
                vec![series("edge", 100_000, 1, |i| 1.2e6 + 3e5 * (i / 9_000.0).sin() + 1e5 * noise(i, 3.0))],
            ),
        ),
    ]
}

#[test]
#[ignore = "writes pictures for a person to look at"]
fn pictures_to_look_at() {
    let place = std::env::var("CHART_GALLERY").expect("CHART_GALLERY names a directory");
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let mut report = String::new();
    for (name, chart) in gallery() {
        let zone = if name == "week" { berlin.clone() } else { TimeZone::UTC };
        for theme in [Theme::Dark, Theme::Light] {
            let watch = Stopwatch::start();
            let bytes = png(&chart, Style::phone(theme), &zone).unwrap();
            let took = watch.elapsed();
            let file = Path::new(&place).join(format!("{name}-{theme:?}.png").to_lowercase());
            report.push_str(&format!("{}: {} bytes in {took:?}\n", file.display(), bytes.len()));
            std::fs::write(&file, &bytes).unwrap();
            let small = third(&Pixmap::decode_png(&bytes).unwrap());
            small.save_png(file.with_extension("360.png")).unwrap();
        }
    }
    std::fs::write(Path::new(&place).join("times.txt"), report).unwrap();
}

/// A third as wide and high: the mean of three by three pixels.
fn third(picture: &Pixmap) -> Pixmap {
    let (width, height) = (picture.width() / 3, picture.height() / 3);
    let mut small = Pixmap::new(width, height).unwrap();
    for (n, pixel) in small.pixels_mut().iter_mut().enumerate() {
        let (x, y) = (n as u32 % width * 3, n as u32 / width * 3);
        let nine = (0..9).map(|k| picture.pixel(x + k % 3, y + k / 3).unwrap());
        let sums = nine.fold([0_u32; 3], |[r, g, b], p| {
            [r + u32::from(p.red()), g + u32::from(p.green()), b + u32::from(p.blue())]
        });
        let [r, g, b] = sums.map(|sum| (sum / 9) as u8);
        *pixel = PremultipliedColorU8::from_rgba(r, g, b, 255).unwrap();
    }
    small
}
