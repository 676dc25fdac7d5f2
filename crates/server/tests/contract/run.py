"""Lets an unmodified Inkbox SDK do a day's work against a running server.

Run by `tests/it/contract/python.rs` with the interpreter of the environment that holds the SDK:

    target/venv-inkbox-0.7.20/bin/python run.py --base-url http://127.0.0.1:8080 --admin-key KEY \
        --unclaimed-key KEY --mode 0.7.20

Only the SDK talks to the server, but for two calls that no SDK has: publishing an event, and putting a phone call.
One line a step;
"skipped" names a step that this version of the SDK has no call for. The first failure ends the run.
"""

import argparse
import http.client
import importlib.metadata
import json
import queue
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import inkbox
from inkbox import Inkbox, InkboxAPIError, verify_webhook
from inkbox.identities.exceptions import HandleUnavailableError

DEADLINE_S = 30
SUBSCRIPTION_LIMIT = 20

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


class Receiver:
    """Answers 200 to every POST and keeps what it read."""

    def __init__(self):
        self.requests = requests = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                requests.put((self.path, headers, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self):
        try:
            return self.requests.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise AssertionError(f"no POST arrived within {DEADLINE_S} s") from None

    def assert_quiet(self):
        assert self.requests.empty(), f"an unexpected POST: {self.requests.get()}"


def wait_for(what, look):
    """Asks until there is an answer; the one place that waits for something that gives no sign."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {DEADLINE_S} s")


def expect(status, call, kind=InkboxAPIError):
    """The SDK raises `kind` with this status and a detail worth reading."""
    try:
        answer = call()
    except InkboxAPIError as error:
        assert type(error) is kind, f"expected {kind.__name__}, got {type(error).__name__}: {error}"
        assert error.status_code == status, f"expected {status}, got {error}"
        assert error.detail, "the error has a detail"
        return error.detail if isinstance(error.detail, str) else json.dumps(error.detail)
    raise AssertionError(f"expected {status}, got the answer {answer!r}")


class Run:
    def __init__(self, options):
        self.options = options
        self.old = options.mode == "0.4.6"
        self.admin = self.client(options.admin_key)
        self.receiver = Receiver()
        self.steps = 0

    def client(self, key):
        return Inkbox(api_key=key, base_url=self.options.base_url)

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
        for step in (
            self.whoami,
            self.identity,
            self.subscription,
            self.lists,
            self.changes,
            self.delivery,
            self.log,
            self.replay,
            self.scoped_key,
            self.phone,
            self.calls,
            self.unauthorized,
            self.forbidden,
            self.not_found,
            self.conflicts,
            self.invalid,
            self.deletes,
        ):
            skipped = step()
            print(f"skipped {step.__name__}: {skipped}" if skipped else f"ok {step.__name__}", flush=True)
            self.steps += not skipped
        self.receiver.assert_quiet()
        print(f"{self.steps} steps of inkbox {self.options.mode} passed")

    def whoami(self):
        me = self.admin.whoami()
        assert me.auth_type == "api_key", me
        assert me.auth_subtype == inkbox.AUTH_SUBTYPE_API_KEY_ADMIN_SCOPED, me
        assert me.organization_id, me
        self.organization = me.organization_id

    def identity(self):
        self.agent = self.admin.create_identity("help-desk", display_name="Help", description=None)
        assert self.agent.agent_handle == "help-desk"
        assert self.agent.display_name == "Help"
        self.mailbox = self.agent.mailbox
        assert self.mailbox.email_address.startswith("help-desk@"), self.mailbox
        assert self.agent.email_address == self.mailbox.email_address
        again = self.admin.get_identity("help-desk")
        assert (again.id, again.mailbox.id) == (self.agent.id, self.mailbox.id)
        assert "help-desk" in [agent.agent_handle for agent in self.admin.list_identities()]
        assert self.mailbox.id in [mailbox.id for mailbox in self.admin.mailboxes.list()]

    def subscription(self):
        subscriptions = self.admin.webhooks.subscriptions
        self.url = f"{self.receiver.url}/hook"
        if self.old:
            # This SDK knows only the organisation's key, and a create answer has none for it.
            self.secret = self.admin.create_signing_key().signing_key
        options = dict(url=self.url, event_types=["message.received", "message.bounced"], mailbox_id=self.mailbox.id)
        if not self.old:
            options["auth_token"] = "token-1"
        self.hook = subscriptions.create(**options)
        assert self.hook.url == self.url
        assert self.hook.event_types == ["message.received", "message.bounced"]
        assert self.hook.mailbox_id == self.mailbox.id
        assert self.hook.status == "active"
        assert self.hook.organization_id == self.organization
        if not self.old:
            assert self.hook.signing_key, "the first create shows the key that it made"
            assert self.hook.has_auth_token and self.hook.auth_token == "token-1", self.hook
            self.secret = self.hook.signing_key
            status = self.admin.signing_keys.get_status("help-desk")
            assert status.configured and status.created_at, status
            second = subscriptions.create(
                url=f"{self.receiver.url}/second", event_types=["message.sent"], agent_identity_id=self.agent.id
            )
            assert second.signing_key is None, "the key is shown once"
            assert second.agent_identity_id == self.agent.id
            subscriptions.delete(second.id)

    def lists(self):
        subscriptions = self.admin.webhooks.subscriptions
        other = subscriptions.create(
            url=f"{self.receiver.url}/other", event_types=["message.failed"], mailbox_id=self.mailbox.id
        )

        def ids(**filters):
            return [row.id for row in subscriptions.list(**filters)]

        assert ids() == [other.id, self.hook.id], "newest first"
        assert ids(mailbox_id=self.mailbox.id) == [other.id, self.hook.id]
        assert ids(url=self.url) == [self.hook.id]
        assert ids(event_type="message.failed") == [other.id]
        assert ids(mailbox_id=self.mailbox.id, event_type="message.bounced") == [self.hook.id]
        assert ids(event_type="message.sent") == []
        assert ids(mailbox_id=uuid.uuid4()) == []
        if not self.old:
            assert ids(agent_identity_id=self.agent.id, scope="identity") == [other.id, self.hook.id]
        subscriptions.delete(other.id)
        assert ids() == [self.hook.id], "a deleted one is not listed"

    def changes(self):
        subscriptions = self.admin.webhooks.subscriptions
        assert subscriptions.get(self.hook.id).url == self.url
        changed = subscriptions.update(self.hook.id, event_types=["message.received"])
        assert (changed.event_types, changed.url) == (["message.received"], self.url)
        self.url = f"{self.receiver.url}/moved"
        assert subscriptions.update(self.hook.id, url=self.url).url == self.url
        assert subscriptions.update(self.hook.id).url == self.url, "an empty change changes nothing"
        if not self.old:
            config = {"email": {"mode": "count", "count": 5}}
            changed = subscriptions.update(self.hook.id, context_config=config, auth_token=None)
            assert changed.context_config["email"] == config["email"], changed
            assert not changed.has_auth_token and changed.auth_token is None, changed
            assert not subscriptions.update(self.hook.id, context_config=None).context_config
            assert subscriptions.update(self.hook.id, auth_token="token-2").has_auth_token
        stored = subscriptions.get(self.hook.id)
        assert (stored.url, stored.event_types) == (self.url, ["message.received"])

    def delivery(self):
        message = dict(MAIL, mailbox_id=str(self.mailbox.id), to_addresses=[self.mailbox.email_address])
        event = {"event_type": "message.received", "mailbox_id": str(self.mailbox.id), "data": {"message": message}}
        published = self.publish(event)
        assert published["deliveries"] == 1 and published["duplicate"] is False, published
        path, headers, body = self.receiver.take()
        self.verify(path, headers, body)
        envelope = json.loads(body)
        assert envelope["id"] == published["id"]
        assert envelope["event_type"] == "message.received"
        assert envelope["data"]["message"]["body"] == MAIL["body"]
        assert envelope["data"]["message"]["email_address"] == self.mailbox.email_address
        assert envelope["data"]["contacts"] == [] and envelope["data"]["agent_identities"] == []
        self.event_id, self.first = published["id"], (headers["x-inkbox-request-id"], body)

    def verify(self, path, headers, body):
        """The SDK's own function accepts what arrived, and nothing else."""
        assert path == "/moved", path
        assert verify_webhook(payload=body, headers=headers, secret=self.secret), headers
        assert verify_webhook(payload=body, headers=headers, secret=self.secret.removeprefix("whsec_"))
        assert not verify_webhook(payload=body + b" ", headers=headers, secret=self.secret)
        assert not verify_webhook(payload=body, headers=headers, secret=self.secret + "x")
        timestamp = int(headers["x-inkbox-timestamp"])
        later = {**headers, "x-inkbox-timestamp": str(timestamp + 1)}
        assert not verify_webhook(payload=body, headers=later, secret=self.secret)
        assert abs(timestamp - time.time()) < 300, "receivers refuse more"
        assert headers["content-type"].startswith("application/json"), headers
        if not self.old:
            assert headers["authorization"] == "Bearer token-2", "the token in force"

    def log(self):
        if self.old:
            return "inkbox 0.4.6 has no call for /webhooks/deliveries"
        deliveries = self.admin.webhooks.deliveries
        [row] = wait_for("logged attempt", lambda: deliveries.list(subscription_id=self.hook.id))
        assert (row.event_id, row.event_type, row.url) == (self.event_id, "message.received", self.url), row
        assert row.request_payload.encode() == self.first[1], "the log holds the bytes that were sent"
        assert (row.response_status, row.response_body, row.error_detail) == (200, "ok", None), row
        assert row.duration_ms is not None and row.webhook_subscription_id == self.hook.id, row
        assert row.is_replay is False and row.replayable is True, row
        assert [r.id for r in deliveries.list(event_type="message.received", success=True)] == [row.id]
        assert deliveries.list(subscription_id=self.hook.id, success=False) == []
        assert deliveries.list(event_type="message.sent") == []
        assert deliveries.list(subscription_id=self.hook.id, limit=1, offset=1) == []
        self.logged = row

    def replay(self):
        if self.old:
            return "inkbox 0.4.6 has no call for a replay"
        deliveries = self.admin.webhooks.deliveries
        again = deliveries.replay(self.logged.id)
        assert again.is_replay and again.id != self.logged.id, again
        assert (again.event_id, again.response_status) == (self.event_id, 200), again
        path, headers, body = self.receiver.take()
        self.verify(path, headers, body)
        assert body == self.first[1], "the same event, byte for byte"
        assert headers["x-inkbox-request-id"] != self.first[0], "under a fresh request id"
        assert [row.id for row in deliveries.list(subscription_id=self.hook.id)] == [again.id, self.logged.id]

    def scoped_key(self):
        other = self.admin.create_identity("night-desk")
        created = self.admin.api_keys.create(label="night desk", scoped_identity_id=other.id)
        assert created.record.scoped_identity_id == other.id
        agent = self.client(created.api_key)
        me = agent.whoami()
        assert me.auth_subtype == inkbox.AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_CLAIMED, me
        assert agent.webhooks.subscriptions.list() == [], "another identity's subscriptions are not shown"
        expect(404, lambda: agent.webhooks.subscriptions.get(self.hook.id))
        expect(404, lambda: agent.webhooks.subscriptions.delete(self.hook.id))
        own = agent.webhooks.subscriptions.create(
            url=f"{self.receiver.url}/night", event_types=["message.received"], mailbox_id=other.mailbox.id
        )
        assert [row.id for row in agent.webhooks.subscriptions.list()] == [own.id]
        expect(403, lambda: agent.api_keys.create(label="x", scoped_identity_id=other.id))
        other.delete()
        expect(401, agent.whoami)

    def phone(self):
        number = self.agent.provision_phone_number()
        assert number.number.startswith("+1"), number
        hook = self.admin.webhooks.subscriptions.create(
            url=f"{self.receiver.url}/texts", event_types=["text.received"], phone_number_id=number.id
        )
        assert hook.phone_number_id == number.id
        listed = self.admin.webhooks.subscriptions.list(phone_number_id=number.id)
        assert [row.id for row in listed] == [hook.id]
        assert number.id in [row.id for row in self.admin.phone_numbers.list()]
        self.agent.release_phone_number()
        expect(404, lambda: self.admin.webhooks.subscriptions.get(hook.id))

    def calls(self):
        """An identity says what happens to its calls before it has a number; the number then says the same."""
        if self.old:
            return "this version has no incoming_call_action"
        rules, mine = self.admin.incoming_call_action, {"agent_identity_id": self.agent.id}
        expect(404, lambda: rules.get(**mine))
        expect(422, lambda: rules.get())
        expect(404, lambda: rules.get(agent_identity_id=uuid.uuid4()))
        expect(422, lambda: rules.set(incoming_call_action="webhook", **mine))
        hook = f"{self.receiver.url}/calls"
        made = rules.set(incoming_call_action="webhook", incoming_call_webhook_url=hook, **mine)
        assert (made.agent_identity_id, made.incoming_call_action) == (self.agent.id, "webhook"), made
        number = self.agent.provision_phone_number()
        assert (number.incoming_call_action, number.incoming_call_webhook_url) == ("webhook", hook), number
        assert rules.get(**mine) == made
        call = {"remote_phone_number": "+15555550199", "call_id": str(uuid.uuid4())}
        decision = self.post(f"/api/v1/phone/numbers/{number.id}/incoming-calls", call, 200)
        assert decision["call_id"] == call["call_id"], decision
        # The receiver here says "ok" to everything, which decides nothing.
        assert (decision["action"], decision["reason"]) == ("reject", "invalid_body"), decision
        path, headers, body = self.receiver.take()
        secret = self.agent.create_signing_key().signing_key
        assert path == "/calls" and not verify_webhook(payload=body, headers=headers, secret=secret)
        assert json.loads(body)["phone_number_id"] == str(number.id), body
        rows = wait_for("line in the log", lambda: self.admin.webhooks.deliveries.list(phone_number_id=number.id))
        assert [(row.event_id, row.event_type) for row in rows] == [(call["call_id"], "phone.incoming_call")], rows
        assert rows[0].webhook_subscription_id is None and not rows[0].replayable, rows
        assert rows[0].request_payload == body.decode(), rows
        expect(422, lambda: self.admin.webhooks.deliveries.replay(rows[0].id))
        self.post(f"/api/v1/phone/numbers/{number.id}/incoming-calls", {"remote_phone_number": "+15555550199"}, 200)
        path, headers, body = self.receiver.take()
        assert verify_webhook(payload=body, headers=headers, secret=secret), "the key in force"
        cleared = rules.set(incoming_call_action="auto_reject", **mine)
        assert cleared.incoming_call_webhook_url is None, "left out is cleared"
        assert self.admin.phone_numbers.get(number.id).incoming_call_webhook_url is None
        changed = self.admin.phone_numbers.update(number.id, client_websocket_url="wss://agent.client.test/media")
        assert rules.get(**mine).client_websocket_url == changed.client_websocket_url
        self.agent.release_phone_number()

    def unauthorized(self):
        stranger = self.client("ApiKey_00000000-0000-4000-8000-000000000000.nobody-has-this-key")
        expect(401, stranger.whoami)
        expect(401, stranger.webhooks.subscriptions.list)
        expect(401, lambda: stranger.create_identity("nobody"))

    def forbidden(self):
        unclaimed = self.client(self.options.unclaimed_key)
        me = unclaimed.whoami()
        assert me.auth_subtype == inkbox.AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_UNCLAIMED, me
        expect(403, unclaimed.webhooks.subscriptions.list)
        expect(403, lambda: unclaimed.webhooks.subscriptions.get(self.hook.id))
        expect(403, lambda: unclaimed.webhooks.subscriptions.delete(self.hook.id))
        if not self.old:
            expect(403, unclaimed.webhooks.deliveries.list)
        expect(403, lambda: self.admin.api_keys.create(label="another admin"))

    def not_found(self):
        nobody = uuid.uuid4()
        subscriptions = self.admin.webhooks.subscriptions
        expect(404, lambda: subscriptions.get(nobody))
        expect(404, lambda: subscriptions.update(nobody, url=self.url))
        expect(404, lambda: subscriptions.delete(nobody))
        create = dict(url=self.url, event_types=["message.received"])
        expect(404, lambda: subscriptions.create(mailbox_id=nobody, **create))
        expect(404, lambda: self.admin.get_identity("nobody"))
        if not self.old:
            expect(404, lambda: self.admin.webhooks.deliveries.replay(nobody))

    def conflicts(self):
        subscriptions = self.admin.webhooks.subscriptions
        detail = expect(
            409,
            lambda: subscriptions.create(
                url=self.url, event_types=["message.received"], mailbox_id=self.mailbox.id
            ),
        ).lower()
        assert "active subscription" in detail and "url" in detail, detail
        expect(409, lambda: self.admin.create_identity("help-desk"), HandleUnavailableError)

        crowd = self.admin.create_identity("crowd")

        def one(n):
            return subscriptions.create(
                url=f"{self.receiver.url}/{n}", event_types=["message.received"], mailbox_id=crowd.mailbox.id
            )

        for n in range(SUBSCRIPTION_LIMIT):
            one(n)
        detail = expect(409, lambda: one(SUBSCRIPTION_LIMIT)).lower()
        assert "subscription" in detail and "max" in detail and "url" not in detail, detail
        assert len(subscriptions.list(mailbox_id=crowd.mailbox.id)) == SUBSCRIPTION_LIMIT
        crowd.delete()

    def invalid(self):
        subscriptions = self.admin.webhooks.subscriptions

        def create(url, *event_types):
            return lambda: subscriptions.create(
                url=url, event_types=list(event_types), mailbox_id=self.mailbox.id
            )

        fresh = f"{self.receiver.url}/fresh"
        assert "message.typo" in expect(422, create(fresh, "message.typo")), "the detail names the culprit"
        expect(422, create("not a url", "message.received"))
        expect(422, create("ftp://client.test/in", "message.received"))
        expect(422, create("https://user:secret@client.test/in", "message.received"))
        expect(422, lambda: subscriptions.update(self.hook.id, event_types=["message.typo"]))
        if not self.old:
            expect(422, lambda: subscriptions.update(self.hook.id, auth_token="two\r\nlines"))
        assert [row.id for row in subscriptions.list()] == [self.hook.id], "nothing was half done"

    def deletes(self):
        subscriptions = self.admin.webhooks.subscriptions
        subscriptions.delete(self.hook.id)
        expect(404, lambda: subscriptions.get(self.hook.id))
        expect(404, lambda: subscriptions.delete(self.hook.id))
        assert subscriptions.list() == []
        if not self.old:
            expect(409, lambda: self.admin.webhooks.deliveries.replay(self.logged.id))
            kept = self.admin.webhooks.deliveries.list(subscription_id=self.hook.id)
            assert len(kept) == 2 and not any(row.replayable for row in kept), "history outlives its subscription"
        self.agent.delete()
        expect(404, lambda: self.admin.get_identity("help-desk"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--admin-key", required=True)
    parser.add_argument("--unclaimed-key", required=True)
    parser.add_argument("--mode", required=True, choices=["0.4.6", "0.7.20"])
    options = parser.parse_args()
    installed = importlib.metadata.version("inkbox")
    assert installed == options.mode, f"this environment has inkbox {installed}"
    Run(options).all()


if __name__ == "__main__":
    main()
