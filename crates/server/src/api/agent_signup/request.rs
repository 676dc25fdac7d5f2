//! What an agent says when it signs up.

use std::net::IpAddr;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::body::SecretText;
use crate::api::error::ApiError;
use crate::api::known::{self, at};
use crate::domain::names::{self, BadName};
use crate::domain::secret::Secret;
use crate::domain::signup::{self, NOTE_CHARS};
use crate::store::signups::NewSignup;

/// Characters of a display name at most.
const DISPLAY_NAME_CHARS: usize = 255;
/// Characters of what an agent says that it runs in at most.
const HARNESS_CHARS: usize = 255;
/// What a name begins with when nothing is said.
const NAME: &str = "agent";
/// In place of a network where there is none.
const NO_BLOCK: &str = "unknown";

/// Somebody who signs up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentSignup, example = json!({
    "human_email": "ana@example.com", "note_to_human": "I am the agent that you set up this morning.",
    "agent_handle": "sales"
}))]
pub(super) struct RegisterBody {
    /// Who is to vouch; a plain address in ASCII, and no mailbox of this server.
    human_email: String,
    /// What the human reads beside the code, quoted and without links: 1 to 2,000 characters.
    note_to_human: String,
    /// The handle when left out.
    display_name: Option<String>,
    /// What the handle begins with.
    agent_handle: Option<String>,
    /// What the part before the `@` begins with.
    email_local_part: Option<String>,
    /// What the agent runs in; any text.
    harness: Option<String>,
    /// From an organisation that invites: the agent belongs to it from the start.
    #[schema(value_type = Option<String>)]
    invitation_token: Option<SecretText>,
}

impl RegisterBody {
    pub(super) fn checked(self, client: Option<IpAddr>, mail_domain: &str) -> Result<NewSignup, ApiError> {
        let human_email = signup::human_email(&self.human_email, mail_domain);
        let human_email = human_email.map_err(|error| ApiError::invalid("human_email", error.to_string()))?;
        if self.note_to_human.trim().is_empty() {
            return Err(ApiError::invalid("note_to_human", "must not be empty"));
        }
        known::column_text(&["note_to_human"], &self.note_to_human, NOTE_CHARS)?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        known::column_text(&["display_name"], &text(&self.display_name), DISPLAY_NAME_CHARS)?;
        known::column_text(&["harness"], &text(&self.harness), HARNESS_CHARS)?;
        let handle = named("agent_handle", self.agent_handle.as_deref(), names::handle)?;
        let local_part = named("email_local_part", self.email_local_part.as_deref(), names::local_part)?;
        let handle = handle
            .or_else(|| self.display_name.as_deref().and_then(signup::name_of))
            .unwrap_or_else(|| NAME.to_owned());
        Ok(NewSignup {
            human_email,
            note: self.note_to_human,
            harness: self.harness,
            display_name: self.display_name,
            local_part: local_part.unwrap_or_else(|| handle.clone()),
            handle,
            mail_domain: mail_domain.to_owned(),
            block: client.map_or_else(|| NO_BLOCK.to_owned(), signup::block),
            invitation: self.invitation_token.map(invitation).transpose()?,
        })
    }
}

fn named(
    field: &str,
    given: Option<&str>,
    read: impl Fn(&str) -> Result<String, BadName>,
) -> Result<Option<String>, ApiError> {
    let name = given.map(read).transpose();
    name.map_err(|error| ApiError::invalid(field, error.to_string()))
}

fn invitation(token: SecretText) -> Result<Secret, ApiError> {
    let SecretText(token) = token;
    if signup::is_invitation_token(token.expose()) {
        Ok(token)
    } else {
        Err(at(&["invitation_token"], "is not an invitation of this server", "invalid"))
    }
}

/// A code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentSignupVerify, example = json!({"verification_code": "012345"}))]
pub(super) struct VerifyBody {
    /// Six digits.
    #[schema(value_type = String)]
    verification_code: SecretText,
}

impl VerifyBody {
    pub(super) fn checked(self) -> Result<Secret, ApiError> {
        let SecretText(code) = self.verification_code;
        if signup::is_code(code.expose()) {
            Ok(code)
        } else {
            Err(ApiError::invalid("verification_code", "must be six digits"))
        }
    }
}
