import asyncio
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import Unauthorized
from deployments.scheduling.terms import Level
from serve_app import access
from serve_app.access import ANONYMOUS, Client, Keyring
from serve_app.auth_config import AuthConfig, keyring
from tests.unit.access_fixtures import PEPPER, entry, key, ring

NOW = datetime(2027, 1, 1, tzinfo=UTC)
ONE = ring(entry("acme"))


async def client(**fields: Any) -> Client:
    """The client of a key with these fields."""
    return await ring(entry("acme", **fields)).authenticate(key("acme"), NOW)


async def refusal(keys: Keyring, presented: str, now: datetime = NOW) -> str:
    with pytest.raises(Unauthorized) as refused:
        await keys.authenticate(presented, now)
    assert refused.value.code == "invalid_api_key"
    return refused.value.message


class TestAKey:
    async def test_stands_for_what_its_entry_says(self) -> None:
        assert await client(
            tenant="t", weight=2, classes=["batch", "interactive"], models=["a", "b"]
        ) == Client("acme", "t", 2.0, (Level.BATCH, Level.INTERACTIVE), frozenset({"a", "b"}))

    async def test_may_choose_any_class_and_model_unless_its_entry_says_otherwise(self) -> None:
        found = await client()
        assert found.classes[0] is Level.STANDARD
        assert set(found.classes) == set(Level)
        assert (found.weight, found.models) == (1, None)

    async def test_is_told_from_others(self) -> None:
        keys = ring(entry("acme"), entry("acme-2"), entry("acme-2-3"))
        for name in ("acme", "acme-2", "acme-2-3"):
            assert (await keys.authenticate(key(name), NOW)).key_id == name

    async def test_may_have_dashes_in_its_secret(self) -> None:
        secret = f"-{'-'.join(21 * 'a')}-"
        presented = f"sk-sluice-acme-{secret}"
        digest = access.digest(PEPPER, presented).hex()
        keys = ring(entry("acme", hash=digest))
        assert (await keys.authenticate(presented, NOW)).key_id == "acme"

    @pytest.mark.parametrize(
        "presented",
        [
            "",
            "x",
            "sk-sluice-",
            key("nobody"),
            key("acme")[:-1],
            key("acme") + "a",
            key("acme").upper(),
            f" {key('acme')}",
            "sk-sluice-acme-" + 43 * "b",
            "sk-sluice-acme",
            "sk-sluice--" + 43 * "a",
            entry("acme")["hash"],
            "sk-sluice-acme-" + 43 * "\udcff",
        ],
    )
    async def test_that_is_none_is_refused(self, presented: str) -> None:
        assert await refusal(ONE, presented) == "This API key is not valid."

    async def test_of_another_pepper_is_refused(self) -> None:
        auth = {"pepper": PEPPER[::-1], "keys": [entry("acme")]}
        keys = keyring(AuthConfig.model_validate(auth))
        assert keys is not None
        assert await refusal(keys, key("acme")) == "This API key is not valid."

    @given(presented=st.text())
    def test_is_not_guessed(self, presented: str) -> None:
        asyncio.run(refusal(ONE, presented))

    @given(where=st.integers(0, len(key("acme")) - 1), instead=st.characters(max_codepoint=255))
    def test_is_not_another_by_one_character(self, where: int, instead: str) -> None:
        changed = key("acme")[:where] + instead + key("acme")[where + 1 :]
        if changed != key("acme"):
            asyncio.run(refusal(ONE, changed))

    async def test_is_looked_for_at_the_same_cost_whether_its_id_is_known_or_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compared = list[tuple[int, int]]()

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((len(one), len(other)))
            return one == other

        monkeypatch.setattr(hmac, "compare_digest", compare)
        await refusal(ONE, "sk-sluice-acme-" + 43 * "b")
        await refusal(ONE, key("nobody"))
        await refusal(ONE, "")
        assert compared == 3 * [(32, 32)]


class TestAnExpiredKey:
    KEYS = ring(entry("acme", expires=NOW))

    async def test_is_good_until_then(self) -> None:
        earlier = NOW - timedelta(microseconds=1)
        assert (await self.KEYS.authenticate(key("acme"), earlier)).key_id == "acme"

    async def test_is_told_so_from_then_on(self) -> None:
        expected = "This API key expired at 2027-01-01T00:00:00+00:00."
        assert await refusal(self.KEYS, key("acme")) == expected
        assert await refusal(self.KEYS, key("acme"), NOW + timedelta(days=1)) == expected

    async def test_is_told_so_only_by_its_secret(self) -> None:
        presented = "sk-sluice-acme-" + 43 * "b"
        assert await refusal(self.KEYS, presented) == "This API key is not valid."


class TestAClient:
    async def test_may_use_the_models_of_its_key(self) -> None:
        found = await client(models=["a"])
        assert found.may_use("a")
        assert not found.may_use("b")

    async def test_may_use_every_model_where_its_key_names_none(self) -> None:
        assert (await client()).may_use("b")
        assert ANONYMOUS.may_use("b")

    async def test_has_its_tenants_own_cache(self) -> None:
        one, other = await client(tenant="a"), await client(tenant="b")
        assert one.cache_salt == (await client(tenant="a", weight=3)).cache_salt
        assert one.cache_salt != other.cache_salt
        assert one.cache_salt

    async def test_called_anonymous_by_its_key_is_not_the_one_without_a_key(self) -> None:
        found = await client(tenant="anonymous")
        assert found.cache_salt is not None
        assert ANONYMOUS.cache_salt is None


def test_a_hash_is_the_hmac_of_the_whole_key() -> None:
    expected = hmac.new(PEPPER.encode(), key("acme").encode(), hashlib.sha256).hexdigest()
    assert entry("acme")["hash"] == expected


def test_there_is_no_keyring_without_keys() -> None:
    assert keyring(AuthConfig()) is None
    assert keyring(AuthConfig(pepper=PEPPER)) is None
