import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.scheduling.terms import Level
from serve_app import config, keys
from serve_app.access import Client
from serve_app.auth_config import AuthConfig, keyring
from tests.unit.access_fixtures import PEPPER, entry

PROGRAM = "python -m serve_app.keys: "
NOW = datetime(2026, 12, 31, tzinfo=UTC)


pytestmark = pytest.mark.usefixtures("no_setting_in_the_environment")


@pytest.fixture
def pepper(monkeypatch: pytest.MonkeyPatch) -> str:
    """One that the environment has."""
    monkeypatch.setenv("SLUICE_AUTH__PEPPER", PEPPER)
    return PEPPER


class Printed:
    """What the command printed, taken apart as its reader would."""

    def __init__(self, text: str) -> None:
        self.text = text
        indented = [line.strip() for line in text.splitlines() if line.startswith("    ")]
        self.key = next(line for line in indented if line.startswith("sk-sluice-"))
        self.exports = [line for line in indented if line.startswith("export ")]
        self.config: dict[str, Any] = yaml.safe_load(text[text.index("\nauth:") :])

    @property
    def entry(self) -> dict[str, Any]:
        [entry] = self.config["auth"]["keys"]
        assert isinstance(entry, dict)
        return entry

    async def client(self, pepper: str = PEPPER, others: tuple[Any, ...] = ()) -> Client:
        """Whom a server with this entry takes the key for."""
        auth = AuthConfig.model_validate({"pepper": pepper, "keys": [*others, self.entry]})
        server = keyring(auth)
        assert server is not None
        return await server.authenticate(self.key, NOW)


@pytest.fixture
def new(capsys: pytest.CaptureFixture[str]) -> Any:
    def new(*arguments: str) -> Printed:
        keys.main(["new", *arguments])
        return Printed(capsys.readouterr().out)

    return new


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Why there is no key: one line, and nothing printed beside it."""
    with pytest.raises(SystemExit) as end:
        keys.main(arguments)
    out, line = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert line.splitlines() == [line.removesuffix("\n")]
    return line.removesuffix("\n").removeprefix(PROGRAM)


class TestANewKey:
    async def test_is_known_to_a_server_that_has_its_entry(self, new: Any, pepper: str) -> None:
        printed = new("--tenant", "acme")
        client = await printed.client()
        assert (client.tenant, client.weight, client.models) == ("acme", 1, None)
        assert client.key_id.startswith("acme-")
        assert printed.key.startswith(f"sk-sluice-{client.key_id}-")

    async def test_may_what_it_was_made_for(self, new: Any, pepper: str) -> None:
        printed = new(
            "--tenant=acme",
            "--id=one",
            "--weight=2",
            "--classes=interactive, standard",
            "--models=a,b",
            "--expires=2027-01-01",
        )
        assert await printed.client() == Client(
            "one", "acme", 2.0, (Level.INTERACTIVE, Level.STANDARD), frozenset({"a", "b"})
        )
        assert printed.entry["expires"] == "2027-01-01T00:00:00Z"

    async def test_is_an_admins_where_that_was_said(self, new: Any, pepper: str) -> None:
        boss, user = new("--tenant", "acme", "--admin"), new("--tenant", "acme")
        assert (await boss.client()).admin
        assert not (await user.client()).admin
        assert (boss.entry["admin"], "admin" in user.entry) == (True, False)

    def test_is_in_its_entry_by_its_hash_only(self, new: Any, pepper: str) -> None:
        printed = new("--tenant", "acme")
        assert printed.text.count(printed.key) == 1
        assert printed.entry.keys() == {"id", "hash", "tenant", "weight"}
        assert printed.key[-43:] not in str(printed.entry)

    def test_is_another_each_time(self, new: Any, pepper: str) -> None:
        one, other = new("--tenant", "acme"), new("--tenant", "acme")
        assert one.key[-43:] != other.key[-43:]
        assert one.entry["id"] != other.entry["id"]

    @pytest.mark.parametrize("tenant", ["Größe/x:y", "-", "a" * 128, "1e5", "null"])
    async def test_is_for_a_tenant_of_any_name(self, tenant: str, new: Any, pepper: str) -> None:
        assert (await new(f"--tenant={tenant}").client()).tenant == tenant


class TestThePepper:
    def test_is_not_printed_where_there_is_one(self, new: Any, pepper: str) -> None:
        printed = new("--tenant", "acme")
        assert pepper not in printed.text
        assert printed.exports == []

    async def test_is_the_one_of_the_servers_file(self, new: Any, tmp_path: Path) -> None:
        file = tmp_path / "my.yaml"
        file.write_text(f"auth: {{pepper: {PEPPER}}}")
        printed = new("--tenant", "acme", "--config", str(file))
        assert (await printed.client()).tenant == "acme"
        assert PEPPER not in printed.text

    async def test_is_the_one_of_the_file_that_the_environment_names(
        self, new: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "my.yaml"
        file.write_text(f"auth: {{pepper: {PEPPER}}}")
        monkeypatch.setenv("SLUICE_CONFIG", str(file))
        assert (await new("--tenant", "acme").client()).tenant == "acme"

    async def test_is_made_where_there_is_none_and_works_as_printed(
        self, new: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        printed = new("--tenant", "acme")
        [export] = printed.exports
        variable, _, value = export.removeprefix("export ").partition("=")
        monkeypatch.setenv(variable, value)
        assert config.load().auth.pepper == value
        assert (await printed.client(value)).tenant == "acme"

    def test_is_not_made_where_keys_have_lost_theirs(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "my.yaml"
        file.write_text(yaml.safe_dump({"auth": {"keys": [entry("acme")]}}))
        line = refusal(capsys, "new", "--tenant", "acme", "--config", str(file))
        assert line.startswith(
            "auth.pepper: set the one that the hashes of the keys were made with"
        )


class TestAmongOthers:
    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        file = tmp_path / "my.yaml"
        content = {
            "auth": {"pepper": PEPPER, "keys": [entry("acme", weight=3)]},
            "models": "what is not finished yet",
            "nonsense": 1,
        }
        file.write_text(yaml.safe_dump(content))
        return str(file)

    async def test_a_key_is_made_whatever_the_rest_of_the_file_is(
        self, file: str, new: Any
    ) -> None:
        assert (await new("--tenant", "other", "--config", file).client()).tenant == "other"

    async def test_a_key_has_the_weight_of_its_tenant(self, file: str, new: Any) -> None:
        printed = new("--tenant", "acme", "--config", file)
        assert (await printed.client(others=(entry("acme", weight=3),))).weight == 3

    def test_a_key_has_no_other_weight_than_its_tenant(
        self, file: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = refusal(capsys, "new", "--tenant=acme", "--id=b", "--weight=2", "--config", file)
        assert line == (
            "keys acme and b give their tenant acme different weights; give both the same"
        )

    def test_a_key_has_an_id_of_its_own(
        self, file: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = refusal(capsys, "new", "--tenant=b", "--id=acme", "--config", file)
        assert line == "two keys have the id acme; give each its own"


class TestWhatMakesNoSense:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--id=a b"], "--id: String should match pattern"),
            (["--id="], "--id: String should match pattern"),
            (["--weight=0"], "--weight: Input should be greater than or equal to 0.001"),
            (["--weight=much"], "--weight: Input should be a valid number"),
            (["--weight=inf"], "--weight: Input should be a finite number"),
            (["--classes=urgent"], "--classes: Input should be 'interactive', 'standard' or"),
            (["--classes="], "--classes: Input should be 'interactive', 'standard' or"),
            (["--classes=batch,batch"], "--classes: write each name once"),
            (["--models=a,a"], "--models: write each name once"),
            (["--expires=soon"], "--expires: write an ISO 8601 date or time"),
            (["--tenant=a b"], "--tenant: String should match pattern"),
            (["--config=/nowhere.yaml"], "/nowhere.yaml: No such file or directory"),
        ],
    )
    def test_is_refused_in_one_line(
        self, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert refusal(capsys, "new", "--tenant=acme", *arguments).startswith(reason)

    @pytest.mark.parametrize(
        "arguments", [[], ["old"], ["new"], ["new", "--ten=a"], ["new", "--tenant=a", "--no"]]
    )
    def test_on_the_command_line_is_refused_in_one_line(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert refusal(capsys, *arguments)

    def test_in_the_environment_is_refused_as_the_server_does(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SLUICE_AUTH_PEPPER", PEPPER)
        line = refusal(capsys, "new", "--tenant", "acme")
        assert line == "environment: no setting is named SLUICE_AUTH_PEPPER; unset it"


def test_it_is_a_program_that_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "serve_app.keys", "new", "--tenant", "acme"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Printed(done.stdout).entry["tenant"] == "acme"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"ray", "vllm", "torch", "transformers"}
