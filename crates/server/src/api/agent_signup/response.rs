//! How a sign-up is shown to the agent.

use inkhook_wire::id::{IdentityId, OrganizationId};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::time::TimeMs;
use crate::store::signups::{self, Signup};

/// What a claim is called.
const UNCLAIMED: &str = "agent_unclaimed";
/// See [`UNCLAIMED`].
const CLAIMED: &str = "agent_claimed";

pub(super) fn claim_status(signup: &Signup) -> &'static str {
    if signup.claimed_at.is_some() { CLAIMED } else { UNCLAIMED }
}

/// An agent that has just signed up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentSignupRegistered)]
pub(super) struct Registered {
    email_address: Option<String>,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    /// The key, told this once.
    api_key: String,
    agent_handle: String,
    /// `agent_unclaimed`.
    claim_status: &'static str,
    human_email: String,
    message: String,
    /// When it came with an invitation.
    invitation: Option<Invitation>,
}

impl Registered {
    pub(super) fn new(made: signups::Registered, human_email: String) -> Self {
        let signups::Registered { identity, key, invitation } = made;
        let invitation = invitation.map(|id| Invitation {
            invitation_id: id,
            status: "awaiting_verification",
            invitee_identity_id: identity.id,
            invitee_agent_handle: identity.handle.clone(),
            peer_agent_handles: [],
            accepted_at: None,
        });
        Self {
            message: format!(
                "A 6-digit code is on its way to {human_email}. Ask for it and send it to \
                /api/v1/agent-signup/verify within 48 hours; until then this key may do little more than look at what is its own."
            ),
            email_address: identity.mailbox.map(|mailbox| mailbox.address),
            organization_id: identity.organization_id,
            api_key: key.expose().to_owned(),
            agent_handle: identity.handle,
            claim_status: UNCLAIMED,
            human_email,
            invitation,
        }
    }
}

/// The invitation that an agent came with.
#[expect(clippy::struct_field_names, reason = "what the clients parse")]
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentSignupInvitation)]
pub(super) struct Invitation {
    invitation_id: Uuid,
    /// `awaiting_verification` or `accepted`.
    status: &'static str,
    #[schema(value_type = Uuid)]
    invitee_identity_id: IdentityId,
    invitee_agent_handle: String,
    /// Empty: agents are not connected with each other here.
    #[schema(value_type = Vec<String>)]
    peer_agent_handles: [String; 0],
    #[schema(value_type = Option<String>, format = DateTime)]
    accepted_at: Option<TimeMs>,
}

/// Where a sign-up has come to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentSignupVouched)]
pub(super) struct Vouched {
    /// `agent_unclaimed` or `agent_claimed`.
    claim_status: &'static str,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    message: String,
    /// When it came with an invitation.
    invitation: Option<Invitation>,
}

impl Vouched {
    pub(super) fn claimed(signup: &Signup) -> Self {
        Self::new(signup, "Claimed: this key may do now whatever an agent's key may.".into())
    }

    pub(super) fn code_made(signup: &Signup) -> Self {
        let to = &signup.human_email;
        Self::new(
            signup,
            format!("Another 6-digit code is on its way to {to}; the one before is of no use any more."),
        )
    }

    fn new(signup: &Signup, message: String) -> Self {
        let invitation = signup.invitation.map(|id| Invitation {
            invitation_id: id,
            status: if signup.claimed_at.is_some() { "accepted" } else { "awaiting_verification" },
            invitee_identity_id: signup.identity,
            invitee_agent_handle: signup.handle.clone(),
            peer_agent_handles: [],
            accepted_at: signup.claimed_at,
        });
        let organization_id = signup.organization_id;
        Self { claim_status: claim_status(signup), organization_id, message, invitation }
    }
}

/// How a sign-up stands.
#[expect(clippy::struct_field_names, reason = "what the clients parse")]
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentSignupStatus)]
pub(super) struct Status {
    /// `agent_unclaimed` or `agent_claimed`.
    claim_status: &'static str,
    /// `pending`, or `verified` once somebody vouches.
    human_state: &'static str,
    human_email: String,
    restrictions: Restrictions,
}

/// What the agent may do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentSignupRestrictions)]
struct Restrictions {
    /// 0: this server sends no mail for agents.
    max_sends_per_day: u32,
    /// Empty, for the same reason.
    #[schema(value_type = Vec<String>)]
    allowed_recipients: [String; 0],
    /// Mail to its mailbox is taken from the start.
    can_receive: bool,
    /// An agent's key never makes mailboxes.
    can_create_mailboxes: bool,
}

impl From<&Signup> for Status {
    fn from(signup: &Signup) -> Self {
        Self {
            claim_status: claim_status(signup),
            human_state: if signup.claimed_at.is_some() { "verified" } else { "pending" },
            human_email: signup.human_email.clone(),
            restrictions: Restrictions {
                max_sends_per_day: 0,
                allowed_recipients: [],
                can_receive: true,
                can_create_mailboxes: false,
            },
        }
    }
}
