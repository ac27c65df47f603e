//! The tool-calling loop: pure steps, and the seams through which it reaches models, tools and people.

pub mod port;
