//! Who may do what, and what must be asked: pure decisions over values.

pub mod approval;
pub mod permit;

pub use approval::Approval;
pub use permit::Permit;
