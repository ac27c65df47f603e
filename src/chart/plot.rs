//! Draws what the layout has put in place: grid, lines, threshold, labels, legend.

use tiny_skia::{Color, Path, PathBuilder, Rect};

use super::{
    canvas::{Anchor, Canvas, Font, Ink, WIDTH},
    figure::figure,
    layout::{Area, Axes, LABEL, LEGEND, Layout, MARGIN, ROW, TITLE},
    lines::{Line, thin},
    theme::Colors,
    values::Threshold,
};

/// How thick lines are, by how many there are.
const LINE: f32 = 2.0;
const LINE_OF_MANY: f32 = 1.6;
/// Lines of the grid.
const RULE: f32 = 0.7;
/// How much of a lone line's colour is below it.
const SHADE: f32 = 0.18;
/// Thickens letters: text, and what stands out.
const MEDIUM: f32 = 0.022;
const BOLD: f32 = 0.05;
/// Dash and pause of the threshold.
const DASH: [f32; 2] = [6.0, 4.0];

/// A box in points: left, top, right, bottom.
type Box4 = (f32, f32, f32, f32);
/// A point of a line on the surface.
type Spot = (f32, f32);

pub(super) struct Plot<'a> {
    pub(super) chart: &'a Layout<'a>,
    pub(super) font: &'a Font,
    pub(super) colors: &'a Colors,
}

impl Plot<'_> {
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let title = self.ink(TITLE, self.colors.text, BOLD);
        canvas.text(self.font, &self.chart.title, (MARGIN, MARGIN + TITLE * 0.85), Anchor::Left, title);
        match &self.chart.axes {
            None => self.nothing(canvas),
            Some(axes) => {
                self.grid(canvas, axes);
                let lines = self.spots(axes);
                self.lines(canvas, axes, &lines);
                self.threshold(canvas, axes, &lines);
            }
        }
        self.legend(canvas);
    }

    fn ink(&self, size: f32, color: Color, weight: f32) -> Ink {
        Ink { size, color, weight }
    }

    fn nothing(&self, canvas: &mut Canvas) {
        let Area { left, top, right, bottom } = self.chart.area;
        for y in [top, bottom] {
            canvas.rule(left, y, (right - left, RULE), self.colors.grid);
        }
        let ink = self.ink(TITLE, self.colors.quiet, MEDIUM);
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0 + TITLE * 0.35);
        canvas.text(self.font, "no data", middle, Anchor::Middle, ink);
    }

    fn grid(&self, canvas: &mut Canvas, axes: &Axes) {
        let area = self.chart.area;
        let ink = self.ink(LABEL, self.colors.quiet, MEDIUM);
        for (value, label) in &axes.value_ticks {
            let y = area.y(axes.values.part(*value));
            canvas.rule(area.left, y - RULE / 2.0, (area.right - area.left, RULE), self.colors.grid);
            let label = self.font.cut(label, WIDTH / 3.0, LABEL);
            canvas.text(self.font, &label, (area.left - 6.0, y + LABEL * 0.35), Anchor::Right, ink);
        }
        let baseline = area.bottom + LABEL * 1.45;
        let mut free = area.left - 4.0;
        for (at, label) in &axes.time_ticks {
            let x = area.x(axes.times.part(*at));
            canvas.rule(x - RULE / 2.0, area.top, (RULE, area.bottom - area.top), self.colors.grid);
            let width = self.font.width(label, LABEL);
            let left = (x - width / 2.0).min(WIDTH - 4.0 - width);
            if left >= free {
                canvas.text(self.font, label, (left, baseline), Anchor::Left, ink);
                free = left + width + 6.0;
            }
        }
        canvas.text(self.font, &axes.zone, (area.left - 6.0, baseline), Anchor::Right, ink);
    }

    /// Each line's stretches as spots on the surface, at most a few for each point of its width.
    fn spots(&self, axes: &Axes) -> Vec<Vec<Vec<Spot>>> {
        let area = self.chart.area;
        let x = |at: i64| area.x(axes.times.part(at));
        let spot = |(at, value): (i64, f64)| (x(at), area.y(axes.values.part(value)));
        let seen = ((axes.times.last - axes.times.first) as f32 / (area.right - area.left)) as i64;
        let stretch =
            |dots: &[(i64, f64)]| thin(dots, |at| x(at) as i64).into_iter().map(spot).collect::<Vec<_>>();
        self.chart.lines.iter().map(|line: &Line<'_>| line.stretches(seen).map(stretch).collect()).collect()
    }

    fn lines(&self, canvas: &mut Canvas, axes: &Axes, lines: &[Vec<Vec<Spot>>]) {
        let width = if lines.len() > 3 { LINE_OF_MANY } else { LINE };
        if let ([stretches], [color, ..]) = (lines, &self.colors.lines) {
            let floor = self.chart.area.y(axes.values.part(0.0));
            let mut shade = *color;
            shade.set_alpha(SHADE);
            for path in stretches.iter().filter_map(|spots| below(spots, floor)) {
                canvas.fill(&path, shade);
            }
        }
        // The first line is the most wanted: it is drawn over the others.
        for (stretches, color) in lines.iter().zip(&self.colors.lines).rev() {
            for spots in stretches {
                match spots.as_slice() {
                    [spot] => canvas.dot(*spot, width * 1.4, *color),
                    spots => {
                        if let Some(path) = through(spots) {
                            canvas.stroke(&path, width, *color, None);
                        }
                    }
                }
            }
            if let Some(end) = stretches.last().and_then(|spots| spots.last()) {
                canvas.dot(*end, width * 1.4, *color);
            }
        }
    }

    fn threshold(&self, canvas: &mut Canvas, axes: &Axes, lines: &[Vec<Vec<Spot>>]) {
        let area = self.chart.area;
        let Some(threshold) = axes.values.threshold else { return };
        let (Threshold::At(value) | Threshold::Above(value) | Threshold::Below(value)) = threshold;
        let words = format!("threshold {}", figure(value, &self.chart.unit));
        let arrow = if matches!(threshold, Threshold::At(_)) { 0.0 } else { 11.0 };
        let size = (self.font.width(&words, LABEL) + arrow + 6.0, LABEL + 4.0);
        let y = area.y(axes.values.part(value));
        let rows = match threshold {
            Threshold::At(_) => vec![y - size.1 - 1.5, y + 1.5],
            Threshold::Above(_) => vec![area.top],
            Threshold::Below(_) => vec![area.bottom - size.1],
        };
        if arrow == 0.0
            && let Some(path) = through(&[(area.left, y), (area.right, y)])
        {
            canvas.stroke(&path, 1.5, self.colors.threshold, Some(DASH));
        }
        let (left, top, right, bottom) = quietest(area, &rows, size, lines);
        let mut veil = self.colors.background;
        veil.set_alpha(0.85);
        if let Some(rect) = Rect::from_ltrb(left, top, right, bottom) {
            canvas.fill(&PathBuilder::from_rect(rect), veil);
        }
        if arrow > 0.0
            && let Some(path) = triangle((left + 3.0, top + 4.0), matches!(threshold, Threshold::Above(_)))
        {
            canvas.fill(&path, self.colors.threshold);
        }
        let ink = self.ink(LABEL, self.colors.threshold, MEDIUM);
        canvas.text(self.font, &words, (left + 3.0 + arrow, top + LABEL), Anchor::Left, ink);
    }

    fn legend(&self, canvas: &mut Canvas) {
        let legend = &self.chart.legend;
        let room = WIDTH - 2.0 * MARGIN;
        let cell = (room - 16.0 * (legend.columns - 1) as f32) / legend.columns as f32;
        let widths = self.figure_widths(cell);
        let lines = self.chart.lines.iter().zip(&self.colors.lines);
        for (n, ((name, figures), (line, color))) in legend.rows.iter().zip(lines).enumerate() {
            let left = MARGIN + (n % legend.columns) as f32 * (cell + 16.0);
            let baseline = legend.top + (n / legend.columns) as f32 * ROW + LEGEND * 1.2;
            canvas.rule(left, baseline - LEGEND * 0.45, (10.0, 3.0), *color);
            let mut right = left + cell;
            let strong = self.ink(LEGEND, self.colors.text, MEDIUM);
            let quiet = self.ink(LEGEND, self.colors.quiet, MEDIUM);
            // The last figure stands rightmost and always; the bounds have their columns if there is room.
            for (column, figure) in figures.iter().rev().enumerate().take(widths.len()) {
                let ink = if column == 0 && line.figures.is_some() { strong } else { quiet };
                canvas.text(self.font, figure, (right, baseline), Anchor::Right, ink);
                right -= widths.get(column).copied().unwrap_or(0.0) + 10.0;
            }
            let name = self.font.cut(name, right - left - 15.0, LEGEND);
            canvas.text(self.font, &name, (left + 15.0, baseline), Anchor::Left, strong);
        }
        if let Some(more) = &legend.more {
            let baseline =
                legend.top + legend.rows.len().div_ceil(legend.columns) as f32 * ROW + LEGEND * 1.2;
            let ink = self.ink(LEGEND, self.colors.quiet, MEDIUM);
            canvas.text(self.font, more, (MARGIN + 15.0, baseline), Anchor::Left, ink);
        }
    }

    /// The widths of the legend's columns of figures, the rightmost first; only the last value's where a name would
    /// be cut otherwise.
    fn figure_widths(&self, cell: f32) -> Vec<f32> {
        let rows = &self.chart.legend.rows;
        let columns = rows.iter().map(|(_, figures)| figures.len()).max().unwrap_or(0);
        let widest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|text| self.font.width(text, LEGEND)).fold(0.0, f32::max)
        };
        let mut widths: Vec<f32> = (0..columns)
            .map(|c| widest(&mut rows.iter().filter_map(|(_, f)| f.iter().rev().nth(c))))
            .collect();
        let names = widest(&mut rows.iter().map(|(name, _)| name));
        let used: f32 = widths.iter().map(|width| width + 10.0).sum();
        if 15.0 + names + used > cell {
            widths.truncate(1);
        }
        widths
    }
}

fn through(spots: &[Spot]) -> Option<Path> {
    let mut path = PathBuilder::new();
    let ((x, y), rest) = spots.split_first()?;
    path.move_to(*x, *y);
    for (x, y) in rest {
        path.line_to(*x, *y);
    }
    path.finish()
}

/// The surface between a line and `floor`.
fn below(spots: &[Spot], floor: f32) -> Option<Path> {
    let (first, last) = (spots.first()?, spots.last()?);
    let mut outline = vec![(first.0, floor)];
    outline.extend_from_slice(spots);
    outline.push((last.0, floor));
    through(&outline)
}

/// Eight points wide, the tip up or down.
fn triangle((x, y): Spot, up: bool) -> Option<Path> {
    let (tip, base) = if up { (y, y + 7.0) } else { (y + 7.0, y) };
    through(&[(x, base), (x + 8.0, base), (x + 4.0, tip)])
}

/// Of the places for a label, the one with the fewest spots of lines behind it; the right one if they are alike.
fn quietest(area: Area, rows: &[f32], (width, height): (f32, f32), lines: &[Vec<Vec<Spot>>]) -> Box4 {
    let (right, left) = (area.right - width, area.left + 2.0);
    let columns = [right, left, (right + left) / 2.0];
    let places = rows.iter().filter(|y| **y >= area.top - height && **y + height <= area.bottom + 1.0);
    let boxes = places.flat_map(|y| columns.map(|x| (x, *y, x + width, y + height)));
    let crowd = |b: &Box4| {
        let inside = |(x, y): &&Spot| (b.0..=b.2).contains(x) && (b.1 - 1.0..=b.3 + 1.0).contains(y);
        lines.iter().flatten().flatten().filter(inside).count()
    };
    boxes.min_by_key(crowd).unwrap_or((area.right - width, area.top, area.right, area.top + height))
}
