//! Whole pictures, decoded and looked at.

use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;
use tiny_skia::{Color, Pixmap};

use super::{
    ChartError, Style, Theme,
    canvas::{Font, WIDTH},
    gallery_tests::{chart, cpu, leak, noise, series},
    layout::{Area, Axes, Layout},
    lines, png,
    values::Threshold,
};
use crate::domain::{Chart, outbound::Series};

/// Three pixels to two points: quick to draw.
const SMALL: Style = Style { theme: Theme::Dark, width: 540, height: 405 };
const SCALE: f32 = 540.0 / WIDTH;

fn draw(chart: &Chart) -> Pixmap {
    Pixmap::decode_png(&png(chart, SMALL, &TimeZone::UTC).unwrap()).unwrap()
}

/// Shows where things are in the picture of `chart`.
fn placed<T>(chart: &Chart, look: impl Fn(&Layout<'_>) -> T) -> T {
    let picked = lines::pick(&chart.series);
    let font = Font::built_in().unwrap();
    look(&Layout::new(chart, &picked, &font, &TimeZone::UTC, 270.0))
}

/// Where the lines are, and the axes.
fn axes<T>(chart: &Chart, look: impl Fn(Area, &Axes) -> T) -> T {
    placed(chart, |layout| look(layout.area, layout.axes.as_ref().unwrap()))
}

fn is(picture: &Pixmap, x: f32, y: f32, color: Color) -> bool {
    let got = picture.pixel(x as u32, y as u32).unwrap();
    let want = color.premultiply().to_color_u8();
    [(got.red(), want.red()), (got.green(), want.green()), (got.blue(), want.blue())]
        .iter()
        .all(|(a, b)| a.abs_diff(*b) <= 2)
}

/// How many pixels of `color` there are in a rectangle of points: left, top, right, bottom.
fn count(picture: &Pixmap, (left, top, right, bottom): (f32, f32, f32, f32), color: Color) -> usize {
    let span = |a: f32, b: f32| (a * SCALE) as u32..(b * SCALE) as u32;
    let all = span(left, right).flat_map(|x| span(top, bottom).map(move |y| (x, y)));
    all.filter(|(x, y)| is(picture, *x as f32, *y as f32, color)).count()
}

fn plot(area: Area) -> (f32, f32, f32, f32) {
    (area.left, area.top, area.right, area.bottom)
}

#[test]
fn the_ground_is_the_themes_and_the_size_is_as_asked() {
    let mut seen = Vec::new();
    for theme in [Theme::Dark, Theme::Light] {
        let style = Style::phone(theme);
        let picture = Pixmap::decode_png(&png(&leak(), style, &TimeZone::UTC).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (1080, 810));
        let ground = theme.colors().background;
        for (x, y) in [(0.0, 0.0), (1079.0, 0.0), (0.0, 809.0), (1079.0, 809.0)] {
            assert!(is(&picture, x, y, ground), "{theme:?} at {x}, {y}");
        }
        seen.push(picture.pixel(0, 0).unwrap().red());
    }
    assert!(seen[0] < 64 && seen[1] > 250, "{seen:?}");
}

#[test]
fn ordinary_charts_are_small_and_the_same_each_time() {
    for chart in [leak(), cpu(), chart("Empty", "", None, vec![])] {
        let [one, two] = [(); 2].map(|()| png(&chart, Style::phone(Theme::Light), &TimeZone::UTC).unwrap());
        assert!(one == two && one.len() < 100_000, "{}: {} bytes", chart.title, one.len());
    }
}

#[test]
fn lines_run_at_the_height_of_their_values_in_their_colours() {
    let steady = |value: f64| series("web", 30, 60, move |_| value);
    let chart = chart("CPU", "%", None, vec![steady(20.0), steady(50.0), steady(80.0)]);
    let picture = draw(&chart);
    let colors = Theme::Dark.colors();
    axes(&chart, |area, axes| {
        for (value, color) in [20.0, 50.0, 80.0].into_iter().zip(colors.lines) {
            let y = area.y(axes.values.part(value)) * SCALE;
            for part in [0.1, 0.37, 0.81] {
                let x = area.x(part) * SCALE;
                assert!(is(&picture, x, y, color), "{value} at {part}");
                assert!(
                    !is(&picture, x, y - 6.0, color) && !is(&picture, x, y + 6.0, color),
                    "{value} is thick"
                );
            }
        }
        // And each has its swatch below.
        for color in &colors.lines[..3] {
            assert!(count(&picture, (0.0, area.bottom, 24.0, 270.0), *color) > 20);
        }
    });
}

#[test]
fn a_threshold_is_a_dashed_line_with_its_value() {
    let chart = chart("CPU", "%", Some(80.0), vec![series("web", 30, 60, |i| 20.0 + i)]);
    let picture = draw(&chart);
    let color = Theme::Dark.colors().threshold;
    axes(&chart, |area, axes| {
        assert_eq!(axes.values.threshold, Some(Threshold::At(80.0)));
        let y = area.y(axes.values.part(80.0));
        let row: Vec<bool> = ((area.left * SCALE) as u32..(area.right * SCALE) as u32)
            .map(|x| is(&picture, x as f32, y * SCALE, color))
            .collect();
        let share = row.iter().filter(|on| **on).count() as f32 / row.len() as f32;
        assert!((0.45..0.7).contains(&share), "{share} of the row is drawn");
        assert!(row.windows(2).filter(|pair| pair[0] != pair[1]).count() > 40, "not dashed");
        assert!(count(&picture, (area.left, y - 16.0, area.right, y - 3.0), color) > 60, "no words");
    });
}

#[test]
fn a_threshold_far_away_is_named_at_the_edge() {
    let color = Theme::Dark.colors().threshold;
    for (limit, want) in [(80.0, Threshold::Above(80.0)), (-80.0, Threshold::Below(-80.0))] {
        let chart = chart("CPU", "%", Some(limit), vec![series("web", 30, 60, |i| 2.0 + i / 30.0)]);
        let picture = draw(&chart);
        axes(&chart, |area, axes| {
            assert_eq!(axes.values.threshold, Some(want));
            let (near, far) = match want {
                Threshold::Above(_) => ((area.top, area.top + 18.0), (area.top + 20.0, area.bottom)),
                _ => ((area.bottom - 18.0, area.bottom), (area.top, area.bottom - 20.0)),
            };
            assert!(count(&picture, (area.left, near.0, area.right, near.1), color) > 60, "{want:?}");
            assert_eq!(count(&picture, (area.left, far.0, area.right, far.1), color), 0, "{want:?}");
        });
    }
}

#[test]
fn a_gap_stays_empty() {
    let mut line = series("web", 100, 60, |_| 50.0);
    line.points.drain(40..60);
    let chart = chart("CPU", "%", None, vec![line]);
    let picture = draw(&chart);
    let colors = Theme::Dark.colors();
    axes(&chart, |area, axes| {
        let y = area.y(axes.values.part(50.0));
        let shaded = |part: f32| !is(&picture, area.x(part) * SCALE, (y + 5.0) * SCALE, colors.background);
        let drawn = |part: f32| is(&picture, area.x(part) * SCALE, y * SCALE, colors.lines[0]);
        assert!(drawn(0.3) && drawn(0.7) && shaded(0.31) && shaded(0.71));
        assert!([0.42, 0.45, 0.51, 0.57].iter().all(|part| !drawn(*part) && !shaded(*part)));
    });
}

#[test]
fn a_lone_point_is_a_dot_and_nothing_is_said_to_be_nothing() {
    let colors = Theme::Dark.colors();
    let one = chart("Restarts", "", None, vec![series("web", 1, 60, |_| 3.0)]);
    let picture = draw(&one);
    axes(&one, |area, axes| {
        let (x, y) = (area.x(0.5), area.y(axes.values.part(3.0)));
        assert!(is(&picture, x * SCALE, y * SCALE, colors.lines[0]));
        let dot = count(&picture, plot(area), colors.lines[0]);
        assert!((20..200).contains(&dot), "{dot} pixels");
    });
    for series in [vec![], vec![series("web", 0, 60, |_| 0.0)], vec![series("web", 9, 60, |_| f64::NAN)]] {
        let none = chart("Restarts", "", Some(5.0), series);
        let picture = draw(&none);
        placed(&none, |layout| {
            assert!(layout.axes.is_none());
            assert_eq!(count(&picture, plot(layout.area), colors.lines[0]), 0);
            let middle = (150.0, layout.area.top + 60.0, 210.0, layout.area.bottom - 60.0);
            assert!(count(&picture, middle, colors.quiet) > 40, "no words");
        });
    }
}

#[test]
fn of_many_lines_the_highest_are_drawn_and_the_rest_counted() {
    let named = |n: usize| series(&format!("s{n}"), 20, 60, move |_| 10.0 * n as f64);
    let chart = chart("CPU", "%", None, (1..=12).map(named).collect());
    let picture = draw(&chart);
    placed(&chart, |layout| {
        let names: Vec<_> = layout.legend.rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["s12", "s11", "s10", "s9", "s8", "s7", "s6", "s5"]);
        assert_eq!(layout.legend.more.as_deref(), Some("+4 more"));
        for color in Theme::Dark.colors().lines {
            assert!(count(&picture, plot(layout.area), color) > 300);
        }
    });
}

#[test]
fn the_legend_names_last_least_and_most() {
    let mut line = series("web", 5, 60, |i| 1024.0 * (i + 1.0));
    line.points.reverse();
    let chart = chart("Memory", "B", None, vec![line, series("db", 3, 60, |_| f64::INFINITY)]);
    placed(&chart, |layout| {
        let figures: Vec<_> = layout.legend.rows.iter().map(|(_, figures)| figures.join(", ")).collect();
        assert_eq!(figures, ["min 1 KiB, max 5 KiB, last 5 KiB", "no data"]);
    });
}

#[test]
fn order_and_what_is_no_number_change_nothing() {
    let chart = |series| chart("CPU", "%", Some(80.0), vec![series]);
    let good = series("web", 50, 60, |i| 40.0 + 20.0 * noise(i, 1.0));
    let mut mixed = good.clone();
    for (n, odd) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().enumerate() {
        mixed.points.push((mixed.points[20 + n].0, odd));
    }
    mixed.points.rotate_left(17);
    mixed.points[..30].reverse();
    assert!(draw(&chart(good)) == draw(&chart(mixed)));
}

#[test]
fn one_peak_among_a_hundred_thousand_points_is_seen() {
    let value = |i: f64| if i == 61_803.0 { 95.0 } else { 20.0 + noise(i, 1.0) };
    let chart = chart("CPU", "%", None, vec![series("web", 100_000, 1, value)]);
    let picture = draw(&chart);
    axes(&chart, |area, axes| {
        let (x, y) = (area.x(0.618), area.y(axes.values.part(90.0)));
        assert!(count(&picture, (x - 3.0, y - 1.0, x + 3.0, y + 1.0), Theme::Dark.colors().lines[0]) > 0);
    });
}

#[test]
fn foreign_names_are_cleaned_and_cut_and_what_the_font_lacks_is_marked() {
    let font = Font::built_in().unwrap();
    let table = [
        ("web", "web"),
        ("  käse\nund\tbrot \u{1b}[31m", "käse und brot"),
        ("日本\u{202e}x🦀", "??x?"),
        ("Привет · Ω … µ", "Привет · Ω … µ"),
        ("\u{7}\u{200b}", ""),
    ];
    for (raw, want) in table {
        assert_eq!(font.line(raw), want, "{raw:?}");
    }
    assert!(font.line(&"x".repeat(1 << 20)).len() <= 256);
    let cut = font.cut("a-service-with-a-long-name", 80.0, 12.0);
    assert!(cut.starts_with("a-service") && cut.ends_with('…') && font.width(&cut, 12.0) <= 80.0, "{cut}");
    assert_eq!(font.cut("web", 80.0, 12.0), "web");
}

#[test]
fn sizes_out_of_bounds_are_refused_in_words() {
    let sizes = [
        (0, 0),
        (119, 119),
        (1080, 0),
        (1080, 359),
        (360, 1081),
        (4097, 4097),
        (u32::MAX, u32::MAX),
        (1400, 4200),
    ];
    for (width, height) in sizes {
        let got = png(&leak(), Style { theme: Theme::Dark, width, height }, &TimeZone::UTC);
        assert_eq!(got, Err(ChartError::Size { width, height }), "{width} × {height}");
    }
    assert!(ChartError::Size { width: 1, height: 2 }.to_string().contains("1 × 2 px is not drawn; give"));
}

fn any_series() -> impl Strategy<Value = Series> {
    let time = prop_oneof![
        0_i64..100_000,
        Just(1_795_248_000),
        Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ];
    let time = time.prop_map(|s| Timestamp::from_second(s).unwrap());
    let value = prop_oneof![0.0..100.0, any::<f64>(), proptest::num::f64::ANY, Just(0.0), Just(f64::MAX)];
    ("\\PC{0,40}", proptest::collection::vec((time, value), 0..40))
        .prop_map(|(name, points)| Series { name, points })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_there_is_a_picture(
        title in "\\PC{0,200}",
        unit in prop_oneof![Just("%".to_owned()), Just("B".to_owned()), Just("s".to_owned()), "\\PC{0,30}"],
        series in proptest::collection::vec(any_series(), 0..11),
        threshold in proptest::option::of(proptest::num::f64::ANY),
        (width, height) in (120_u32..240, 40_u32..720),
        zone in prop_oneof![Just("UTC"), Just("America/St_Johns"), Just("Pacific/Kiritimati")],
    ) {
        let chart = Chart { title, unit, series, threshold };
        let style = Style { theme: Theme::Light, width, height };
        let fits = height >= width.div_ceil(3) && height <= width * 3;
        match png(&chart, style, &TimeZone::get(zone).unwrap()) {
            Ok(bytes) => {
                let picture = Pixmap::decode_png(&bytes).unwrap();
                prop_assert!(fits && (picture.width(), picture.height()) == (width, height));
            }
            Err(why) => prop_assert_eq!((why, fits), (ChartError::Size { width, height }, false)),
        }
    }
}
