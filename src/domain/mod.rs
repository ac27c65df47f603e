//! The vocabulary that every room shares: plain values with no clock, no IO and no `async`.

pub mod actor;
pub mod alert;
pub mod alert_card;
pub mod approval_id;
pub mod audit;
pub mod ids;
pub mod inbound;
pub mod note;
pub mod outbound;
pub mod risk;
pub mod target;
pub mod tool;
pub mod until;
pub mod untrusted;

pub use actor::{Actor, ChannelKind, Origin, Role};
pub use alert::{
    Ack, Action, Alert, EventKind, Excerpt, Fingerprint, Incident, IncidentEvent, IncidentId, IncidentState,
    Labels, Matcher, Mute, Signal, SignalSource, Silence, SilenceId, Subject,
};
pub use alert_card::{AlertCard, StormCard};
pub use approval_id::ApprovalId;
pub use audit::{AuditEntry, AuditKind};
pub use ids::{ConversationKey, CustomerId, HostName, PersonName, ServiceName};
pub use inbound::{Attachment, Inbound};
pub use note::{NewNote, Note};
pub use outbound::{Block, Card, CardState, Chart, Finding, Level, Outbound, Severity, TurnStatus};
pub use risk::Risk;
pub use target::{ContainerRef, Customer, Target};
pub use tool::{
    Args, Outcome, Param, ParamKind, PlanStep, ResolvedCall, ToolCall, ToolError, ToolOutput, ToolSpec,
};
pub use untrusted::Untrusted;
