//! Organisations and identities to test with.

use inkhook_server::app::App;
use inkhook_server::domain::api_key::KeyScope;
use inkhook_server::domain::caller::Scope;
use inkhook_server::domain::identity::{IncomingCall, NumberKind};
use inkhook_server::domain::number::OrganizationNo;
use inkhook_server::store::api_keys::{MintKey, NewApiKey};
use inkhook_server::store::identities::{CreateIdentity, NewIdentity};
use inkhook_server::store::organizations;
use inkhook_server::store::phone_numbers::NewPhoneNumber;
use inkhook_wire::id::{IdentityId, MailboxId, OrganizationId, PhoneNumberId};

use super::MAIL_DOMAIN;

/// A tenant and its admin key.
pub struct Organization {
    pub no: OrganizationNo,
    pub id: OrganizationId,
    pub key: String,
    app: App,
}

/// An agent with a mailbox and a claimed key; with a number if it was asked for.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: IdentityId,
    pub handle: String,
    pub mailbox: MailboxId,
    pub address: String,
    pub phone_number: Option<(PhoneNumberId, String)>,
    pub key: String,
}

impl Organization {
    pub(super) fn new(app: App, made: &organizations::Organization, key: String) -> Self {
        Self { no: made.no, id: made.id, key, app }
    }

    /// What its statements may touch.
    pub fn scope(&self) -> Scope {
        Scope { organization: self.no, identity: None }
    }

    /// An identity with a mailbox `handle@mail.test` and a claimed key.
    pub async fn identity(&self, handle: &str) -> Identity {
        self.make(handle, None).await
    }

    /// The same with a phone number.
    pub async fn identity_with_number(&self, handle: &str) -> Identity {
        let number = NewPhoneNumber {
            number: None,
            kind: NumberKind::Local,
            state: None,
            incoming_call: IncomingCall::default(),
            settings: serde_json::Map::new(),
        };
        self.make(handle, Some(number)).await
    }

    async fn make(&self, handle: &str, phone_number: Option<NewPhoneNumber>) -> Identity {
        let new = NewIdentity {
            organization: self.no,
            handle: handle.into(),
            display_name: None,
            description: None,
            imessage_enabled: false,
            settings: serde_json::Map::new(),
            address: format!("{handle}@{MAIL_DOMAIN}"),
            phone_number,
        };
        let made = match self.app.store.create_identity(new).await.expect("stored") {
            CreateIdentity::Created(made) => made,
            refused => panic!("{refused:?}"),
        };
        let mailbox = made.mailbox.expect("every identity has a mailbox");
        Identity {
            id: made.id,
            handle: made.handle,
            mailbox: mailbox.id,
            address: mailbox.address,
            phone_number: made.phone_number.map(|number| (number.id, number.number)),
            key: self.agent_key(made.id).await,
        }
    }

    /// A claimed key of an identity.
    pub async fn agent_key(&self, identity: IdentityId) -> String {
        self.mint(NewApiKey { identity: Some(identity), ..new_key(KeyScope::Agent) }).await
    }

    /// A key of an identity that nobody has claimed.
    pub async fn unclaimed_key(&self, identity: IdentityId) -> String {
        self.mint(NewApiKey { identity: Some(identity), claimed: false, ..new_key(KeyScope::Agent) }).await
    }

    /// Another admin key.
    pub async fn admin_key(&self) -> String {
        self.mint(new_key(KeyScope::Admin)).await
    }

    async fn mint(&self, new: NewApiKey) -> String {
        let new = NewApiKey { organization: Some(self.no), ..new };
        match self.app.store.mint_key(new).await.expect("stored") {
            MintKey::Minted(_, text) => text.expose().to_owned(),
            refused => panic!("{refused:?}"),
        }
    }
}

pub(super) fn new_key(scope: KeyScope) -> NewApiKey {
    NewApiKey {
        organization: None,
        scope,
        identity: None,
        claimed: true,
        label: "test".into(),
        description: None,
        created_by: "test".into(),
        expires_at: None,
        text: None,
    }
}
