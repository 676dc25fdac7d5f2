"""Lets an unmodified Inkbox SDK make every call about webhooks that it has, against a running server.

Run by `tests/it/contract/python.rs` with an interpreter that finds the SDK:

    PYTHONPATH=target/inkbox-0.7.20 target/venv-inkbox/bin/python run.py --base-url http://127.0.0.1:8080 \
        --admin-key KEY --unclaimed-key KEY --version 0.7.20 --openapi openapi.json --report report.json --log server.log

Only the SDK talks to the server, but for three calls that no SDK has: publishing an event, putting a phone call, and inviting
agents. What a version has is
asked of the SDK itself, by the names of calls and of their parameters (`sdk.py`), never by the version's number.
One line a step; the first failure ends the run. At the end each call must have been made, each of its parameters
passed, and each route must have refused something.
"""

import argparse
import datetime
import http.client
import importlib.metadata
import json
import time
import urllib.parse
import uuid
from pathlib import Path

import inkbox
from inkbox.contacts import types as contacts
from inkbox.identities.exceptions import HandleUnavailableError
from inkbox.identities.types import IdentityPhoneNumberCreateOptions, IdentityTunnelCreateOptions

from receiver import DEADLINE_S, Receiver
from sdk import Sdk, make_client

SUBSCRIPTION_LIMIT = 20
CREATE, LIST = "webhooks.subscriptions.create", "webhooks.subscriptions.list"
GET, UPDATE, DELETE = "webhooks.subscriptions.get", "webhooks.subscriptions.update", "webhooks.subscriptions.delete"
LOG, REPLAY = "webhooks.deliveries.list", "webhooks.deliveries.replay"

MAIL = {
    "id": "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001",
    "message_id": "<q1@client.test>",
    "from_address": "ana@client.test",
    "cc_addresses": ["lee@client.test"],
    "subject": "Invoice 42",
    "snippet": "Könntest du",
    "body": "Könntest du Rechnung 42 noch einmal senden? ✓",
    "body_state": "complete",
    "direction": "inbound",
    "status": "received",
    "has_attachments": False,
}


def wait_for(what, look):
    """Asks until there is an answer; the one place that waits for something that gives no sign."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {DEADLINE_S} s")


class Run:
    def __init__(self, options):
        self.options = options
        routes = [
            f"{method.upper()} {path}"
            for path, item in json.load(open(options.openapi))["paths"].items()
            for method in item
        ]
        self.sdk = Sdk(self.client(options.admin_key), routes)
        self.stranger = self.client("ApiKey_00000000-0000-4000-8000-000000000000.nobody-has-this-key")
        self.unclaimed = self.client(options.unclaimed_key)
        self.receiver = Receiver()
        self.agents_have_keys = self.sdk.has("signing_keys.create_or_rotate")

    def client(self, key):
        return make_client(key, self.options.base_url)

    def publish(self, event):
        return self.post("/api/v1/events", event, 202)

    def post(self, path, body, expected):
        """A call that no SDK has."""
        address = urllib.parse.urlsplit(self.options.base_url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=DEADLINE_S)
        headers = {"X-API-Key": self.options.admin_key, "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == expected, f"{path} answered {response.status}: {text}"
        return json.loads(text)

    def all(self):
        print(f"calls of inkbox {self.options.version} that are about webhooks: {', '.join(sorted(self.sdk.calls))}")
        for step in (
            self.whoami,
            self.identity,
            self.more_identities,
            self.mailboxes,
            self.subscription,
            self.lists,
            self.changes,
            self.delivery,
            self.log,
            self.replay,
            self.signing_keys,
            self.address_book,
            self.address_book_facts,
            self.scoped_key,
            self.phone,
            self.incoming_calls,
            self.calls,
            self.signup,
            self.unauthorized,
            self.forbidden,
            self.not_found,
            self.conflicts,
            self.invalid,
            self.deletes,
        ):
            step()
            print(f"ok {step.__name__}", flush=True)
        self.receiver.assert_quiet()
        faults = list(self.sdk.faults())
        assert not faults, "\n".join(["the run is not complete:", *faults])
        with open(self.options.report, "w") as report:
            json.dump(self.sdk.report(), report)
        print(f"{len(self.sdk.calls)} calls of inkbox {self.options.version} made")

    def whoami(self):
        me = self.sdk("whoami")
        assert me.auth_type == "api_key", me
        assert me.auth_subtype == inkbox.AUTH_SUBTYPE_API_KEY_ADMIN_SCOPED, me
        assert me.organization_id, me
        self.organization = me.organization_id
        if self.sdk.has("with_response_metadata"):
            # The scoped client is another object, so its call is part of this one.
            answer = self.sdk("with_response_metadata", lambda scoped: scoped.whoami())
            assert (answer.data.organization_id, answer.notices) == (self.organization, None), answer

    def identity(self):
        sdk = self.sdk
        self.agent = sdk("create_identity", "help-desk", display_name="Help", description=None)
        assert self.agent.agent_handle == "help-desk"
        assert self.agent.display_name == "Help"
        self.mailbox = self.agent.mailbox
        assert self.mailbox.email_address.startswith("help-desk@"), self.mailbox
        assert self.agent.email_address == self.mailbox.email_address
        again = sdk("get_identity", "help-desk")
        assert (again.id, again.mailbox.id) == (self.agent.id, self.mailbox.id)
        assert "help-desk" in [agent.agent_handle for agent in sdk("list_identities")]

    def more_identities(self):
        """The other settings of an identity: those that are kept, and those that have no function here."""
        sdk = self.sdk
        number = IdentityPhoneNumberCreateOptions(
            type="local", incoming_call_action="webhook", incoming_call_webhook_url=f"{self.receiver.url}/call"
        )
        settings = sdk.known("create_identity", imessage_enabled=True, contact_sharing_enabled=False)
        front = sdk(
            "create_identity", "front-desk", email_local_part="front", sending_domain=None,
            tunnel=IdentityTunnelCreateOptions(tls_mode="edge"), phone_number=number, **settings,
        )
        assert front.email_address.startswith("front@"), front
        assert front.phone_number.incoming_call_webhook_url == f"{self.receiver.url}/call", front.phone_number
        assert sdk("get_identity", "front-desk").phone_number.incoming_call_action == "webhook"
        sdk.refused(422, "create_identity", "vault-desk", vault_secret_ids=[uuid.uuid4()])
        for asked in ({"claim_imessage_number": True}, {"imessage_number_type": "dedicated_inbound"}):
            if asked := sdk.known("create_identity", **asked):
                detail = sdk.refused(422, "create_identity", "line-desk", imessage_enabled=True, **asked)
                assert "is not supported by this server" in detail, detail

        self.change_identity("identity.update", (), front)
        if sdk.has("identity.update", "new_handle"):
            sdk("identity.update", on=front, new_handle="front-office")
            assert sdk("get_identity", "front-office").id == front.id
        sdk("identity.delete", on=front)
        if sdk.has("identities.create"):
            self.identities_resource()

    def change_identity(self, update, values, identity):
        """Changes every setting that this version of the call has. `values` come before the settings."""
        sdk = self.sdk
        on = identity if update.startswith("identity.") else None
        sdk(update, *values, on=on, display_name="Front", description="Where people come in")
        kept = sdk("get_identity", identity.agent_handle)
        assert (kept.display_name, kept.description) == ("Front", "Where people come in"), kept
        sdk(update, *values, on=on, display_name=None, description=None)
        assert sdk("get_identity", identity.agent_handle).description is None
        for mode in ("imessage", "mail", "phone", "slack"):
            for setting in (f"{mode}_filter_mode", f"{mode}_inbound_filter_mode", f"{mode}_outbound_filter_mode"):
                if asked := sdk.known(update, **{setting: "whitelist"}):
                    sdk(update, *values, on=on, **asked)
                    kept = getattr(sdk("get_identity", identity.agent_handle), setting)
                    # Since modes have directions, the SDK itself shows the phone's mode as iMessage's, too.
                    shared = setting == "imessage_filter_mode" and sdk.has(update, "phone_inbound_filter_mode")
                    assert shared or kept == "whitelist", (setting, kept)
        asked = sdk.known(update, imessage_enabled=True, contact_sharing_enabled=False, status="active")
        if asked:
            sdk(update, *values, on=on, **asked)
        if sdk.has(update, "imessage_enabled"):
            assert sdk("get_identity", identity.agent_handle).imessage_enabled is True
        for name, value in (
            ("imessage_number_id", uuid.uuid4()),
            ("claim_imessage_number", True),
            ("imessage_number_type", "dedicated_inbound"),
        ):
            if asked := sdk.known(update, **{name: value}):
                if name != "imessage_number_id":
                    asked |= sdk.known(update, idempotency_key="once")
                detail = sdk.refused(422, update, *values, on=on, **asked)
                assert "is not supported by this server" in detail, detail

    def identities_resource(self):
        sdk = self.sdk
        made = sdk("identities.create", agent_handle="side-desk", display_name="Side", description=None,
                   imessage_enabled=False, contact_sharing_enabled=False,
                   mailbox=inkbox.IdentityMailboxCreateOptions(email_local_part="side"),
                   tunnel=IdentityTunnelCreateOptions(tls_mode="edge"),
                   phone_number=IdentityPhoneNumberCreateOptions(type="local"))
        assert made.agent_handle == "side-desk", made
        sdk.refused(422, "identities.create", agent_handle="vault-desk", vault_secret_ids=[uuid.uuid4()])
        sdk.refused(422, "identities.create", agent_handle="line-desk", imessage_enabled=True,
                    claim_imessage_number=True)
        found = sdk("identities.get", "side-desk")
        assert (found.id, found.mailbox.email_address.split("@")[0]) == (made.id, "side"), found
        assert "side-desk" in [identity.agent_handle for identity in sdk("identities.list")]
        self.change_identity("identities.update", ("side-desk",), made)
        sdk("identities.release_phone_number", "side-desk")
        sdk.refused(404, "identities.release_phone_number", "side-desk")
        sdk("identities.delete", "side-desk")
        sdk.refused(404, "identities.get", "side-desk")

    def mailboxes(self):
        sdk = self.sdk
        address = self.mailbox.email_address
        assert self.mailbox.id in [mailbox.id for mailbox in sdk("mailboxes.list")]
        assert sdk("mailboxes.get", address).id == self.mailbox.id
        assert sdk("mailboxes.update", address, filter_mode="whitelist").filter_mode == "whitelist"
        assert sdk("mailboxes.update", address, filter_mode="blacklist").filter_mode == "blacklist"
        signature = sdk.known(
            "mailboxes.update", signature_html="<b>Help</b>", signature_text="Help", signature_enabled=True
        )
        if signature:
            changed = sdk("mailboxes.update", address, **signature)
            assert {name: getattr(changed, name) for name in signature} == signature, changed
        sdk.refused(422, "mailboxes.update", address, filter_mode="greylist")
        sdk.refused(404, "mailboxes.get", "nobody@client.test")

    def subscription(self):
        sdk = self.sdk
        self.url = f"{self.receiver.url}/hook"
        if not self.agents_have_keys:
            # Such an SDK knows only the organisation's key, and a create answer has none for it.
            self.secret = sdk("create_signing_key").signing_key
        options = sdk.known(CREATE, auth_token="token-1", context_config={"email": {"mode": "window", "hours": 24}})
        self.hook = sdk(
            CREATE, url=self.url, event_types=["message.received", "message.bounced"], mailbox_id=self.mailbox.id,
            **options,
        )
        assert self.hook.url == self.url
        assert self.hook.event_types == ["message.received", "message.bounced"]
        assert self.hook.mailbox_id == self.mailbox.id
        assert self.hook.status == "active"
        assert self.hook.organization_id == self.organization
        if "auth_token" in options:
            assert self.hook.has_auth_token and self.hook.auth_token == "token-1", self.hook
        if "context_config" in options:
            assert self.hook.context_config["email"] == options["context_config"]["email"], self.hook
        if self.agents_have_keys:
            assert self.hook.signing_key, "the first create shows the key that it made"
            self.secret = self.hook.signing_key
        if sdk.has(CREATE, "agent_identity_id"):
            for event_type in ("imessage.received", *(["message.sent"] if sdk.has(LIST, "scope") else [])):
                other = sdk(CREATE, url=f"{self.receiver.url}/x", event_types=[event_type],
                            agent_identity_id=self.agent.id)
                assert other.agent_identity_id == self.agent.id
                assert getattr(other, "signing_key", None) is None, "the key is shown once"
                assert [row.id for row in sdk(LIST, agent_identity_id=self.agent.id)] == [other.id]
                sdk(DELETE, other.id)

    def ids(self, **filters):
        return [row.id for row in self.sdk(LIST, **filters)]

    def lists(self):
        sdk, ids, old = self.sdk, self.ids, self.hook.id
        new = sdk(
            CREATE, url=f"{self.receiver.url}/other", event_types=["message.failed"], mailbox_id=self.mailbox.id
        ).id
        assert ids() == [new, old], "newest first"
        assert ids(mailbox_id=self.mailbox.id) == [new, old]
        assert ids(url=self.url) == [old]
        assert ids(event_type="message.failed") == [new]
        assert ids(mailbox_id=self.mailbox.id, event_type="message.bounced") == [old]
        assert ids(event_type="message.sent") == []
        assert ids(mailbox_id=uuid.uuid4()) == []
        if sdk.has(LIST, "scope"):
            assert ids(agent_identity_id=self.agent.id, scope="identity") == [new, old]
            sdk.refused(401, LIST, on=self.stranger, scope="identity")
        sdk(DELETE, new)
        assert ids() == [old], "a deleted one is not listed"

    def changes(self):
        sdk, hook = self.sdk, self.hook.id
        assert sdk(GET, hook).url == self.url
        changed = sdk(UPDATE, hook, event_types=["message.received"])
        assert (changed.event_types, changed.url) == (["message.received"], self.url)
        self.url = f"{self.receiver.url}/moved"
        assert sdk(UPDATE, hook, url=self.url).url == self.url
        assert sdk(UPDATE, hook).url == self.url, "an empty change changes nothing"
        if sdk.has(UPDATE, "context_config"):
            config = {"email": {"mode": "count", "count": 5}}
            changed = sdk(UPDATE, hook, context_config=config)
            assert changed.context_config["email"] == config["email"], changed
            assert not sdk(UPDATE, hook, context_config=None).context_config
        if sdk.has(UPDATE, "auth_token"):
            changed = sdk(UPDATE, hook, auth_token=None)
            assert not changed.has_auth_token and changed.auth_token is None, changed
            assert sdk(UPDATE, hook, auth_token="token-2").has_auth_token
        if sdk.has(UPDATE, "scope"):
            mixed = sdk(CREATE, url=f"{self.receiver.url}/x", event_types=["message.sent", "text.sent"],
                        agent_identity_id=self.agent.id)
            changed = sdk(UPDATE, mixed.id, event_types=["text.sent", "call.ended"], scope="identity")
            assert changed.event_types == ["text.sent", "call.ended"], changed
            sdk(DELETE, mixed.id, scope="identity")
        stored = sdk(GET, hook)
        assert (stored.url, stored.event_types) == (self.url, ["message.received"])

    def delivery(self):
        message = dict(MAIL, mailbox_id=str(self.mailbox.id), to_addresses=[self.mailbox.email_address])
        event = {"event_type": "message.received", "mailbox_id": str(self.mailbox.id), "data": {"message": message}}
        published = self.publish(event)
        assert published["deliveries"] == 1 and published["duplicate"] is False, published
        headers, body = self.receive(self.secret)
        envelope = json.loads(body)
        assert envelope["id"] == published["id"]
        assert envelope["event_type"] == "message.received"
        assert envelope["data"]["message"]["body"] == MAIL["body"]
        assert envelope["data"]["message"]["email_address"] == self.mailbox.email_address
        assert envelope["data"]["contacts"] == [] and envelope["data"]["agent_identities"] == []
        if self.sdk.has(UPDATE, "auth_token"):
            assert headers["authorization"] == "Bearer token-2", "the token in force"
        self.event_id, self.first = published["id"], (headers["x-inkbox-request-id"], body)

    def receive(self, secret):
        """The next POST, which the SDK's own function accepts, and nothing else."""
        path, headers, body = self.receiver.take()
        assert path == "/moved", path

        def verify(payload=body, headers=headers, secret=secret):
            return self.sdk("inkbox.verify_webhook", payload=payload, headers=headers, secret=secret)

        assert verify(), headers
        assert verify(secret=secret.removeprefix("whsec_"))
        assert not verify(payload=body + b" ")
        assert not verify(secret=secret + "x")
        timestamp = int(headers["x-inkbox-timestamp"])
        assert not verify(headers={**headers, "x-inkbox-timestamp": str(timestamp + 1)})
        assert abs(timestamp - time.time()) < 300, "receivers refuse more"
        assert headers["content-type"].startswith("application/json"), headers
        return headers, body

    def log(self):
        if not self.sdk.has(LOG):
            return
        log = lambda **filters: self.sdk(LOG, **filters)
        [row] = wait_for("logged attempt", lambda: log(subscription_id=self.hook.id))
        assert (row.event_id, row.event_type, row.url) == (self.event_id, "message.received", self.url), row
        assert row.request_payload.encode() == self.first[1], "the log holds the bytes that were sent"
        assert (row.response_status, row.response_body, row.error_detail) == (200, "ok", None), row
        assert row.duration_ms is not None and row.webhook_subscription_id == self.hook.id, row
        assert row.is_replay is False and getattr(row, "replayable", True) is True, row
        assert [r.id for r in log(event_type="message.received", success=True)] == [row.id]
        assert log(subscription_id=self.hook.id, success=False) == []
        assert log(event_type="message.sent") == []
        assert log(phone_number_id=uuid.uuid4()) == [], "no incoming call was asked about"
        assert log(subscription_id=self.hook.id, limit=1, offset=1) == []
        self.logged = row

    def replay(self):
        if not self.sdk.has(REPLAY):
            return
        again = self.sdk(REPLAY, self.logged.id)
        assert again.is_replay and again.id != self.logged.id, again
        assert (again.event_id, again.response_status) == (self.event_id, 200), again
        headers, body = self.receive(self.secret)
        assert body == self.first[1], "the same event, byte for byte"
        assert headers["x-inkbox-request-id"] != self.first[0], "under a fresh request id"
        rows = self.sdk(LOG, subscription_id=self.hook.id)
        assert [row.id for row in rows] == [again.id, self.logged.id]

    def signing_keys(self):
        sdk = self.sdk
        sdk.refused(403, "create_signing_key", on=self.unclaimed)
        if not self.agents_have_keys:
            return
        status = sdk("signing_keys.get_status", "help-desk")
        assert status.configured and status.created_at, status
        assert sdk("identity.get_signing_key_status", on=self.agent).created_at == status.created_at
        assert sdk("signing_keys.get_status").configured is True
        for rotate in (
            lambda: sdk("signing_keys.create_or_rotate", "help-desk"),
            lambda: sdk("identity.create_signing_key", on=self.agent),
        ):
            old, self.secret = self.secret, rotate().signing_key
            sdk(REPLAY, self.logged.id)
            headers, body = self.receive(self.secret)
            assert not sdk("inkbox.verify_webhook", payload=body, headers=headers, secret=old), "the old key is out"
        # The organisation's key, which is for identities without their own.
        assert sdk("create_signing_key").signing_key != self.secret
        assert sdk("signing_keys.create_or_rotate").signing_key
        sdk(REPLAY, self.logged.id)
        self.receive(self.secret)
        for name in ("signing_keys.create_or_rotate", "signing_keys.get_status"):
            sdk.refused(404, name, "nobody")
            sdk.refused(403, name, "unclaimed", on=self.unclaimed)
            sdk.refused(401, name, on=self.stranger)

    def address_book(self):
        """A whole card, and every way to find and change it."""
        sdk, create, get, update = self.sdk, "contacts.create", "contacts.get", "contacts.update"
        texts = {"preferred_name": "Ana", "name_prefix": "Dr.", "given_name": "Anastasia", "middle_name": "M.",
                 "family_name": "Lee", "name_suffix": "Jr.", "company_name": "Client", "job_title": "Buyer",
                 "birthday": datetime.date(1990, 2, 28), "notes": "Likes tea"}
        lists = {
            "emails": [contacts.ContactEmail(label="work", value="Ana@Client.test", is_primary=True)],
            "phones": [contacts.ContactPhone(label=None, value="+15555550199")],
            "websites": [contacts.ContactWebsite(label=None, value="https://client.test")],
            "dates": [contacts.ContactDate(label="hired", value=datetime.date(2020, 1, 31))],
            "addresses": [contacts.ContactAddress(label="work", street="1 Main", city="Springfield", region="IL",
                                                  postal_code="62701", country="US")],
            "custom_fields": [contacts.ContactCustomField(label="shoe size", value="38")],
        }
        ana = self.ana = sdk(create, **texts, **lists)
        for name, value in {**texts, **lists}.items():
            assert getattr(ana, name) == value, (name, getattr(ana, name))
        assert ana.organization_id == self.organization, ana
        assert sdk(get, ana.id) == ana
        bare = sdk(create, preferred_name="Mia", **({"access_identity_ids": None}
                                                    if sdk.has(create, "access_identity_ids") else {}))
        for only in ("access_identity_ids", "permissions"):
            if sdk.has(create, only):
                value = [self.agent.id]
                if only == "permissions":
                    value = contacts.ContactCreatePermissions(identity_id=self.agent.id, profile=True)
                detail = sdk.refused(422, create, preferred_name="Mia", **{only: value})
                assert "is not supported by this server" in detail, detail
        detail = sdk.refused(409, create, emails=[contacts.ContactEmail(label=None, value="ana@client.test")])
        assert "emails" in detail and str(ana.id) in detail, detail
        sdk.refused(422, create, phones=[contacts.ContactPhone(label=None, value="555")])
        sdk.refused(401, create, on=self.stranger, preferred_name="x")

        reviewed = sdk.known("contacts.list", review_status=["confirmed", "unreviewed"])
        found = sdk("contacts.list", q="buyer", order="recent", limit=10, offset=0, **reviewed)
        assert found == [ana], found
        assert sdk("contacts.list") == [ana, bare], "by name"
        sdk.refused(403, "contacts.list", on=self.unclaimed)
        for by in ({"email": "ANA@client.test"}, {"email_contains": "na@cl"}, {"email_domain": "client.test"},
                   {"phone": "+15555550199"}, {"phone_contains": "0199"}):
            assert sdk("contacts.lookup", **by) == [ana], by
        assert sdk("contacts.lookup", email="nobody@client.test") == []
        sdk.refused(422, "contacts.lookup", phone="555")

        changed = sdk(update, bare.id, **texts, **dict(lists, emails=[], phones=[]))
        for name, value in {**texts, **lists, "emails": [], "phones": []}.items():
            assert getattr(changed, name) == value, (name, getattr(changed, name))
        nothing = {name: None for name in {**texts, **lists}}
        cleared = sdk(update, bare.id, **nothing, **sdk.known(update, review_status="confirmed"))
        assert [getattr(cleared, name) for name in texts] == [None] * len(texts), cleared
        assert [getattr(cleared, name) for name in lists] == [[]] * len(lists), cleared
        [access] = sdk("contacts.access.list", ana.id)
        assert (access.contact_id, access.identity_id) == (ana.id, None), "every agent sees it"
        sdk.refused(404, "contacts.access.list", uuid.uuid4())
        if sdk.has("contacts.access.grant"):
            assert sdk("contacts.access.grant", ana.id, wildcard=True) == access
            sdk.refused(422, "contacts.access.grant", ana.id, identity_id=self.agent.id)
        sdk("contacts.delete", bare.id)
        sdk.refused(404, "contacts.delete", bare.id)
        sdk.refused(404, get, bare.id)
        sdk.refused(404, update, bare.id, notes="x")

    def address_book_facts(self):
        """What is remembered of somebody, and a payload that says so."""
        sdk, one, facts = self.sdk, self.ana.id, "contacts.facts.list"
        path = f"/api/v1/contacts/{one}/facts"
        if sdk.has("contacts.facts.create"):
            made = sdk("contacts.facts.create", one, content="Is away", kind="context")
            changed = sdk("contacts.facts.update", one, made.id, content="Likes tea", kind="preference")
            assert (changed.content, changed.kind, changed.expires_at) == ("Likes tea", "preference", None), changed
            sdk.refused(422, "contacts.facts.create", one, content=" ", kind="context")
            sdk.refused(404, "contacts.facts.update", one, uuid.uuid4(), content="x")
        else:
            self.post(path, {"content": "Likes tea", "kind": "preference"}, 201)
        if sdk.has(facts):
            [fact] = sdk(facts, one, **sdk.known(facts, include_expired=True))
            assert (fact.content, fact.contact_id, fact.origin, fact.citations) == ("Likes tea", one, "user", []), fact
            assert sdk("contacts.facts.get", one, fact.id) == fact
            shown = sdk("contacts.get", one)
            assert (shown.memory_count, shown.latest_memory.content) == (1, "Likes tea"), shown
            sdk.refused(404, facts, uuid.uuid4())
            sdk.refused(404, "contacts.facts.get", one, uuid.uuid4())

        message = dict(MAIL, id=str(uuid.uuid4()), mailbox_id=str(self.mailbox.id),
                       to_addresses=[self.mailbox.email_address])
        self.publish({"event_type": "message.received", "mailbox_id": str(self.mailbox.id),
                      "data": {"message": message}})
        _, body = self.receive(self.secret)
        row = {"bucket": "from", "address": "ana@client.test", "id": str(one), "name": "Ana", "memories": ["Likes tea"]}
        assert json.loads(body)["data"]["contacts"] == [row], body
        if sdk.has("contacts.facts.delete"):
            gone = sdk("contacts.facts.delete", one, fact.id)
            assert (gone.deleted_fact_id, gone.memory_count, gone.latest_memory) == (fact.id, 0, None), gone
            sdk.refused(404, "contacts.facts.delete", one, fact.id)
        sdk("contacts.delete", one)

    def scoped_key(self):
        sdk = self.sdk
        other = sdk("create_identity", "night-desk")
        created = sdk("api_keys.create", label="night desk", description="At night", scoped_identity_id=other.id)
        assert created.record.scoped_identity_id == other.id
        agent = self.client(created.api_key)
        me = sdk("whoami", on=agent)
        assert me.auth_subtype == inkbox.AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_CLAIMED, me
        assert sdk(LIST, on=agent) == [], "another identity's subscriptions are not shown"
        sdk.refused(404, GET, self.hook.id, on=agent)
        sdk.refused(404, UPDATE, self.hook.id, on=agent, url=self.url)
        sdk.refused(404, DELETE, self.hook.id, on=agent)
        sdk.refused(404, CREATE, on=agent, url=self.url, event_types=["message.sent"], mailbox_id=self.mailbox.id)
        assert [identity.agent_handle for identity in sdk("list_identities", on=agent)] == ["night-desk"]
        own = sdk(CREATE, on=agent, url=f"{self.receiver.url}/night", event_types=["message.received"],
                  mailbox_id=other.mailbox.id)
        assert [row.id for row in sdk(LIST, on=agent)] == [own.id]
        sdk.refused(403, "api_keys.create", on=agent, label="x", scoped_identity_id=other.id)
        sdk.refused(403, "mailboxes.update", other.mailbox.email_address, on=agent, filter_mode="whitelist")
        sdk("create_signing_key", on=agent)
        sdk("identity.delete", on=other)
        sdk.refused(401, "whoami", on=agent)

    def phone(self):
        sdk, agent = self.sdk, self.agent
        number = sdk("identity.provision_phone_number", on=agent)
        assert number.number.startswith("+1"), number
        hook = sdk(CREATE, url=f"{self.receiver.url}/texts", event_types=["text.received"], phone_number_id=number.id)
        assert hook.phone_number_id == number.id
        assert self.ids(phone_number_id=number.id) == [hook.id]
        assert number.id in [row.id for row in sdk("phone_numbers.list")]
        assert sdk("phone_numbers.get", number.id).number == number.number
        self.change_number(number.id)
        sdk("identity.release_phone_number", on=agent)
        sdk.refused(404, GET, hook.id)
        sdk.refused(404, "phone_numbers.get", number.id)
        again = sdk("identity.provision_phone_number", on=agent, type="local", state="NY")
        sdk.refused(409, "identity.provision_phone_number", on=agent)
        assert sdk("identity.refresh", on=agent).phone_number.id == again.id
        sdk("phone_numbers.release", again.id)
        sdk.refused(404, "phone_numbers.release", again.id)
        sdk.refused(404, "identity.release_phone_number", on=agent)
        bare = sdk("phone_numbers.provision", agent_handle="help-desk", type="local", state="CA")
        sdk.refused(409, "phone_numbers.provision", agent_handle="help-desk")
        sdk.refused(404, "phone_numbers.provision", agent_handle="nobody")
        sdk("phone_numbers.release", bare.id)
        sdk("identity.refresh", on=agent)

    def change_number(self, number):
        sdk, url = self.sdk, f"{self.receiver.url}/call"
        sdk.refused(422, "phone_numbers.update", number, incoming_call_action="webhook")
        sdk.refused(404, "phone_numbers.update", uuid.uuid4(), incoming_call_action="auto_reject")
        changed = sdk("phone_numbers.update", number, incoming_call_action="webhook", incoming_call_webhook_url=url)
        assert (changed.incoming_call_action, changed.incoming_call_webhook_url) == ("webhook", url), changed
        media = "wss://client.test/media"
        changed = sdk("phone_numbers.update", number, incoming_call_action="auto_accept", client_websocket_url=media)
        assert (changed.client_websocket_url, changed.incoming_call_webhook_url) == (media, url), changed
        changed = sdk("phone_numbers.update", number, incoming_call_action="auto_reject", client_websocket_url=None,
                      incoming_call_webhook_url=None)
        assert (changed.client_websocket_url, changed.incoming_call_webhook_url) == (None, None), changed
        assert sdk("phone_numbers.update", number, filter_mode="whitelist").filter_mode == "whitelist"
        target = sdk.known("phone_numbers.update", forwarding_target_type="sip",
                           forwarding_phone_number=None, forwarding_sip_uri="sip:desk@client.test")
        if target:
            changed = sdk("phone_numbers.update", number, **target)
            assert changed.forwarding_sip_uri == "sip:desk@client.test", changed

    def incoming_calls(self):
        """The call action as a resource of its own."""
        sdk, read, write = self.sdk, "incoming_call_action.get", "incoming_call_action.set"
        own_read, own_write = "identity.get_incoming_call_action", "identity.set_incoming_call_action"
        if not sdk.has(read):
            return
        agent, url, media = self.agent.id, f"{self.receiver.url}/call", "wss://client.test/media"
        if sdk.served("PUT", "/api/v1/phone/incoming-call-action") is None:
            sdk.unserved(read, agent_identity_id=agent)
            sdk.unserved(write, agent_identity_id=agent, incoming_call_action="auto_reject")
            sdk.unserved(own_read, on=self.agent)
            sdk.unserved(own_write, on=self.agent, incoming_call_action="auto_reject")
            return
        sdk.refused(422, read)
        sdk.refused(404, read, agent_identity_id=uuid.uuid4())
        sdk.refused(404, read, agent_identity_id=agent)
        sdk.refused(422, write, agent_identity_id=agent, incoming_call_action="webhook")
        sdk.refused(404, write, agent_identity_id=uuid.uuid4(), incoming_call_action="auto_reject")
        sdk.refused(401, write, on=self.stranger, agent_identity_id=agent, incoming_call_action="auto_reject")
        for get, put, on, whose in (
            (read, write, None, {"agent_identity_id": agent}),
            (own_read, own_write, self.agent, {}),
        ):
            done = sdk(put, on=on, **whose, incoming_call_action="webhook", incoming_call_webhook_url=url)
            assert (done.agent_identity_id, done.incoming_call_action) == (agent, "webhook"), done
            assert sdk(get, on=on, **whose).incoming_call_webhook_url == url
            done = sdk(put, on=on, **whose, incoming_call_action="auto_accept", client_websocket_url=media)
            assert done.client_websocket_url == media, done
            target = sdk.known(put, forwarding_target_type="sip", forwarding_phone_number=None,
                               forwarding_sip_uri="sip:desk@client.test")
            if target:
                done = sdk(put, on=on, **whose, incoming_call_action="forward", **target)
                assert done.forwarding_sip_uri == "sip:desk@client.test", done
            sdk(put, on=on, **whose, incoming_call_action="auto_reject")
            assert sdk(get, on=on, **whose).incoming_call_action == "auto_reject"

    def signup(self):
        """Always told where to sign up: these calls know neither the client's address nor the environment's."""
        sdk, base_url, human = self.sdk, self.options.base_url, "ana@client.test"
        verify, resend, status = "verify_signup", "resend_signup_verification", "get_signup_status"
        more = sdk.known("signup", harness="tests")
        agent = sdk("signup", human, note_to_human="Hello", display_name="Desk", agent_handle="new-desk",
                    email_local_part="new", base_url=base_url, **more)
        assert agent.agent_handle.startswith("new-desk-"), agent
        assert agent.email_address.startswith("new-"), agent
        assert (agent.claim_status, agent.human_email) == ("agent_unclaimed", human), agent
        sdk.refused(422, "signup", "nobody", note_to_human="Hello", base_url=base_url)
        if invited := sdk.known("signup", invitation_token=None):
            invited["invitation_token"] = self.post("/api/v1/organization/invitation-token", {}, 201)["invitation_token"]
            other = sdk("signup", "lee@client.test", note_to_human="Hello", base_url=base_url, **invited)
            assert other.organization_id == self.organization, other
            assert other.invitation.status == "awaiting_verification", other
            assert other.invitation.invitee_agent_handle == other.agent_handle, other
        key, on = agent.api_key, self.client(agent.api_key)
        now = sdk(status, key, base_url=base_url)
        assert (now.claim_status, now.human_email) == ("agent_unclaimed", human), now
        assert now.restrictions.can_receive and not now.restrictions.can_create_mailboxes, now
        me = sdk("whoami", on=on)
        assert me.auth_subtype == inkbox.AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_UNCLAIMED, me
        sdk.refused(403, LIST, on=on)
        for name, values in ((status, ()), (verify, ("123456",)), (resend, ())):
            sdk.refused(404, name, self.options.admin_key, *values, base_url=base_url)
        first = self.code(agent.agent_handle, 1)
        sdk.refused(401, verify, key, f"{(int(first) + 1) % 1_000_000:06}", base_url=base_url)
        sdk.refused(422, verify, key, "12345", base_url=base_url)
        sdk.refused(429, resend, key, base_url=base_url)
        self.let_the_cooldown_pass()
        assert sdk(resend, key, base_url=base_url).claim_status == "agent_unclaimed"
        claimed = sdk(verify, key, self.code(agent.agent_handle, 2), base_url=base_url)
        assert (claimed.claim_status, claimed.organization_id) == ("agent_claimed", agent.organization_id), claimed
        assert sdk(status, key, base_url=base_url).claim_status == "agent_claimed"
        sdk.refused(409, resend, key, base_url=base_url)
        assert sdk(LIST, on=on) == []

    def code(self, handle, place):
        """The code of an agent that the server has shown in its log, the first or a later one."""
        def look():
            with open(self.options.log) as log:
                lines = [json.loads(line) for line in log if f'"{handle}"' in line]
            codes = [line["code"] for line in lines if line.get("handle") == handle and "code" in line]
            return codes[place - 1] if len(codes) >= place else None
        return wait_for("code", look)

    def let_the_cooldown_pass(self):
        """Whoever runs this sees to it, and says so with a file."""
        passed = Path(self.options.report).with_name("cooldown-passed")
        print("the cooldown is to pass", flush=True)
        wait_for("end of the cooldown", passed.exists)

    def calls(self):
        """An identity says what happens to its calls before it has a number; the number then says the same."""
        sdk, write = self.sdk, "incoming_call_action.set"
        if not sdk.has(write):
            return
        mine, hook = {"agent_identity_id": self.agent.id}, f"{self.receiver.url}/calls"
        made = sdk(write, incoming_call_action="webhook", incoming_call_webhook_url=hook, **mine)
        number = sdk("identity.provision_phone_number", on=self.agent)
        assert (number.incoming_call_action, number.incoming_call_webhook_url) == ("webhook", hook), number
        assert sdk("incoming_call_action.get", **mine) == made
        call = {"remote_phone_number": "+15555550199", "call_id": str(uuid.uuid4())}
        path = f"/api/v1/phone/numbers/{number.id}/incoming-calls"
        decision = self.post(path, call, 200)
        assert decision["call_id"] == call["call_id"], decision
        # The receiver here says "ok" to everything, which decides nothing.
        assert (decision["action"], decision["reason"]) == ("reject", "invalid_body"), decision
        asked, headers, body = self.receiver.take()
        assert asked == "/calls" and json.loads(body)["phone_number_id"] == str(number.id), body
        assert sdk("inkbox.verify_webhook", payload=body, headers=headers, secret=self.secret), "the key in force"
        rows = wait_for("line in the log", lambda: sdk(LOG, phone_number_id=number.id))
        assert [(row.event_id, row.event_type) for row in rows] == [(call["call_id"], "phone.incoming_call")], rows
        assert rows[0].webhook_subscription_id is None and not getattr(rows[0], "replayable", False), rows
        assert rows[0].request_payload == body.decode(), rows
        sdk.refused(422, REPLAY, rows[0].id)
        cleared = sdk(write, incoming_call_action="auto_reject", **mine)
        assert cleared.incoming_call_webhook_url is None, "left out is cleared"
        assert sdk("phone_numbers.get", number.id).incoming_call_webhook_url is None
        changed = sdk("phone_numbers.update", number.id, client_websocket_url="wss://agent.client.test/media")
        assert sdk("incoming_call_action.get", **mine).client_websocket_url == changed.client_websocket_url
        sdk("identity.release_phone_number", on=self.agent)
        sdk("identity.refresh", on=self.agent)

    def unauthorized(self):
        sdk, on = self.sdk, self.stranger
        sdk.refused(401, "whoami", on=on)
        sdk.refused(401, LIST, on=on)
        sdk.refused(401, "create_identity", "nobody", on=on)
        sdk.refused(401, "list_identities", on=on)
        sdk.refused(401, "mailboxes.list", on=on)
        sdk.refused(401, "phone_numbers.list", on=on)
        sdk.refused(401, "api_keys.create", on=on, label="x")

    def forbidden(self):
        sdk, on = self.sdk, self.unclaimed
        me = sdk("whoami", on=on)
        assert me.auth_subtype == inkbox.AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_UNCLAIMED, me
        sdk.refused(403, LIST, on=on)
        sdk.refused(403, GET, self.hook.id, on=on)
        sdk.refused(403, DELETE, self.hook.id, on=on)
        sdk.refused(403, CREATE, on=on, url=self.url, event_types=["message.sent"], mailbox_id=self.mailbox.id)
        if sdk.has(LOG):
            sdk.refused(403, LOG, on=on)
            sdk.refused(403, REPLAY, self.logged.id, on=on)
        sdk.refused(403, "api_keys.create", label="another admin")

    def not_found(self):
        sdk, nobody = self.sdk, uuid.uuid4()
        sdk.refused(404, GET, nobody)
        sdk.refused(404, UPDATE, nobody, url=self.url)
        sdk.refused(404, DELETE, nobody)
        sdk.refused(404, CREATE, url=self.url, event_types=["message.received"], mailbox_id=nobody)
        sdk.refused(404, "get_identity", "nobody")
        if sdk.has(REPLAY):
            sdk.refused(404, REPLAY, nobody)

    def conflicts(self):
        sdk = self.sdk
        detail = sdk.refused(
            409, CREATE, url=self.url, event_types=["message.received"], mailbox_id=self.mailbox.id
        )
        assert "active subscription" in detail and "url" in detail, detail
        sdk.refused(409, "create_identity", "help-desk", error=HandleUnavailableError)
        if sdk.has("identity.update", "new_handle"):
            sdk.refused(409, "identity.update", on=self.agent, new_handle="unclaimed", error=HandleUnavailableError)

        crowd = sdk("create_identity", "crowd")
        options = dict(event_types=["message.received"], mailbox_id=crowd.mailbox.id)
        for n in range(SUBSCRIPTION_LIMIT):
            last = sdk(CREATE, url=f"{self.receiver.url}/{n}", **options)
        detail = sdk.refused(409, CREATE, url=f"{self.receiver.url}/one-more", **options)
        assert "subscription" in detail and "max" in detail and "url" not in detail, detail
        detail = sdk.refused(409, UPDATE, last.id, url=f"{self.receiver.url}/0")
        assert "active subscription" in detail and "url" in detail, detail
        assert len(self.ids(mailbox_id=crowd.mailbox.id)) == SUBSCRIPTION_LIMIT
        sdk("identity.delete", on=crowd)

    def invalid(self):
        sdk = self.sdk

        def refused(url, *event_types):
            return sdk.refused(422, CREATE, url=url, event_types=list(event_types), mailbox_id=self.mailbox.id)

        fresh = f"{self.receiver.url}/fresh"
        assert "message.typo" in refused(fresh, "message.typo"), "the detail names the culprit"
        for url in ("not a url", "ftp://client.test/in", "https://user:secret@client.test/in"):
            assert "secret" not in refused(url, "message.received"), "user info is not echoed"
        sdk.refused(422, UPDATE, self.hook.id, event_types=["message.typo"])
        if sdk.has(UPDATE, "auth_token"):
            sdk.refused(422, UPDATE, self.hook.id, auth_token="two\r\nlines")
        assert self.ids() == [self.hook.id], "nothing was half done"

    def deletes(self):
        sdk = self.sdk
        sdk(DELETE, self.hook.id)
        sdk.refused(404, GET, self.hook.id)
        sdk.refused(404, DELETE, self.hook.id)
        assert self.ids() == []
        if sdk.has(REPLAY):
            sdk.refused(409, REPLAY, self.logged.id)
            kept = sdk(LOG, subscription_id=self.hook.id)
            assert len(kept) >= 2, "history outlives its subscription"
            assert not any(getattr(row, "replayable", False) for row in kept), kept
        sdk("identity.delete", on=self.agent)
        sdk.refused(404, "get_identity", "help-desk")
        sdk.refused(404, "identity.refresh", on=self.agent)
        sdk.refused(404, "identity.delete", on=self.agent)


def main():
    parser = argparse.ArgumentParser()
    for option in ("base-url", "admin-key", "unclaimed-key", "version", "openapi", "report", "log"):
        parser.add_argument(f"--{option}", required=True)
    options = parser.parse_args()
    installed = importlib.metadata.version("inkbox")
    assert installed == options.version, f"this is inkbox {installed}"
    Run(options).all()


if __name__ == "__main__":
    main()
