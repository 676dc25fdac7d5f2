"""Holds the bodies of deliveries against the TypedDicts that the Inkbox SDK declares for them.

Run by `tests/it/contract/payloads.rs` with the interpreter of the environment that holds the SDK. Reads a JSON
list of [event type, body] from standard input and writes one JSON object: `faults`, a list of sentences, and
`undeclared`, the event types for which this version of the SDK declares nothing.

`json.loads` makes plain dicts, so nothing but a look at the declarations tells whether a key is missing, unknown
or of another type, or a word not in its `Literal`. A declaration that this script cannot read ends the run.
"""

import json
import sys
import types
import typing

import inkbox.webhooks

# Sent for receivers that know the body by it; the SDK's own type does not have it.
EXTRA = {("phone.incoming_call", "phone_number_id")}


def payload_types():
    """Event type to the TypedDict of the whole body."""
    found = {}
    for name, declared in vars(inkbox.webhooks).items():
        if not (typing.is_typeddict(declared) and name.endswith("WebhookPayload")):
            continue
        event_type = hints(declared).get("event_type")
        if event_type is None:
            assert name == "PhoneIncomingCallWebhookPayload", name
            found["phone.incoming_call"] = declared
        else:
            found |= dict.fromkeys(typing.get_args(event_type), declared)
    return found


def hints(declared):
    return typing.get_type_hints(declared, include_extras=True)


def check(declared, value, path):
    """Yields what is wrong with `value`, which should be as declared."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if typing.is_typeddict(declared):
        yield from check_dict(declared, value, path)
    elif origin in (typing.Union, types.UnionType):
        tried = [list(check(argument, value, path)) for argument in arguments]
        if all(tried):
            yield from min(tried, key=len)
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is none of {', '.join(map(repr, arguments))}"
    elif origin is list:
        if isinstance(value, list):
            for position, item in enumerate(value):
                yield from check(arguments[0], item, f"{path}.{position}")
        else:
            yield f"{path}: {value!r} is no list"
    elif declared is dict or origin is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no object"
    elif declared in (str, bool, types.NoneType):
        if type(value) is not declared:
            yield f"{path}: {value!r} is not {declared.__name__}"
    elif declared in (int, float):
        if type(value) is not int and type(value) is not declared:
            yield f"{path}: {value!r} is not {declared.__name__}"
    else:
        raise TypeError(f"{path}: how is {declared!r} checked?")


def check_dict(declared, value, path):
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    fields = hints(declared)
    for name in value.keys() - fields.keys():
        if (path, name) not in EXTRA:
            yield f"{path}.{name}: not declared by {declared.__name__}"
    for name, field in fields.items():
        # With postponed annotations __required_keys__ knows nothing of NotRequired.
        required = declared.__total__
        if typing.get_origin(field) in (typing.Required, typing.NotRequired):
            required = typing.get_origin(field) is typing.Required
            (field,) = typing.get_args(field)
        if name in value:
            yield from check(field, value[name], f"{path}.{name}")
        elif required:
            yield f"{path}.{name}: missing"


def main():
    declared = payload_types()
    faults, undeclared = [], []
    for event_type, body in json.load(sys.stdin):
        if event_type in declared:
            faults.extend(check(declared[event_type], body, event_type))
        else:
            undeclared.append(event_type)
    json.dump({"faults": faults, "undeclared": undeclared}, sys.stdout)


main()
