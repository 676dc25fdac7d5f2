//! Samples of `call.ended` and `phone.incoming_call`.

use serde_json::{Value, json};

use super::{CREATED, UPDATED, contacts};

const LOCAL: &str = "+12025550143";
const REMOTE: &str = "+12025550178";

pub(super) fn ended() -> Value {
    let id = "7f8091a2-b3c4-4d56-8e7f-8a9b0c1d2e01";
    let transcript = format!("https://calls.example.com/{id}/transcript");
    json!({
        "call": {
            "id": id, "origin": "dedicated_number",
            "local_phone_number": LOCAL, "remote_phone_number": REMOTE,
            "direction": "inbound", "status": "completed", "hangup_reason": "remote",
            "started_at": CREATED, "ended_at": UPDATED,
            "created_at": CREATED, "updated_at": UPDATED,
            "duration_seconds": 5, "mode": "client_websocket", "reason": null,
            "hosted_agent_authority_mode": null, "voicemail_detection": null, "on_voicemail": null,
            "forwardings": [], "connections": [],
        },
        "contacts": contacts("Sam"),
        "agent_identities": [],
        "transcript": {
            "entries": [
                {"party": "remote", "text": "Which floor is it on?", "ts_ms": 0},
                {"marker": "abridged", "omitted_turns": 2, "omitted_ms": 1700},
                {"party": "local", "text": "The third, left of the lift.", "ts_ms": 2100},
            ],
            "abridged": true,
            "url": transcript,
        },
        "transcript_url": transcript,
        "outcome": null,
        "post_call_action_items": [],
    })
}

pub(super) fn incoming() -> Value {
    json!({
        "id": "8091a2b3-c4d5-4e67-9f80-9b0c1d2e3f01",
        "phone_number_id": "91a2b3c4-d5e6-4f78-8091-0c1d2e3f4a01",
        "local_phone_number": LOCAL,
        "remote_phone_number": REMOTE,
        "direction": "inbound",
        "status": "initiated",
        "client_websocket_url": null,
        "use_inkbox_tts": null,
        "use_inkbox_stt": null,
        "hangup_reason": null,
        "started_at": null,
        "ended_at": null,
        "created_at": CREATED,
        "updated_at": CREATED,
        "rate_limit": {
            "calls_used": 3, "calls_remaining": 97, "calls_limit": 100,
            "minutes_used": 4.5, "minutes_remaining": 295.5, "minutes_limit": 300,
        },
        "contacts": contacts("Sam"),
        "agent_identities": [],
    })
}
