//! Colours that stay apart for colour-blind eyes and stand out from a dark or a light chat.

use tiny_skia::Color;

use super::canvas::shade;

/// Which chat background the picture is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Light lines on a dark ground.
    Dark,
    /// Dark lines on a light ground.
    Light,
}

/// The most lines of one chart: as many as there are colours that can be told apart.
pub(super) const MOST_LINES: usize = 8;

/// What is drawn in which colour.
pub(super) struct Colors {
    pub(super) background: Color,
    pub(super) grid: Color,
    /// Axis labels and what else is said in a low voice.
    pub(super) quiet: Color,
    pub(super) text: Color,
    pub(super) threshold: Color,
    pub(super) lines: [Color; MOST_LINES],
}

impl Theme {
    /// After Okabe and Ito, with lightness moved until each colour stands out from its ground.
    pub(super) fn colors(self) -> Colors {
        match self {
            Self::Dark => Colors {
                background: rgb(0x151a21),
                grid: rgb(0x2c343f),
                quiet: rgb(0x9faab8),
                text: rgb(0xeef2f6),
                threshold: rgb(0xff5f5f),
                lines: [0x56b4e9, 0xf0a020, 0x1fb588, 0xf0a0d0, 0xf2e850, 0x6f86ff, 0xf4f4f4, 0xa56a3c]
                    .map(rgb),
            },
            Self::Light => Colors {
                background: rgb(0xffffff),
                grid: rgb(0xe2e6eb),
                quiet: rgb(0x5c6673),
                text: rgb(0x1a1f26),
                threshold: rgb(0xd01c2e),
                lines: [0x0072b2, 0xd57a00, 0x008a64, 0xc05a98, 0x5c5600, 0x4696d2, 0x2a2e35, 0x5a2080]
                    .map(rgb),
            },
        }
    }
}

/// As a picture is written, so that a colour that is drawn is the one that is seen.
fn rgb(hex: u32) -> Color {
    let [_, r, g, b] = hex.to_be_bytes().map(shade);
    Color::from_rgba8(r, g, b, 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How eyes see that lack one kind of cones (Machado, Oliveira and Fernandes 2009), after those that lack none.
    const EYES: [[[f32; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    ];

    fn linear(color: Color) -> [f32; 3] {
        [color.red(), color.green(), color.blue()]
            .map(|c| if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) })
    }

    /// As the Web Content Accessibility Guidelines count it: 1 to 21.
    fn contrast(a: Color, b: Color) -> f32 {
        let light =
            |c| linear(c).iter().zip([0.2126, 0.7152, 0.0722]).map(|(c, w)| c * w).sum::<f32>() + 0.05;
        let (a, b) = (light(a), light(b));
        a.max(b) / a.min(b)
    }

    /// CIE Lab.
    fn lab(color: Color, eyes: [[f32; 3]; 3]) -> [f32; 3] {
        let times =
            |v: [f32; 3], m: [[f32; 3]; 3]| m.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum::<f32>());
        let seen = times(linear(color), eyes).map(|c| c.clamp(0.0, 1.0));
        let xyz = times(seen, [[0.434, 0.376, 0.190], [0.213, 0.715, 0.072], [0.018, 0.109, 0.873]]);
        let [x, y, z] = xyz.map(|t| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn colours_stand_out_and_stay_apart_for_all_eyes() {
        for theme in [Theme::Dark, Theme::Light] {
            let colors = theme.colors();
            for (what, color, least) in [
                ("text", colors.text, 10.0),
                ("labels", colors.quiet, 5.0),
                ("threshold", colors.threshold, 5.0),
                ("grid", colors.grid, 1.2),
            ] {
                let got = contrast(color, colors.background);
                assert!(got >= least, "{theme:?} {what}: {got}");
            }
            for (n, color) in colors.lines.into_iter().enumerate() {
                let got = contrast(color, colors.background);
                assert!(got >= 3.0, "{theme:?} line {n}: {got}");
                for (m, other) in colors.lines.into_iter().enumerate().skip(n + 1) {
                    for eyes in EYES {
                        let pairs = lab(color, eyes).into_iter().zip(lab(other, eyes));
                        let apart = pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                        assert!(apart > 9.5, "{theme:?} lines {n} and {m}: {apart} for {eyes:?}");
                    }
                }
            }
        }
    }
}
