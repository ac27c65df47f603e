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
                background: rgb(0x15_1a_21),
                grid: rgb(0x2c_34_3f),
                quiet: rgb(0x9f_aa_b8),
                text: rgb(0xee_f2_f6),
                threshold: rgb(0xff_5f_5f),
                lines: [
                    0x56_b4_e9, 0xf0_a0_20, 0x1f_b5_88, 0xf0_a6_d6, 0xf2_e8_50, 0x6f_86_ff, 0xf4_f4_f4,
                    0xa5_6a_3c,
                ]
                .map(rgb),
            },
            Self::Light => Colors {
                background: rgb(0xff_ff_ff),
                grid: rgb(0xe2_e6_eb),
                quiet: rgb(0x5c_66_73),
                text: rgb(0x1a_1f_26),
                threshold: rgb(0xd0_1c_2e),
                lines: [
                    0x00_72_b2, 0xd5_7a_00, 0x00_8a_64, 0xc0_5a_98, 0x8c_80_00, 0x4a_9f_d8, 0x2a_2e_35,
                    0x8a_46_1a,
                ]
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
