//! Data of `a2a.*` events. Ids are opaque: they come from the other agent's side.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Maybe;

/// The `data` of an agent-to-agent event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct A2aData {
    pub task_id: String,
    pub context_id: String,
    /// For example `submitted`, `working`, `completed`, `canceled`; others may be added.
    pub state: String,
    /// Who opened the task.
    pub caller: A2aParty,
    /// Who wrote the message.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub sender: Maybe<A2aParty>,
    /// Absent when the task was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// What the message says, in parts of the A2A protocol; absent when the task was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<Map<String, Value>>>,
}

/// An agent that takes part in a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct A2aParty {
    pub identity_id: String,
    pub organization_id: String,
    pub handle: Option<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub affiliation: Maybe<DomainAffiliation>,
}

/// A domain that the agent's organisation has been shown to own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainAffiliation {
    pub domain: String,
    pub verifier: String,
    pub last_success_at: String,
    pub valid_until: String,
}
