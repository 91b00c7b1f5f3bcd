import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.shared import ErrorObject
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from deployments.errors import BadRequest, Forbidden, ModelNotFound, SluiceError, Unauthorized
from deployments.scheduling.terms import Level, Terms
from serve_app.access import ANONYMOUS, Client, Keys
from serve_app.http import auth, docs_page, errors
from serve_app.http.app import create_app
from serve_app.http.auth import Auth
from serve_app.http.record import RECORD, Record, Recording
from tests.unit.access_fixtures import entry, key, ring
from tests.unit.http_fixtures import site

HERE = ("127.0.0.1", 50000)
NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEYS = ring(entry("acme", models=["a"]), entry("old", expires=NOW))
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI")
Headers = Iterable[tuple[bytes, bytes]]


class Answered:
    """What came of one request: what the client got, and what the application behind saw."""

    def __init__(self) -> None:
        self.seen: list[Scope] = []
        self.sent: list[Message] = []

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def error(self) -> ErrorObject:
        return ErrorObject.model_validate_json(self.sent[1]["body"][len(b'{"error":') : -1])

    @property
    def client(self) -> Client | None:
        """Who the application behind was told asks."""
        [scope] = self.seen
        return auth.known_client(Request(scope))

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def ask(
    headers: Headers = (),
    *,
    keys: Keys | None = KEYS,
    path: str = "/v1/models",
    **scope: Any,
) -> Answered:
    """Ask a server with these keys for `path`."""
    answered = Answered()

    async def receive() -> Message:
        raise AssertionError("nobody has to read the body")

    async def send(message: Message) -> None:
        answered.sent.append(message)

    asked = {"type": "http", "method": "GET", "path": path, "headers": list(headers), **scope}
    guarded = Auth(answered.app, keys=keys, now=lambda: NOW)
    await Recording(guarded, readers=(), endpoints=())(asked, receive, send)
    return answered


def shown(name: str, scheme: str = "Bearer ") -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"{scheme}{key(name)}".encode())]


class TestAKey:
    @pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
    async def test_lets_its_client_in(self, scheme: str) -> None:
        client = (await ask(shown("acme", scheme))).client
        assert client is not None
        assert (client.key_id, client.tenant) == ("acme", "acme")

    async def test_is_needed_on_this_machine_too(self) -> None:
        assert (await ask(client=HERE)).status == 401

    async def test_goes_no_further_than_here(self) -> None:
        other = (b"accept", b"x")
        answered = await ask([other, *shown("acme")])
        assert answered.seen[0]["headers"] == [other]

    async def test_goes_no_further_where_nobody_needs_it(self) -> None:
        for path in auth.OPEN_PATHS:
            assert (await ask(shown("acme"), path=path)).seen[0]["headers"] == []
        answered = await ask(shown("acme"), keys=None, client=HERE)
        assert answered.seen[0]["headers"] == []

    async def test_leaves_what_the_server_keeps_in_the_state(self) -> None:
        state = {"database": 7}
        [scope] = (await ask(shown("acme"), state=state)).seen
        assert Request(scope).state.database == 7
        assert state == {"database": 7}


class TestARefusal:
    async def test_without_a_key_says_how_to_show_one(self) -> None:
        answered = await ask()
        assert (answered.status, answered.seen) == (401, [])
        assert answered.headers[b"www-authenticate"] == b"Bearer"
        assert answered.error == ErrorObject(
            message="Send your API key in a header: Authorization: Bearer <key>",
            type="authentication_error",
            param=None,
            code="missing_api_key",
        )

    @pytest.mark.parametrize(
        "headers",
        [
            shown("nobody"),
            shown("acme", "Basic "),
            shown("acme", ""),
            [(b"authorization", b"Bearer")],
            [(b"authorization", b"Bearer ")],
            [(b"authorization", b"")],
            [(b"authorization", b"Bearer \xff\x00")],
            [*shown("acme"), *shown("acme")],
            [*shown("nobody"), *shown("acme")],
        ],
    )
    async def test_of_a_bad_key_says_so_in_openais_shape(self, headers: Headers) -> None:
        answered = await ask(headers)
        assert (answered.status, answered.seen) == (401, [])
        assert answered.headers[b"www-authenticate"] == b"Bearer"
        error = answered.error
        assert (error.type, error.code) == ("authentication_error", "invalid_api_key")

    @pytest.mark.parametrize("name", [b"x-api-key", b"api-key", b"proxy-authorization", b"cookie"])
    async def test_comes_for_a_key_in_another_header(self, name: bytes) -> None:
        assert (await ask([(name, b"Bearer " + key("acme").encode())])).status == 401

    async def test_of_an_expired_key_says_so(self) -> None:
        answered = await ask(shown("old"))
        assert (answered.status, answered.error.code) == (401, "invalid_api_key")
        assert "expired" in answered.error.message

    async def test_never_quotes_what_was_shown(self) -> None:
        for headers in (shown("nobody"), shown("old"), shown("acme", "Basic ")):
            assert b"sk-sluice" not in (await ask(headers)).sent[1]["body"]

    @given(values=st.lists(st.binary(), max_size=3))
    def test_comes_for_whatever_bytes_a_header_has(self, values: list[bytes]) -> None:
        bare = asyncio.run(ask([(b"authorization", value) for value in values]))
        named = asyncio.run(ask([(b"Authorization", b"Bearer " + value) for value in values]))
        assert (bare.status, named.status) == (401, 401)
        assert bare.seen == named.seen == []

    @pytest.mark.parametrize("keys", [KEYS, None])
    async def test_closes_a_websocket_as_nothing_here_speaks_it(self, keys: Keys | None) -> None:
        answered = await ask(shown("acme"), keys=keys, type="websocket", client=HERE)
        assert answered.seen == []
        assert [message["type"] for message in answered.sent] == ["websocket.close"]

    async def test_is_for_requests_only(self) -> None:
        assert [scope["type"] for scope in (await ask(type="lifespan")).seen] == ["lifespan"]


class TestEveryRoute:
    """Deny by default: a route that somebody adds needs a key without their doing anything."""

    @staticmethod
    def paths(app: Starlette) -> set[str]:
        routes = [route for route in app.routes if isinstance(route, Route)]
        assert len(routes) == len(app.routes)  # no mounts, hosts or websockets: see to them here
        paths = {route.path.replace("{model:path}", "org/model") for route in routes}
        return (paths - {"/docs/{file}"}) | docs_page.PATHS

    async def test_but_those_that_are_open_needs_a_key(self) -> None:
        async with site() as s:
            app = create_app(self.service(s.app), KEYS)
            paths = self.paths(app)
            assert paths > auth.OPEN_PATHS
            for path in paths - auth.OPEN_PATHS:
                for method in METHODS:
                    assert (await self.status(app, method, path)) == 401, (method, path)

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "",
            "/nothing",
            "/v1",
            "/docs/",
            "/docs/x",
            "/docs/../v1/models",
            "/openapi.json/",
            "/metrics/",
            "/health/",
            "/health/x",
            "//health",
            "/HEALTH",
            "/ready/",
            "/v1/models/../../health",
            "/v1/models/health",
            "/health?x",
            "/health;x",
            "*",
        ],
    )
    async def test_that_is_none_needs_a_key_before_anybody_is_told_so(self, path: str) -> None:
        async with site() as s:
            app = create_app(self.service(s.app), KEYS)
            for method in METHODS:
                assert (await self.status(app, method, path)) == 401
            headers = shown("acme")
            assert (await self.status(app, "GET", path, headers)) == 404

    async def test_that_changes_what_is_served_is_for_admins(self) -> None:
        keys = ring(entry("user"), entry("boss", admin=True))
        async with site() as s:
            app = create_app(self.service(s.app), keys)
            refused = {
                path
                for path in self.paths(app)
                if await self.status(app, "POST", path, shown("user")) == 403
            }
            assert refused == {"/v1/load_lora_adapter", "/v1/unload_lora_adapter"}
            for path in refused:  # but this is no way to ask
                assert (await self.status(app, "POST", path, shown("boss"))) == 415

    async def test_that_is_open_answers_everybody(self) -> None:
        async with site() as s:
            app = create_app(self.service(s.app), KEYS)
            for path in auth.OPEN_PATHS:
                assert (await self.status(app, "GET", path)) == 200
                assert (await self.status(app, "GET", path, shown("nobody"))) == 200
                assert (await self.status(app, "POST", path)) == 405

    async def test_is_found_under_a_prefix(self) -> None:
        async with site() as s:
            app = create_app(self.service(s.app), KEYS)
            for path, status in (("health", 200), ("v1/models", 401), ("v1/health", 401)):
                asked = self.status(app, "GET", f"/llm/{path}", root_path="/llm")
                assert (await asked) == status

    @staticmethod
    def service(app: Any) -> Any:
        return app.state.service

    @staticmethod
    async def status(
        app: Starlette, method: str, path: str, headers: Headers = (), root_path: str = ""
    ) -> int:
        sent = list[Message]()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": list(headers),
            "client": HERE,
            "root_path": root_path,
        }
        await app(scope, receive, send)
        status: int = sent[0]["status"]
        return status


class TestAnOpenServer:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
    async def test_answers_its_own_machine(self, host: str) -> None:
        assert (await ask(keys=None, client=(host, 1))).client is ANONYMOUS

    async def test_does_not_mind_a_key(self) -> None:
        assert (await ask(shown("nobody"), keys=None, client=HERE)).client is ANONYMOUS

    @pytest.mark.parametrize(
        "client",
        [
            ("192.0.2.1", 1),
            ("0.0.0.0", 1),
            ("10.0.0.1", 1),
            ("2001:db8::1", 1),
            ("::ffff:192.0.2.1", 1),
            ("::", 1),
            ("localhost", 1),
            ("127.0.0.1.example.com", 1),
            ("", 0),
            None,
            "",
            [],
        ],
    )
    async def test_refuses_whatever_else_it_is_asked_from(self, client: Any) -> None:
        answered = await ask(keys=None, client=client)
        assert (answered.status, answered.seen) == (401, [])
        error = answered.error
        assert (error.type, error.code) == ("authentication_error", "local_only")
        assert "python -m serve_app.keys new" in error.message

    async def test_refuses_who_has_no_address(self) -> None:
        assert (await ask(keys=None)).status == 401

    @pytest.mark.parametrize(
        "header",
        [
            (b"x-forwarded-for", b"127.0.0.1"),
            (b"X-Forwarded-For", b"192.0.2.1"),
            (b"forwarded", b"for=127.0.0.1"),
            (b"x-forwarded-for", b""),
        ],
    )
    async def test_refuses_what_a_proxy_has_passed_on_or_a_client_has_made_look_so(
        self, header: tuple[bytes, bytes]
    ) -> None:
        assert (await ask([header], keys=None, client=HERE)).status == 401

    @pytest.mark.parametrize(
        "origin",
        [
            b"http://localhost:3000",
            b"http://127.0.0.1:8000",
            b"http://[::1]",
            b"http://ui.localhost",
        ],
    )
    async def test_answers_pages_of_this_machine(self, origin: bytes) -> None:
        answered = await ask([(b"origin", origin)], keys=None, client=HERE)
        assert answered.client is ANONYMOUS

    @pytest.mark.parametrize(
        "origin",
        [
            b"http://example.com",
            b"http://localhost.example.com",
            b"null",
            b"",
            b"http://[x",
            b"\xff",
        ],
    )
    async def test_refuses_pages_of_websites_in_a_browser_here(self, origin: bytes) -> None:
        assert (await ask([(b"origin", origin)], keys=None, client=HERE)).status == 401

    @given(origin=st.binary())
    def test_survives_any_origin(self, origin: bytes) -> None:
        answered = asyncio.run(ask([(b"origin", origin)], keys=None, client=HERE))
        assert answered.status == 401

    @given(host=st.text())
    def test_survives_any_address(self, host: str) -> None:
        assert asyncio.run(ask(keys=None, client=(host, 1))).status == 401

    async def test_tells_others_that_it_lives_and_no_more(self) -> None:
        for path in auth.OPEN_PATHS:
            assert (await ask(keys=None, client=("192.0.2.1", 1), path=path)).client is None


def client(**fields: Any) -> Client:
    given = {"tenant": "t", "weight": 2.0, "classes": tuple(Level), "models": None}
    return Client("id", **{**given, **fields})


class FakeService:
    """A service whose model `asleep` has no deadlines."""

    share_prefix_cache = False

    def deadlines_for(self, model: str) -> dict[Level, float | None]:
        return {} if model == "asleep" else DEADLINES


def request(asker: Client | None = ANONYMOUS, *headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    app = Starlette()
    app.state.service = FakeService()
    return Request(
        {
            "type": "http",
            "headers": raw,
            "state": {"client": asker},
            "app": app,
            RECORD: Record(0, 0, "POST"),
        }
    )


class TestWhoAsks:
    def test_is_known(self) -> None:
        asker = client()
        assert auth.client_of(request(asker)) is asker

    def test_is_nobody_on_an_open_path_without_a_key(self) -> None:
        assert auth.known_client(request(None)) is None
        with pytest.raises(Unauthorized):
            auth.client_of(request(None))


class TestAModel:
    def test_of_the_key_is_there(self) -> None:
        auth.check_model(request(client(models=frozenset({"a"}))), "a")
        auth.check_model(request(client()), "a")

    async def test_of_others_is_not_there_in_the_very_words_for_one_that_is_not(self) -> None:
        with pytest.raises(ModelNotFound) as refused:
            auth.check_model(request(client(models=frozenset({"a"}))), "b")
        async with site() as s:
            with pytest.raises(ModelNotFound) as missing:
                s.router.pool("b")
        assert self.told(refused.value) == self.told(missing.value)

    @staticmethod
    def told(error: SluiceError) -> tuple[Any, ...]:
        return error.message, error.param, error.code, errors.status_of(error)


class TestAnAdmin:
    def test_is_who_has_a_key_that_says_so(self) -> None:
        auth.check_admin(request(client(admin=True)))
        with pytest.raises(Forbidden, match="has no 'admin'") as refused:
            auth.check_admin(request(client()))
        assert (refused.value.param, refused.value.code) == (None, "admin_required")

    def test_is_whoever_may_ask_a_server_without_keys(self) -> None:
        auth.check_admin(request(ANONYMOUS))

    def test_is_nobody_who_is_not_known(self) -> None:
        with pytest.raises(Unauthorized):
            auth.check_admin(request(None))


class TestAClass:
    def test_is_the_keys_first_unless_the_request_names_one(self) -> None:
        asker = client(classes=(Level.BATCH, Level.STANDARD))
        assert auth.level_of(request(asker)) is Level.BATCH
        assert auth.level_of(request()) is Level.STANDARD

    @pytest.mark.parametrize("level", Level)
    def test_is_what_the_request_names(self, level: Level) -> None:
        asked = request(client(), ("x-sluice-class", level.name.lower()))
        assert auth.level_of(asked) is level

    @pytest.mark.parametrize("name", ["", "Batch", "0", "urgent", "batch, standard", "\xff"])
    def test_that_there_is_not_is_refused_by_its_header(self, name: str) -> None:
        with pytest.raises(BadRequest) as refused:
            auth.level_of(request(client(), ("x-sluice-class", name)))
        assert refused.value.message == (
            "The header x-sluice-class must be one of interactive, standard, batch."
        )
        assert (refused.value.param, refused.value.code) == ("x-sluice-class", "invalid_value")

    def test_named_twice_is_refused_by_its_header(self) -> None:
        twice = [("x-sluice-class", "batch"), ("x-sluice-class", "batch")]
        with pytest.raises(BadRequest, match="x-sluice-class must be sent once"):
            auth.level_of(request(client(), *twice))

    def test_that_the_key_may_not_choose_is_a_403(self) -> None:
        asker = client(classes=(Level.STANDARD, Level.BATCH))
        with pytest.raises(Forbidden) as refused:
            auth.level_of(request(asker, ("x-sluice-class", "interactive")))
        assert errors.status_of(refused.value) == 403
        assert refused.value.code == "class_not_allowed"
        assert refused.value.message == (
            "This API key may not use the class interactive. It may use: standard, batch."
        )


DEADLINES = {Level.INTERACTIVE: 1.0, Level.STANDARD: 2.0, Level.BATCH: None}


def terms(asked: Request, model: str = "a") -> Terms:
    return auth.terms_of(asked, model)


class TestTerms:
    def test_are_those_of_the_key(self) -> None:
        found = terms(request(client(classes=(Level.BATCH,))))
        assert found == Terms("t", 2.0, Level.BATCH, None, "t", due_since=0.0)

    def test_on_an_open_server_are_everybodys(self) -> None:
        assert terms(request()) == Terms(level=Level.STANDARD, deadline_s=2.0, due_since=0.0)

    def test_keep_tenants_caches_apart_unless_they_share(self) -> None:
        one, other = request(client(tenant="a")), request(client(tenant="b"))
        assert terms(one).cache_salt != terms(other).cache_salt
        one.app.state.service.share_prefix_cache = True
        assert terms(one).cache_salt is None

    @given(st.binary().map(lambda raw: raw.decode("latin-1")))
    def test_let_no_client_choose_its_salt(self, value: str) -> None:
        names = ("cache_salt", "cache-salt", "x-sluice-tenant", "x-cache-salt")
        found = terms(request(client(), *((name, value) for name in names)))
        assert found == terms(request(client()))

    @pytest.mark.parametrize(("ms", "seconds"), [("1", 0.001), ("86400000", 86_400), ("050", 0.05)])
    def test_have_the_deadline_that_the_request_names(self, ms: str, seconds: float) -> None:
        assert terms(request(client(), ("x-sluice-deadline-ms", ms))).deadline_s == seconds

    def test_have_the_deadline_of_the_class_that_the_request_names(self) -> None:
        asked = request(client(), ("x-sluice-class", "interactive"))
        assert terms(asked).deadline_s == 1
        assert terms(asked, "asleep").deadline_s is None

    @pytest.mark.parametrize(
        "value",
        ["", "0", "86400001", "-1", "+1", "1.5", "1e3", "1_0", "½", "soon", 5000 * "9", "1, 1"],
    )
    def test_refuse_a_deadline_that_is_none_by_its_header(self, value: str) -> None:
        with pytest.raises(BadRequest) as refused:
            terms(request(client(), ("x-sluice-deadline-ms", value)))
        assert refused.value.message == (
            "The header x-sluice-deadline-ms must be a whole number from 1 to 86400000."
        )
        assert refused.value.param == "x-sluice-deadline-ms"

    @given(st.binary().map(lambda raw: raw.decode("latin-1")))
    def test_survive_any_deadline(self, value: str) -> None:
        try:
            found = terms(request(client(), ("x-sluice-deadline-ms", value))).deadline_s
        except BadRequest:
            return
        assert found == int(value) / 1000
