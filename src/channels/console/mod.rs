//! The terminal: `opsbot chat` and `opsbot ask`, on a screen, in a pipe or as JSON lines.

mod alert;
mod card;
mod chart;
mod chat;
mod input;
mod render;
mod screen;
mod state;
mod style;
mod table;
mod text;

pub use chat::{Ask, ChatOptions, Link, once, run};
pub use input::terminal_size;
pub use render::Renderer;
pub use screen::Screen;
pub use state::{ChatState, LONGEST_MESSAGE, Typed};
pub use style::{Style, Surroundings};
