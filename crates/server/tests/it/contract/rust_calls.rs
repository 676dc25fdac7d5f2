//! Every call about webhooks that the Rust SDK has, made at least once with success, and each route made to refuse.
//!
//! What the calls mean is tested in `rust`; here it is that none is missing.
#![expect(deprecated, reason = "deprecated calls are calls, too")]

use std::sync::Arc;

use inkbox::Inkbox;
use inkbox::agent_identity::AgentIdentity;
use inkbox::agent_signup::AgentSignupOptions;
use inkbox::contacts::{
    ContactEmail, ContactFactKind, ContactReviewStatus, CreateContactParams,
    DirectionalContactCreatePermissions, ListContactsParams, UpdateContactParams,
    UpdateDirectionalContactAccess,
};
use inkbox::identities::types::Unset;
use inkbox::identities::{HandleUnavailableError, IdentityFilterModeOptions};
use inkbox::mail::FilterMode;
use inkbox::phone::{IncomingCallAction, IncomingCallActionSetOptions};
use inkbox::signing_keys::verify_webhook;
use inkbox::webhooks::WebhookSubscriptionScope;
use serde_json::{Value, json};
use uuid::Uuid;

use super::python::{LET_THE_COOLDOWN_PASS, SETTINGS};
use super::receiver::Receiver;
use super::relay::Relay;
use super::report::Report;
use super::rust_book::Book;
use super::rust_source;
use crate::support::running::{RunningServer, wait_for};

type Client = Arc<Inkbox>;

struct Run {
    server: RunningServer,
    receiver: Receiver,
    base_url: String,
    admin: Client,
    stranger: Client,
    unclaimed: Client,
    book: Book,
}

/// The SDK's version, and what its run came to.
pub(super) fn run() -> (String, Report) {
    let source = rust_source::read();
    let (server, receiver) = (RunningServer::start_with(&SETTINGS), Receiver::start());
    let relay = Relay::to(server.api);
    let base_url = relay.base_url.clone();
    let client = |key: &str| Inkbox::builder(key).base_url(&base_url).build().expect("a client");
    let admin = client(&server.admin_key);
    let stranger = client("ApiKey_00000000-0000-4000-8000-000000000000.nobody-has-this-key");
    let mut book = Book::new(source.calls, relay);
    book.ok("create_identity", admin.create_identity("unclaimed"));
    let unclaimed = client(&server.unclaimed_key("unclaimed"));
    let mut run = Run { server, receiver, base_url, admin, stranger, unclaimed, book };

    run.identities();
    let agent = run.book.ok("create_identity", run.admin.create_identity("help-desk"));
    run.identity(&agent);
    run.mailboxes(&agent);
    run.phone_numbers(&agent);
    run.incoming_calls(&agent);
    run.subscriptions(&agent);
    run.contacts(&agent);
    run.deliveries(&agent);
    run.signup();

    let (faults, report) = run.book.close();
    assert!(faults.is_empty(), "the run of the Rust SDK is not complete: {faults:#?}");
    println!("{} calls of the Rust SDK {} made", report.calls.len(), source.version);
    (source.version, report)
}

fn text(text: &str) -> Unset<String> {
    Unset::Value(Some(text.to_owned()))
}

impl Run {
    fn identities(&mut self) {
        let Self { book, admin, stranger, .. } = self;
        book.ok("whoami", admin.whoami());
        book.refused(401, "whoami", stranger.whoami());
        let answer =
            book.ok("with_response_metadata", admin.with_response_metadata(|scoped| scoped.whoami()));
        assert!(answer.notices.is_none(), "{:?}", answer.notices);

        let front = book.ok(
            "create_identity_with",
            admin.create_identity_with(
                "front",
                Some("Front"),
                text("d"),
                None,
                Some("post"),
                Unset::Omit,
                None,
                None,
                None,
            ),
        );
        assert!(front.email_address().is_some_and(|address| address.starts_with("post@")));
        let taken = admin.create_identity("front").map(|_| ()).expect_err("taken");
        assert!(HandleUnavailableError::from_error(&taken).is_some(), "{taken:?}");
        book.refused(409, "create_identity", Err::<(), _>(taken));
        let line = |handle: &str, claim| {
            admin.create_identity_with_imessage_number(
                handle,
                None,
                Unset::Omit,
                Some(true),
                None,
                Unset::Omit,
                None,
                None,
                None,
                claim,
            )
        };
        book.ok("create_identity_with_imessage_number", line("side", None));
        let claimed = line("line", Some(true)).map(|_| ());
        let detail = book.refused(422, "create_identity_with_imessage_number", claimed);
        assert!(detail.contains("not supported by this server"), "{detail}");
        let shared = admin.create_identity_with_contact_sharing_and_imessage_number(
            "shared",
            None,
            Unset::Omit,
            Some(true),
            Some(false),
            None,
            Unset::Omit,
            None,
            None,
            None,
            None,
        );
        book.ok("create_identity_with_contact_sharing_and_imessage_number", shared);

        book.ok("get_identity", admin.get_identity("front"));
        let directional = book.ok("get_identity_with_options", admin.get_identity_with_options("front"));
        assert_eq!(directional.into_legacy().id, front.id());
        assert_eq!(book.ok("list_identities", admin.list_identities()).len(), 4);
        assert_eq!(book.ok("list_identities_with_options", admin.list_identities_with_options()).len(), 4);
        book.refused(401, "list_identities", stranger.list_identities());
        self.identities_resource();
    }

    fn identities_resource(&mut self) {
        let Self { book, admin, .. } = self;
        let identities = admin.identities();
        let made = book
            .ok("identities.create", identities.create("a", None, Unset::Omit, None, None, None, None, None));
        let line = identities.create_with_imessage_number(
            "b",
            None,
            Unset::Omit,
            None,
            None,
            None,
            None,
            None,
            None,
        );
        book.ok("identities.create_with_imessage_number", line);
        let shared = identities.create_with_contact_sharing_and_imessage_number(
            "c",
            None,
            Unset::Omit,
            None,
            Some(false),
            None,
            None,
            None,
            None,
            None,
        );
        book.ok("identities.create_with_contact_sharing_and_imessage_number", shared);
        assert_eq!(book.ok("identities.get", identities.get("a")).id, made.id);
        book.ok("identities.get_with_options", identities.get_with_options("a"));
        assert_eq!(book.ok("identities.list", identities.list()).len(), 7);
        assert_eq!(book.ok("identities.list_with_options", identities.list_with_options()).len(), 7);
        self.identities_changed();
    }

    fn identities_changed(&mut self) {
        let Self { book, admin, .. } = self;
        let identities = admin.identities();
        book.ok("identities.set_contact_sharing_enabled", identities.set_contact_sharing_enabled("a", false));
        let changed =
            identities.update("a", text("A"), text("first"), Some(true), None, Some("whitelist"), None);
        assert_eq!(book.ok("identities.update", changed).display_name.as_deref(), Some("A"));
        let claim = |claim, key| {
            identities.update_with_imessage_number(
                "a",
                Unset::Value(None),
                Unset::Omit,
                None,
                None,
                None,
                None,
                Unset::Omit,
                claim,
                key,
            )
        };
        let cleared = book.ok("identities.update_with_imessage_number", claim(None, None));
        assert_eq!(cleared.display_name, None);
        book.refused(
            422,
            "identities.update_with_imessage_number",
            claim(Some(true), Some("once")).map(|_| ()),
        );
        let shared = identities.update_with_contact_sharing_and_imessage_number(
            "a",
            Unset::Omit,
            Unset::Omit,
            None,
            Some(false),
            None,
            None,
            None,
            Unset::Omit,
            None,
            None,
        );
        book.ok("identities.update_with_contact_sharing_and_imessage_number", shared);
        let modes = IdentityFilterModeOptions {
            slack_filter_mode: Some(FilterMode::Whitelist),
            ..Default::default()
        };
        book.ok("identities.update_filter_modes", identities.update_filter_modes("a", &modes));

        let number =
            book.ok("phone_numbers.provision", admin.phone_numbers().provision("a", "local", Some("NY")));
        book.refused(409, "phone_numbers.provision", admin.phone_numbers().provision("a", "local", None));
        book.ok("identities.release_phone_number", identities.release_phone_number("a"));
        book.refused(404, "identities.release_phone_number", identities.release_phone_number("a"));
        book.refused(404, "phone_numbers.get", admin.phone_numbers().get(&number.id.to_string()));
        for handle in ["a", "b", "c"] {
            book.ok("identities.delete", identities.delete(handle));
        }
        book.refused(404, "identities.delete", identities.delete("a"));
        book.refused(404, "identities.get", identities.get("a"));
    }

    fn identity(&mut self, agent: &AgentIdentity) {
        let Self { book, admin, stranger, unclaimed, .. } = self;
        book.ok("identity.get_with_options", agent.get_with_options());
        let modes = IdentityFilterModeOptions {
            mail_inbound_filter_mode: Some(FilterMode::Whitelist),
            ..Default::default()
        };
        book.ok("identity.update_filter_modes", agent.update_filter_modes(&modes));
        book.ok("identity.with_response_metadata", agent.with_response_metadata(AgentIdentity::refresh));
        book.ok("identity.set_contact_sharing_enabled", agent.set_contact_sharing_enabled(false));
        book.ok("identity.update", agent.update(text("Help"), Unset::Omit, None, None, None, None));
        assert_eq!(agent.display_name().as_deref(), Some("Help"));
        let line = agent.update_with_imessage_number(
            Unset::Omit,
            Unset::Omit,
            Some(true),
            None,
            None,
            None,
            Unset::Omit,
            None,
            None,
        );
        book.ok("identity.update_with_imessage_number", line);
        let shared = agent.update_with_contact_sharing_and_imessage_number(
            Unset::Omit,
            Unset::Omit,
            None,
            Some(false),
            None,
            None,
            None,
            Unset::Omit,
            None,
            None,
        );
        book.ok("identity.update_with_contact_sharing_and_imessage_number", shared);
        book.ok("identity.refresh", agent.refresh());

        let keys = admin.signing_keys();
        assert!(!book.ok("identity.get_signing_key_status", agent.get_signing_key_status()).configured);
        book.ok("identity.create_signing_key", agent.create_signing_key());
        assert!(book.ok("signing_keys.get_status", keys.get_status("help-desk")).configured);
        book.ok("signing_keys.create_or_rotate", keys.create_or_rotate("help-desk"));
        book.refused(404, "signing_keys.get_status", keys.get_status("nobody"));
        book.refused(404, "signing_keys.create_or_rotate", keys.create_or_rotate("nobody"));
        book.ok("signing_keys.create_or_rotate_org", keys.create_or_rotate_org());
        assert!(book.ok("signing_keys.get_status_org", keys.get_status_org()).configured);
        book.ok("create_signing_key", admin.create_signing_key());
        book.refused(403, "create_signing_key", unclaimed.create_signing_key());
        book.refused(401, "signing_keys.get_status_org", stranger.signing_keys().get_status_org());
        let label = ("night desk", Some("At night"));
        let key = book.ok("api_keys.create", admin.api_keys().create(label.0, label.1, Some(agent.id())));
        assert_eq!(key.record.scoped_identity_id, Some(agent.id()));
        book.refused(403, "api_keys.create", admin.api_keys().create("another admin", None, None));
    }

    fn mailboxes(&mut self, agent: &AgentIdentity) {
        let Self { book, admin, stranger, .. } = self;
        let address = agent.email_address().expect("an address");
        let mailboxes = admin.mailboxes();
        assert!(!book.ok("mailboxes.list", mailboxes.list()).is_empty());
        assert!(!book.ok("mailboxes.list_with_options", mailboxes.list_with_options()).is_empty());
        book.ok("mailboxes.get", mailboxes.get(&address));
        book.ok("mailboxes.get_with_options", mailboxes.get_with_options(&address));
        let changed = book.ok("mailboxes.update", mailboxes.update(&address, Some(FilterMode::Whitelist)));
        assert_eq!(changed.filter_mode, FilterMode::Whitelist);
        let options = inkbox::mail::MailboxUpdateOptions {
            signature_text: text("Help"),
            signature_enabled: Some(true),
            ..Default::default()
        };
        book.ok("mailboxes.update_with_options", mailboxes.update_with_options(&address, &options));
        book.refused(401, "mailboxes.list", stranger.mailboxes().list());
        book.refused(404, "mailboxes.get", mailboxes.get("nobody@client.test"));
        book.refused(404, "mailboxes.update", mailboxes.update("nobody@client.test", None));
    }

    fn phone_numbers(&mut self, agent: &AgentIdentity) {
        let Self { book, admin, stranger, receiver, .. } = self;
        let number = book.ok("identity.provision_phone_number", agent.provision_phone_number("local", None));
        let (id, url) = (number.id.to_string(), receiver.url("/call"));
        let numbers = admin.phone_numbers();
        assert_eq!(book.ok("phone_numbers.list", numbers.list()).len(), 1);
        assert_eq!(book.ok("phone_numbers.list_with_options", numbers.list_with_options()).len(), 1);
        book.ok("phone_numbers.get", numbers.get(&id));
        book.ok("phone_numbers.get_with_options", numbers.get_with_options(&id));
        let webhook = Some(Some("webhook"));
        let changed =
            numbers.update(&id, webhook, None, Some(Some(&url)), Some(inkbox::phone::FilterMode::Whitelist));
        let changed = book.ok("phone_numbers.update", changed);
        assert_eq!(changed.incoming_call_webhook_url.as_deref(), Some(url.as_str()));
        book.refused(422, "phone_numbers.update", numbers.update(&id, webhook, None, Some(None), None));
        let forwarding = numbers.update_with_forwarding(
            &id,
            Some(Some("auto_reject")),
            None,
            None,
            None,
            None,
            None,
            Some(Some("sip:desk@client.test")),
        );
        book.ok("phone_numbers.update_with_forwarding", forwarding);
        book.refused(401, "phone_numbers.list", stranger.phone_numbers().list());
        book.ok("identity.release_phone_number", agent.release_phone_number());
        let again = book.ok("phone_numbers.provision", numbers.provision("help-desk", "local", None));
        book.ok("phone_numbers.release", numbers.release(&again.id.to_string()));
        book.refused(404, "phone_numbers.release", numbers.release(&again.id.to_string()));
    }

    fn incoming_calls(&mut self, agent: &AgentIdentity) {
        let Self { book, admin, stranger, receiver, .. } = self;
        let (id, url) = (agent.id().to_string(), receiver.url("/call"));
        let calls = admin.incoming_call_action();
        let options = |of: Option<&str>| IncomingCallActionSetOptions {
            agent_identity_id: of.map(str::to_owned),
            forwarding_sip_uri: Some(Some("sip:desk@client.test".into())),
            ..Default::default()
        };
        let set = |of| calls.set(IncomingCallAction::Webhook, of, None, Some(&url));
        let own_set = || agent.set_incoming_call_action(IncomingCallAction::Webhook, None, Some(&url));
        let reject = IncomingCallAction::AutoReject;
        if !book.serves("PUT", "/api/v1/phone/incoming-call-action") {
            book.unserved("incoming_call_action.set", set(Some(&id)));
            let with_options = calls.set_with_options(reject, options(Some(&id)));
            book.unserved("incoming_call_action.set_with_options", with_options);
            book.unserved("incoming_call_action.get", calls.get(Some(&id)));
            book.unserved("identity.set_incoming_call_action", own_set());
            let with_options = agent.set_incoming_call_action_with_options(reject, options(None));
            book.unserved("identity.set_incoming_call_action_with_options", with_options);
            book.unserved("identity.get_incoming_call_action", agent.get_incoming_call_action());
            return;
        }
        book.refused(404, "incoming_call_action.get", calls.get(Some(&id)));
        book.refused(422, "incoming_call_action.set", set(None));
        book.refused(401, "incoming_call_action.get", stranger.incoming_call_action().get(Some(&id)));
        book.ok("incoming_call_action.set", set(Some(&id)));
        let read = book.ok("incoming_call_action.get", calls.get(Some(&id)));
        assert_eq!(read.incoming_call_webhook_url.as_deref(), Some(url.as_str()));
        let with_options = calls.set_with_options(reject, options(Some(&id)));
        book.ok("incoming_call_action.set_with_options", with_options);
        book.ok("identity.set_incoming_call_action", own_set());
        let with_options = agent.set_incoming_call_action_with_options(reject, options(None));
        book.ok("identity.set_incoming_call_action_with_options", with_options);
        let read = book.ok("identity.get_incoming_call_action", agent.get_incoming_call_action());
        assert_eq!(read.incoming_call_action, reject);
    }

    fn subscriptions(&mut self, agent: &AgentIdentity) {
        let Self { book, admin, stranger, unclaimed, receiver, .. } = self;
        let webhooks = admin.webhooks();
        let subscriptions = webhooks.subscriptions();
        let (url, moved, mailbox) =
            (receiver.url("/a"), receiver.url("/moved"), agent.mailbox().expect("one").id);
        let (sent, received) = (["message.sent".to_owned()], ["message.received".to_owned()]);
        let create = |url: &str, types: &[String]| {
            subscriptions.create(url, types, Some(mailbox), None, None, None, None)
        };
        let row = book.ok("webhooks.subscriptions.create", create(&url, &sent)).subscription;
        let conflict = create(&url, &sent).map(|_| ());
        let detail = book.refused(409, "webhooks.subscriptions.create", conflict);
        assert!(detail.contains("active subscription") && detail.contains("url"), "{detail}");
        let wide = subscriptions.create_for_identity(agent.id(), &moved, &received, None, Some("token-1"));
        let wide = book.ok("webhooks.subscriptions.create_for_identity", wide).subscription;
        assert_eq!(wide.auth_token.as_deref(), Some("token-1"));

        let by_mailbox = subscriptions.list(Some(mailbox), None, None, None, None);
        assert_eq!(book.ok("webhooks.subscriptions.list", by_mailbox).len(), 1);
        let scope = Some(WebhookSubscriptionScope::Identity);
        let all = subscriptions.list_with_scope(None, None, Some(agent.id()), None, None, scope);
        assert_eq!(book.ok("webhooks.subscriptions.list_with_scope", all).len(), 2);
        let strange = stranger.webhooks();
        let refused = strange.subscriptions().list_with_scope(None, None, None, None, None, scope);
        book.refused(401, "webhooks.subscriptions.list_with_scope", refused);
        let refused = strange.subscriptions().list(None, None, None, None, None);
        book.refused(401, "webhooks.subscriptions.list", refused);
        assert_eq!(book.ok("webhooks.subscriptions.get", subscriptions.get(row.id)).url, url);
        let refused = unclaimed.webhooks().subscriptions().get(row.id);
        book.refused(403, "webhooks.subscriptions.get", refused);
        book.refused(404, "webhooks.subscriptions.get", subscriptions.get(Uuid::nil()));

        let changed = subscriptions.update(row.id, None, Some(&received), None, Some(Some("token-2")));
        assert_eq!(book.ok("webhooks.subscriptions.update", changed).event_types, received);
        let refused = subscriptions.update(row.id, Some("ftp://client.test"), None, None, None);
        book.refused(422, "webhooks.subscriptions.update", refused);
        let types = ["text.sent".to_owned(), "call.ended".to_owned()];
        let mixed = subscriptions.update_with_scope(wide.id, None, Some(&types), None, Some(None), scope);
        let mixed = book.ok("webhooks.subscriptions.update_with_scope", mixed);
        assert_eq!((mixed.event_types.as_slice(), mixed.has_auth_token), (&types[..], false));
        book.ok("webhooks.subscriptions.delete_with_scope", subscriptions.delete_with_scope(wide.id, scope));
        book.ok("webhooks.subscriptions.delete", subscriptions.delete(row.id));
        book.refused(404, "webhooks.subscriptions.delete", subscriptions.delete(row.id));
    }

    fn contacts(&mut self, agent: &AgentIdentity) {
        let Self { book, admin, stranger, unclaimed, .. } = self;
        let contacts = admin.contacts();
        let email = |value: &str| vec![ContactEmail { label: None, value: value.into(), is_primary: true }];
        let of = |name: &str, address: &str| CreateContactParams {
            preferred_name: Some(name.into()),
            birthday: Some("1990-02-28".into()),
            emails: Some(email(address)),
            ..Default::default()
        };
        let ana = book.ok("contacts.create", contacts.create(&of("Ana", "ana@client.test")));
        let id = ana.id.to_string();
        let detail = book.refused(409, "contacts.create", contacts.create(&of("Other", "ANA@client.test")));
        assert!(detail.contains("emails") && detail.contains(&id), "{detail}");
        let lee = contacts.create_with_access_options(&of("Lee", "lee@client.test"), None);
        let lee = book.ok("contacts.create_with_access_options", lee).id.to_string();
        let only_one = DirectionalContactCreatePermissions {
            identity_id: agent.id(),
            access: UpdateDirectionalContactAccess::default(),
        };
        let refused = contacts.create_with_access_options(&of("Mia", "mia@client.test"), Some(&only_one));
        let detail = book.refused(422, "contacts.create_with_access_options", refused);
        assert!(detail.contains("not supported by this server"), "{detail}");

        assert_eq!(book.ok("contacts.get", contacts.get(&id)).emails[0].value, "ana@client.test");
        let all =
            ListContactsParams { review_status: vec![ContactReviewStatus::Confirmed], ..Default::default() };
        assert_eq!(book.ok("contacts.list", contacts.list(&all)).len(), 2);
        book.refused(401, "contacts.list", stranger.contacts().list(&all));
        let found = contacts.lookup(Some("Ana@client.test"), None, None, None, None);
        assert_eq!(book.ok("contacts.lookup", found)[0].id, ana.id);
        book.refused(422, "contacts.lookup", contacts.lookup(None, None, None, Some("555"), None));
        let change = UpdateContactParams { notes: Some(Some("Likes tea".into())), ..Default::default() };
        let changed = book.ok("contacts.update", contacts.update(&id, &change));
        assert_eq!(
            (changed.notes.as_deref(), changed.birthday.as_deref()),
            (Some("Likes tea"), Some("1990-02-28"))
        );
        assert_eq!(book.ok("contacts.access.list", contacts.access().list(&id))[0].identity_id, None);
        book.refused(404, "contacts.access.list", contacts.access().list(&Uuid::nil().to_string()));

        let facts = contacts.facts();
        let fact =
            book.ok("contacts.facts.create", facts.create(&id, "Likes tea", ContactFactKind::Preference));
        let of = fact.id.to_string();
        book.refused(
            403,
            "contacts.facts.create",
            unclaimed.contacts().facts().create(&id, "x", fact.kind.expect("one")),
        );
        assert_eq!(book.ok("contacts.facts.list", facts.list(&id)).len(), 1);
        book.refused(403, "contacts.facts.list", unclaimed.contacts().facts().list(&id));
        assert_eq!(
            book.ok("contacts.facts.list_including_expired", facts.list_including_expired(&id)).len(),
            1
        );
        assert_eq!(book.ok("contacts.facts.get", facts.get(&id, &of)).content, "Likes tea");
        let changed = facts.update(&id, &of, Some("Likes rum"), None);
        assert_eq!(book.ok("contacts.facts.update", changed).content, "Likes rum");
        assert_eq!(book.ok("contacts.facts.delete", facts.delete(&id, &of)).memory_count, 0);
        book.refused(404, "contacts.facts.get", facts.get(&id, &of));
        book.refused(404, "contacts.facts.update", facts.update(&id, &of, Some("x"), None));
        book.refused(404, "contacts.facts.delete", facts.delete(&id, &of));
        for id in [&id, &lee] {
            book.ok("contacts.delete", contacts.delete(id));
        }
        book.refused(404, "contacts.delete", contacts.delete(&id));
        book.refused(404, "contacts.get", contacts.get(&id));
        book.refused(404, "contacts.update", contacts.update(&id, &change));
    }

    fn deliveries(&mut self, agent: &AgentIdentity) {
        let Self { book, admin, stranger, receiver, server, .. } = self;
        let webhooks = admin.webhooks();
        let (subscriptions, deliveries) = (webhooks.subscriptions(), webhooks.deliveries());
        let secret = book.ok("identity.create_signing_key", agent.create_signing_key()).signing_key;
        let types = ["a2a.task.canceled".to_owned()];
        let created = subscriptions.create_for_identity(agent.id(), &receiver.url("/x"), &types, None, None);
        let row = book.ok("webhooks.subscriptions.create_for_identity", created).subscription;
        let sample = inkhook_wire::event::EventType::A2aTaskCanceled.sample();
        let event = json!({"event_type": types[0], "agent_identity_id": agent.id(), "data": sample});
        let (status, answer) = server.post("/api/v1/events", &event);
        assert_eq!((status, &answer["deliveries"]), (202, &json!(1)), "{answer}");
        let received = receiver.take();
        let verified = |body: &[u8]| verify_webhook(body, &received.headers, &secret);
        assert!(book.ok("inkbox.verify_webhook", verified(&received.body)));
        assert!(!verified(b"{}").expect("a verdict"));

        let list = || deliveries.list(Some(row.id), None, Some(&types[0]), Some(true), Some(10), Some(0));
        let logged = wait_for("a logged attempt", || list().expect("a list").pop());
        assert_eq!(book.ok("webhooks.deliveries.list", list()).len(), 1);
        let strange = stranger.webhooks();
        let refused = strange.deliveries().list(None, None, None, None, None, None);
        book.refused(401, "webhooks.deliveries.list", refused);
        let again = book.ok("webhooks.deliveries.replay", deliveries.replay(logged.id));
        assert!(again.is_replay);
        assert_eq!(receiver.take().body, received.body, "the same event, byte for byte");
        book.refused(404, "webhooks.deliveries.replay", deliveries.replay(Uuid::nil()));
        book.ok("webhooks.subscriptions.delete", subscriptions.delete(row.id));
        book.refused(409, "webhooks.deliveries.replay", deliveries.replay(logged.id));
        book.ok("identity.delete", agent.delete());
        book.refused(404, "identity.delete", agent.delete());
        book.refused(404, "get_identity", admin.get_identity("help-desk").map(|_| ()));
        receiver.assert_quiet();
    }

    /// Always told where to sign up: these calls know neither the client's address nor the environment's.
    fn signup(&mut self) {
        let Self { book, server, base_url, .. } = self;
        let (base_url, human) = (Some(base_url.as_str()), "ana@client.test");
        let plain = Inkbox::signup(human, "Hello", None, Some("desk"), None, Some("tests"), base_url, None);
        let agent = book.ok("signup", plain);
        assert!(agent.agent_handle.starts_with("desk-"), "{agent:?}");
        assert_eq!((&*agent.claim_status, &*agent.human_email), ("agent_unclaimed", human));
        let nobody = Inkbox::signup("nobody", "Hello", None, None, None, None, base_url, None);
        book.refused(422, "signup", nobody);
        let (_, invitation) = server.post("/api/v1/organization/invitation-token", &json!({}));
        let options = AgentSignupOptions {
            display_name: Some("Desk"),
            email_local_part: Some("front"),
            invitation_token: invitation["invitation_token"].as_str(),
            ..Default::default()
        };
        let invited =
            book.ok("signup_with", Inkbox::signup_with("lee@client.test", "Hello", options, base_url, None));
        assert!(invited.email_address.starts_with("front-"), "{invited:?}");
        assert_eq!(invited.invitation.expect("it came with one").status, "awaiting_verification");

        let (key, admin) = (agent.api_key.as_str(), server.admin_key.as_str());
        let status = || Inkbox::get_signup_status(key, base_url, None);
        let now = book.ok("get_signup_status", status());
        assert_eq!((&*now.claim_status, now.restrictions.can_receive), ("agent_unclaimed", true));
        book.refused(404, "get_signup_status", Inkbox::get_signup_status(admin, base_url, None));
        let resend = || Inkbox::resend_signup_verification(key, base_url, None);
        book.refused(429, "resend_signup_verification", resend());
        server.books().run(LET_THE_COOLDOWN_PASS);
        book.ok("resend_signup_verification", resend());
        let code = wait_for("the second code in the log", || {
            let log = server.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut codes =
                lines.filter(|line| line["handle"] == *agent.agent_handle && line["code"].is_string());
            codes.nth(1).map(|line| line["code"].as_str().expect("a code").to_owned())
        });
        let wrong = format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000);
        book.refused(401, "verify_signup", Inkbox::verify_signup(key, &wrong, base_url, None));
        let claimed = book.ok("verify_signup", Inkbox::verify_signup(key, &code, base_url, None));
        assert_eq!(claimed.claim_status, "agent_claimed");
        assert_eq!(book.ok("get_signup_status", status()).claim_status, "agent_claimed");
        book.refused(409, "resend_signup_verification", resend());
    }
}
