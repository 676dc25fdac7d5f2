"""Which calls an Inkbox SDK has, and which of them were made.

The list is taken from the SDK itself: every public method of its client, of the resources that hang on the client
and of the identity that it hands out, and every public function of the package. Each is either named in
`not_about_webhooks.json`, with the reason, or must be made with success, with each of its parameters passed at least
once, or the run fails. So does a route that never refused anything.
"""

import fnmatch
import inspect
import json
from operator import attrgetter
from pathlib import Path

import httpx
import inkbox
from inkbox import Inkbox, InkboxAPIError
from inkbox.agent_identity import AgentIdentity

REFUSALS = {401, 403, 404, 409, 422}

# What no test makes, by patterns, and why not. The first pattern that fits counts.
NOT_ABOUT_WEBHOOKS = json.loads(Path(__file__).with_name("not_about_webhooks.json").read_text())

# Parameters that are not passed, and why not.
NOT_PASSED = {
    "timeout": "says how long the SDK waits",
    "response_observer": "hears of headers",
}


def methods(path, thing, depth=0):
    """Yields the name and the function of every public method of this object and of the resources on it."""
    for name in dir(thing):
        if name.startswith("_"):
            continue
        value = getattr(thing, name)
        if inspect.isroutine(value):
            yield path + name, value
        elif type(value).__module__.split(".")[0] == "inkbox" and depth < 4:
            yield from methods(f"{path}{name}.", value, depth + 1)


def calls_of_the_sdk(client):
    """Name to function, of everything that can be called."""
    found = dict(methods("", client))
    for name in dir(AgentIdentity):
        value = inspect.getattr_static(AgentIdentity, name)
        if not name.startswith("_") and not isinstance(value, property):
            found[f"identity.{name}"] = getattr(AgentIdentity, name)
    for name in inkbox.__all__:
        if inspect.isroutine(value := getattr(inkbox, name)):
            found[f"inkbox.{name}"] = value
    return found


def left_out(name):
    """The pattern by which this call is not tested."""
    return next((pattern for pattern in NOT_ABOUT_WEBHOOKS if fnmatch.fnmatchcase(name, pattern)), None)


class Call:
    def __init__(self, name, function):
        self.name = name
        parameters = inspect.signature(function).parameters
        self.parameters = {name for name in parameters if name not in {"self", *NOT_PASSED}}
        self.passed, self.routes, self.refusals = set(), set(), set()
        self.succeeded = self.unserved = False


class Sdk:
    """Makes calls and keeps the book on them. `routes` are those that the server has, as "METHOD /template"."""

    def __init__(self, client, routes):
        self.client = client
        self.routes = [(route.split(" ")[0], route.split(" ")[1].split("/"), route) for route in routes]
        found = calls_of_the_sdk(client)
        self.calls = {name: Call(name, function) for name, function in found.items() if not left_out(name)}
        self.left_out = sorted((left_out(name), name) for name in found if left_out(name))
        self.refusals = {}
        self.requests = None
        self.watch()

    def watch(self):
        """Notes every request that the SDK sends, through whichever of its transports."""
        send = httpx.Client.send

        def watched(client, request, **options):
            response = send(client, request, **options)
            assert self.requests is not None, f"{request.method} {request.url} belongs to no call"
            self.requests.append((request.method, request.url.path, response.status_code))
            return response

        httpx.Client.send = watched

    def has(self, name, parameter=None):
        call = self.calls.get(name)
        return call is not None and (parameter is None or parameter in call.parameters)

    def known(self, name, **parameters):
        """Those of these parameters that this version of the call has."""
        return {key: value for key, value in parameters.items() if self.has(name, key)}

    def __call__(self, name, *values, on=None, **options):
        """Makes a call, of this client or identity, and returns its answer."""
        call, answer = self.make(name, values, on, options)
        if isinstance(answer, InkboxAPIError):
            raise answer
        call.succeeded = True
        return answer

    def refused(self, status, name, *values, on=None, error=InkboxAPIError, **options):
        """Makes a call that is refused with this status; returns the detail in lower case."""
        call, answer = self.make(name, values, on, options)
        assert isinstance(answer, InkboxAPIError), f"{name}: expected {status}, got the answer {answer!r}"
        assert type(answer) is error, f"expected {error.__name__}, got {type(answer).__name__}: {answer}"
        assert answer.status_code == status, f"{name}: expected {status}, got {answer}"
        assert answer.detail, "the error has a detail"
        call.refusals.add(status)
        method, path, _ = self.requests_of_last_call[-1]
        self.refusals.setdefault(self.route(method, path), set()).add(status)
        return (answer.detail if isinstance(answer.detail, str) else json.dumps(answer.detail)).lower()

    def unserved(self, name, *values, on=None, **options):
        """Makes a call for which the server has no route: 404."""
        call, answer = self.make(name, values, on, options)
        assert isinstance(answer, InkboxAPIError) and answer.status_code == 404, f"{name}: {answer!r}"
        method, path, _ = self.requests_of_last_call[-1]
        assert self.served(method, path) is None, f"{method} {path} is served: {name} needs its test"
        call.unserved = True

    def make(self, name, values, on, options):
        call = self.calls[name]
        target = self.client if on is None else on
        if name.startswith("inkbox."):
            function = getattr(inkbox, name.removeprefix("inkbox."))
        else:
            function = attrgetter(name.removeprefix("identity."))(target)
        call.passed |= set(inspect.signature(function).bind(*values, **options).arguments)
        self.requests = requests = []
        try:
            answer = function(*values, **options)
        except InkboxAPIError as error:
            answer = error
        finally:
            self.requests = None
        self.requests_of_last_call = requests
        call.routes |= {self.route(method, path) for method, path, _ in requests}
        return call, answer

    def served(self, method, path):
        """The route of the server that serves this, or None."""
        parts = path.rstrip("/").split("/")
        fits = [
            (sum(part.startswith("{") for part in template), route)
            for verb, template, route in self.routes
            if verb == method
            and len(template) == len(parts)
            and all(given == part or part.startswith("{") for given, part in zip(parts, template))
        ]
        return min(fits)[1] if fits else None

    def route(self, method, path):
        return self.served(method, path) or f"{method} {path.rstrip('/')}"

    def faults(self):
        """What keeps the run from being complete, in sentences."""
        for call in self.calls.values():
            if not (call.succeeded or call.unserved):
                yield f"{call.name} has no test and is in no list"
            elif call.succeeded and (missing := call.parameters - call.passed):
                yield f"{call.name}: no test passes {', '.join(sorted(missing))}"
        used = {route for call in self.calls.values() if not call.unserved for route in call.routes}
        for route in sorted(used):
            if not self.refusals.get(route, set()) & REFUSALS:
                yield f"{route} never refused anything"

    def report(self):
        def row(call):
            outcome = "not yet served" if call.unserved else "works"
            return {"name": call.name, "outcome": outcome, "routes": sorted(call.routes),
                    "refusals": sorted(call.refusals)}

        return {
            "calls": [row(call) for _, call in sorted(self.calls.items())],
            "left_out": {name: pattern for pattern, name in self.left_out},
        }


def make_client(key, base_url):
    return Inkbox(api_key=key, base_url=base_url)
