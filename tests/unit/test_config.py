import json
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments import default_model
from serve_app import config
from serve_app.config import ConfigError, Settings
from serve_app.environment import INTERNAL
from tests.unit.access_fixtures import PEPPER, entry

MODEL = "models: [{name: a, source: org/a}]\n"


pytestmark = pytest.mark.usefixtures("no_setting_in_the_environment")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my.yaml"


def load(file: Path, content: str, **options: Any) -> Settings:
    file.write_text(content)
    return config.load({"config": str(file), **options})


def refusal(options: dict[str, Any] | None = None) -> str:
    """Why this configuration is refused: one line, whatever it quotes."""
    with pytest.raises(ConfigError) as refused:
        config.load(options)
    line = str(refused.value)
    assert line.splitlines() == [line]
    return line


def refusal_of(file: Path, content: str) -> str:
    """Why a file is refused, without its name at the end."""
    file.write_text(content)
    line = refusal({"config": str(file)})
    assert line.endswith(f" [{file}]")
    return line.removesuffix(f" [{file}]")


class TestDefaults:
    def test_one_embedded_model_for_this_machine_only(self) -> None:
        settings = config.load()
        [model] = settings.models
        assert (model.name, model.source) == ("sluice-chat", "embedded:sluice-chat")
        assert model.tool_parser == "hermes"
        assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8000)
        assert settings.http.is_local

    def test_an_empty_file_changes_nothing(self, file: Path) -> None:
        assert load(file, "").model_dump() == config.load().model_dump()
        assert load(file, "# nothing yet\n").model_dump() == config.load().model_dump()

    def test_a_model_has_one_replica_and_vllms_own_arguments(self, file: Path) -> None:
        [model] = load(file, MODEL).models
        assert (model.num_replicas, model.num_cpus, model.engine_args) == (1, 1, {})
        assert (model.num_gpus, model.cpu_threads, model.revision) == (None, None, None)


class TestTheLog:
    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ("log: {level: loud}", "log.level: "),
            ("log: {level: INFO}", "log.level: "),
            ("log: {format: xml}", "log.format: "),
            ("log: {requests: sometimes}", "log.requests: "),
            ("log: {exception_messages: 7}", "log.exception_messages: "),
            ("log: {levle: info}", "log.levle: "),
        ],
    )
    def test_that_is_none_is_refused(self, content: str, line: str, file: Path) -> None:
        assert refusal_of(file, content).startswith(line)

    @pytest.mark.parametrize(
        ("form", "terminal", "no_color", "expected"),
        [
            ("auto", True, "", ("console", True)),
            ("auto", True, "1", ("console", False)),
            ("auto", False, "", ("json", False)),
            ("json", True, "", ("json", False)),
            ("console", False, "", ("console", False)),
        ],
    )
    def test_is_for_people_where_a_terminal_is(
        self,
        form: str,
        terminal: bool,
        no_color: str,
        expected: tuple[str, bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        monkeypatch.setenv("NO_COLOR", no_color)
        options = config.load({"log.format": form}).log.options
        assert (options.format, options.colors) == expected


class TestSources:
    def test_a_file_sets_every_section(self, file: Path) -> None:
        settings = load(
            file,
            """
            models:
              - name: org/a
                source: org/a
                revision: main
                num_replicas: 2
                engine_args: {max_model_len: 64, tensor_parallel_size: 2}
              - {name: b, source: embedded:sluice-90m}
            router: {num_replicas: 3, max_sequences: 7}
            http: {host: 0.0.0.0, port: 9000}
            """,
        )
        assert [model.name for model in settings.models] == ["org/a", "b"]
        assert settings.models[0].revision == "main"
        assert settings.models[0].engine_args == {"max_model_len": 64, "tensor_parallel_size": 2}
        assert (settings.router.num_replicas, settings.router.max_sequences) == (3, 7)
        assert (settings.http.host, settings.http.port) == ("0.0.0.0", 9000)
        assert not settings.http.is_local

    def test_the_environment_names_the_file(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_text("http: {port: 9000}")
        monkeypatch.setenv("SLUICE_CONFIG", str(file))
        assert config.load().http.port == 9000

    def test_the_command_line_names_the_file_over_the_environment(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_CONFIG", "/nowhere.yaml")
        assert load(file, "http: {port: 9000}").http.port == 9000

    def test_a_file_may_be_named_from_home(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(file.parent))
        file.write_text("http: {port: 9000}")
        assert config.load({"config": "~/my.yaml"}).http.port == 9000

    def test_the_environment_goes_before_the_file_key_by_key(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_HTTP__PORT", "9001")
        http = load(file, "http: {host: '::1', port: 9000}").http
        assert (http.host, http.port) == ("::1", 9001)

    def test_the_command_line_goes_before_the_environment_key_by_key(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_HTTP__PORT", "9001")
        monkeypatch.setenv("SLUICE_HTTP__HOST", "::1")
        http = config.load({"http.port": "9002"}).http
        assert (http.host, http.port) == ("::1", 9002)

    def test_a_whole_section_in_the_environment_is_json(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_MODELS", '[{"name": "a", "source": "org/a"}]')
        monkeypatch.setenv("SLUICE_ROUTER", '{"max_sequences": 7}')
        settings = config.load()
        assert settings.models[0].name == "a"
        assert settings.router.max_sequences == 7

    def test_lists_and_objects_on_the_command_line_are_json(self) -> None:
        models = '[{"name": "a", "source": "org/a"}]'
        assert config.load({"models": models}).models[0].source == "org/a"
        assert config.load({"http": '{"port": 9000}'}).http.port == 9000

    def test_what_only_looks_like_json_on_the_command_line_is_taken_as_it_is(self) -> None:
        assert config.load({"http.host": "[::1]"}).http.host == "[::1]"

    def test_options_may_be_nested_as_serve_reads_them_from_a_file(self) -> None:
        options = {"http": {"max_body_bytes": 7}, "http.port": 9000}
        http = config.load(options).http
        assert (http.max_body_bytes, http.port) == (7, 9000)
        assert options == {"http": {"max_body_bytes": 7}, "http.port": 9000}

    @pytest.mark.parametrize("name", [*INTERNAL, "SLUICE_CACHE_DIR", "SLUICE_MARK_abc"])
    def test_our_variables_that_are_no_settings_are_left_alone(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, "1")
        config.load()


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("content", "key"),
        [
            ("htpp: {port: 9000}", "htpp"),
            ("http: {prot: 9000}", "http.prot"),
            ("models: [{name: a, source: b, replicas: 2}]", "models.0.replicas"),
            ("1: 2", "1"),
            ('"two\\nlines": 2', "two lines"),
        ],
    )
    def test_in_a_file(self, file: Path, content: str, key: str) -> None:
        expected = f"{key}: there is no such key; remove it or correct its name"
        assert refusal_of(file, content) == expected

    @pytest.mark.parametrize(
        "variable",
        [
            "SLUICE_HTPP__PORT",
            "SLUICE_HTTP__PROT",
            "SLUICE_HTTP_PORT",
            "SLUICE_PORT",
            "SLUICE_MODELS__0__NAME",
            "sluice_htpp__port",
            "sluice_config",
        ],
    )
    def test_in_the_environment(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(variable, "9000")
        assert refusal() == f"environment: no setting is named {variable}; unset it"

    @pytest.mark.parametrize(
        ("option", "key"),
        [
            ("htpp.port", "htpp"),
            ("http.prot", "http.prot"),
            ("port", "port"),
            ("_env_file", "_env_file"),
            ("_cli_parse_args", "_cli_parse_args"),
        ],
    )
    def test_on_the_command_line(self, option: str, key: str) -> None:
        expected = f"{key}: there is no such key; remove it or correct its name"
        assert refusal({option: "9000"}) == expected


class TestBadValues:
    @pytest.mark.parametrize(
        ("content", "key", "reason"),
        [
            ("http: {port: many}", "http.port", "valid integer"),
            ("http: {port: 0}", "http.port", "greater than or equal to 1"),
            ("http: {port: 65536}", "http.port", "less than or equal to 65535"),
            ("http: {keep_alive_timeout_s: 0.5}", "http.keep_alive_timeout_s", "valid integer"),
            ("http: 8000", "http", "valid dictionary"),
            ("http:", "http", "valid dictionary"),
            ("router: {max_sequences: 0}", "router.max_sequences", "greater than 0"),
            ("models:", "models", "valid list"),
            ("models: []", "models", "at least 1 item"),
            ("models: [a]", "models.0", "valid dictionary"),
            ("models: [{name: a}]", "models.0.source", "Field required"),
            ("models: [{source: a}]", "models.0.name", "Field required"),
            ("models: [{name: 'a b', source: a}]", "models.0.name", "pattern"),
            ("models: [{name: a, source: ''}]", "models.0.source", "at least 1 character"),
            (
                "models: [{name: a, source: embedded:sluice-tiny}]",
                "models.0.source",
                f"embedded models are {', '.join(default_model.NAMES)}",
            ),
            (
                "models: [{name: a, source: /nowhere/at all}]",
                "models.0.source",
                "there is no directory /nowhere/at all",
            ),
            ("models: [{name: a, source: ./nowhere}]", "models.0.source", "no directory ./nowhere"),
            (
                "models: [{name: a, source: b}, {name: a, source: c}]",
                "models",
                "two models are named a",
            ),
            (
                "models: [{name: a, source: b, drain_timeout_s: .inf}]",
                "models.0.drain_timeout_s",
                "finite number",
            ),
        ],
    )
    def test_are_named_with_what_is_wrong(
        self, file: Path, content: str, key: str, reason: str
    ) -> None:
        line = refusal_of(file, content)
        assert line.startswith(f"{key}: ")
        assert reason in line

    @pytest.mark.parametrize(
        ("engine_args", "reason"),
        [
            ("max_modl_len: 64", "vLLM has no engine argument max_modl_len"),
            ("model: b", "model is set by this model's source"),
            ("tokenizer: b", "tokenizer is set by this model's source"),
            ("revision: b", "revision is set by this model's revision"),
            ("served_model_name: b", "served_model_name is set by this model's name"),
            ("data_parallel_size: 2", "data_parallel_size is set by this model's num_replicas"),
            (
                "tensor_parallel_size: two",
                "tensor_parallel_size must be a whole number from 1 up, not 'two'",
            ),
            (
                "pipeline_parallel_size: 0",
                "pipeline_parallel_size must be a whole number from 1 up, not 0",
            ),
        ],
    )
    def test_are_named_among_engine_arguments(
        self, file: Path, engine_args: str, reason: str
    ) -> None:
        content = f"models: [{{name: a, source: b, engine_args: {{{engine_args}}}}}]"
        assert refusal_of(file, content) == f"models.0.engine_args: {reason}"

    def test_of_the_environment_are_laid_to_it_and_not_to_the_file(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_text("http: {host: '::1'}")
        monkeypatch.setenv("SLUICE_HTTP__PORT", "many")
        line = refusal({"config": str(file)})
        assert line.startswith("http.port: ")
        assert line.endswith("(got 'many') [SLUICE_HTTP__PORT]")

    def test_of_the_command_line_are_laid_to_nothing_else(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_text("http: {port: 9000}")
        monkeypatch.setenv("SLUICE_HTTP__PORT", "9001")
        line = refusal({"config": str(file), "http.port": "many"})
        assert line.endswith("(got 'many')")

    @pytest.mark.parametrize("value", ["", "{", "port=9000"])
    def test_of_a_whole_section_in_the_environment_are_laid_to_it(
        self, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_HTTP", value)
        assert refusal().startswith("environment: SLUICE_HTTP must be JSON (")

    @pytest.mark.parametrize(
        "options", [{"http": "x", "http.port": "1"}, {"http.port": "1", "http": '{"port": 2}'}]
    )
    def test_that_contradict_each_other_on_the_command_line_are_refused(
        self, options: dict[str, Any]
    ) -> None:
        assert refusal(options).endswith("give it once")


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"http: [1", "line 1 is not YAML: expected ',' or ']'"),
            (b"http:\n\tport: 1", "line 2 is not YAML: found character"),
            (b"a: 1\n---\nb: 2", "line 2 is not YAML: but found another document"),
            (b"a: !!python/object:os.system 1", "line 1 is not YAML: could not determine"),
            (b"a: \x00", "not YAML: unacceptable character #x0000"),
            (b"a: 2020-13-45", "not YAML: month must be in 1..12"),
            (b"\xff\xfe", "not YAML: 'utf-8' codec"),
            (b"- http", "write keys and their values, such as 'http: {port: 8000}'"),
            (b"http", "write keys and their values, such as 'http: {port: 8000}'"),
        ],
    )
    def test_that_hold_no_keys_and_values_are_refused_with_the_line(
        self, file: Path, content: bytes, reason: str
    ) -> None:
        file.write_bytes(content)
        assert refusal({"config": str(file)}).startswith(f"{file}: {reason}")

    def test_that_are_not_there_are_named(self) -> None:
        assert refusal({"config": "/nowhere.yaml"}) == "/nowhere.yaml: No such file or directory"

    def test_that_the_environment_names_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_CONFIG", "/nowhere.yaml")
        assert refusal() == "/nowhere.yaml: No such file or directory"

    def test_that_are_directories_are_named(self, tmp_path: Path) -> None:
        assert refusal({"config": str(tmp_path)}) == f"{tmp_path}: Is a directory"


def test_an_existing_directory_is_a_source(file: Path) -> None:
    assert load(file, f"models: [{{name: a, source: {file.parent}}}]").models[0].name == "a"


def with_auth(**auth: Any) -> str:
    """A file of one model `a` and this section; unless it says so, with a pepper."""
    return MODEL + yaml.safe_dump({"auth": {"pepper": PEPPER, **auth}})


class TestKeys:
    def test_are_none_by_default_and_tenants_share_no_cache(self) -> None:
        auth = config.load().auth
        assert (auth.keys, auth.pepper, auth.share_prefix_cache) == ([], None, False)

    def test_may_all_and_for_ever_unless_they_say_otherwise(self, file: Path) -> None:
        [key] = load(file, with_auth(keys=[entry("acme")])).auth.keys
        assert (key.weight, key.models, key.expires) == (1, None, None)
        assert key.classes == ["standard", "interactive", "batch"]

    def test_come_from_the_environment_too(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_AUTH__PEPPER", PEPPER)
        monkeypatch.setenv("SLUICE_AUTH__KEYS", json.dumps([entry("acme")]))
        monkeypatch.setenv("SLUICE_AUTH__SHARE_PREFIX_CACHE", "true")
        auth = load(file, "auth: {share_prefix_cache: false}").auth
        assert (auth.pepper, auth.keys[0].id, auth.share_prefix_cache) == (PEPPER, "acme", True)

    @pytest.mark.parametrize("pepper", [40 * "1", f"[{PEPPER}]", f'{{"a": "{PEPPER}"}}'])
    def test_have_the_very_pepper_of_the_environment(
        self, pepper: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_AUTH__PEPPER", pepper)
        assert config.load().auth.pepper == pepper

    @pytest.mark.parametrize(
        ("written", "moment"),
        [
            ("2027-01-01", "2027-01-01T00:00:00+00:00"),
            ("2027-01-01T12:00:00", "2027-01-01T12:00:00+00:00"),
            ("2027-01-01 12:00:00", "2027-01-01T12:00:00+00:00"),
            ("2027-01-01T12:00:00Z", "2027-01-01T12:00:00+00:00"),
            ("2027-01-01T12:00:00+02:00", "2027-01-01T10:00:00+00:00"),
        ],
    )
    @pytest.mark.parametrize("quote", ["", "'"])
    def test_expire_in_utc_unless_they_say_otherwise(
        self, written: str, moment: str, quote: str, file: Path
    ) -> None:
        content = with_auth(keys=[entry("acme", expires="WHEN")])
        [key] = load(file, content.replace("WHEN", f"{quote}{written}{quote}")).auth.keys
        assert key.expires is not None
        assert key.expires.isoformat() == moment

    @pytest.mark.parametrize(
        ("fields", "line"),
        [
            (
                {"hash": "sk-sluice-acme-secret"},
                "auth.keys.0.hash: write the 64 hex digits that python -m serve_app.keys new print",
            ),
            ({"hash": 63 * "a"}, "auth.keys.0.hash: write the 64 hex digits"),
            ({"hash": 64 * "g"}, "auth.keys.0.hash: write the 64 hex digits"),
            ({"hash": 64 * "\u0661"}, "auth.keys.0.hash: write the 64 hex digits"),
            ({"id": "a b"}, "auth.keys.0.id: String should match pattern"),
            ({"id": ""}, "auth.keys.0.id: String should match pattern"),
            ({"id": 65 * "a"}, "auth.keys.0.id: String should have at most 64 characters"),
            ({"tenant": ""}, "auth.keys.0.tenant: String should have at least 1 character"),
            ({"weight": 0}, "auth.keys.0.weight: Input should be greater than or equal to 0.001"),
            ({"weight": float("nan")}, "auth.keys.0.weight: Input should be a finite number"),
            ({"classes": []}, "auth.keys.0.classes: "),
            ({"classes": ["urgent"]}, "auth.keys.0.classes.0: Input should be 'interactive', "),
            ({"classes": ["batch", "batch"]}, "auth.keys.0.classes: write each name once"),
            ({"models": []}, "auth.keys.0.models: "),
            ({"models": ["a", "b"]}, "auth: key acme is for b, which is none of the models"),
            ({"expires": "soon"}, "auth.keys.0.expires: write an ISO 8601 date or time, such as"),
            ({"expires": 1800000000}, "auth.keys.0.expires: write an ISO 8601 date or time, such"),
            ({"expires": "9999-12-31T23:59:59-09:00"}, "auth.keys.0.expires: write an ISO 8601"),
            ({"quota": 1}, "auth.keys.0.quota: there is no such key; remove it or correct"),
        ],
    )
    def test_that_make_no_sense_are_named(
        self, fields: dict[str, Any], line: str, file: Path
    ) -> None:
        assert refusal_of(file, with_auth(keys=[entry("acme", **fields)])).startswith(line)

    @pytest.mark.parametrize(
        ("keys", "line"),
        [
            (
                [entry("a"), entry("b", tenant="a", weight=2)],
                "auth.keys: keys a and b give their tenant a different weights; give both the same",
            ),
            ([entry("a"), entry("a")], "auth.keys: two keys have the id a; give each its own"),
        ],
    )
    def test_that_contradict_each_other_are_named(
        self, keys: list[dict[str, Any]], line: str, file: Path
    ) -> None:
        assert refusal_of(file, with_auth(keys=keys)) == line

    def test_need_a_pepper(self, file: Path) -> None:
        assert refusal_of(file, with_auth(keys=[entry("acme")], pepper=None)) == (
            "auth.pepper: set the one that the hashes of the keys were made with, here or as "
            "SLUICE_AUTH__PEPPER"
        )

    @pytest.mark.parametrize(
        ("pepper", "line"),
        [
            (31 * "x", "auth.pepper: it has 31 characters; take at least 32 random ones"),
            ("", "auth.pepper: it has 0 characters; take at least 32 random ones"),
            (PEPPER + "\n", "auth.pepper: write it in printable ASCII characters, on one line"),
            (PEPPER + "\xe9", "auth.pepper: write it in printable ASCII characters, on one line"),
            (int(40 * "1"), "auth.pepper: write it in quotes, as text"),
        ],
    )
    def test_need_a_pepper_that_is_one(self, pepper: Any, line: str, file: Path) -> None:
        assert refusal_of(file, with_auth(pepper=pepper)) == line

    def test_in_the_environment_are_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_AUTH__KEYS", "acme")
        assert refusal().startswith("environment: SLUICE_AUTH__KEYS must be JSON (")


class TestThePepper:
    @pytest.mark.parametrize(
        "content",
        [
            {"auth": PEPPER},
            {"auth": {"pepper": [PEPPER]}},
            {"auth": {"pepper": {"value": PEPPER}}},
            {"auth": {"pepper": PEPPER, "keys": PEPPER}},
            {"auth": {"pepper": PEPPER, "keys": [PEPPER]}},
            {"auth": {"pepper": PEPPER, "keys": [entry("a", hash=PEPPER)]}},
            {"auth": {"pepper": PEPPER, "keys": [entry("a", weight=PEPPER)]}},
            {"auth": {"pepper": PEPPER, "share_prefix_cache": PEPPER}},
            {"auth": {"pepper": PEPPER}, "http": {"port": 0}},
            {"auth": {"peper": PEPPER}},
            {"pepper": PEPPER},
        ],
    )
    def test_is_quoted_neither_in_a_refusal_nor_in_its_traceback(
        self, content: dict[str, Any], file: Path
    ) -> None:
        file.write_text(yaml.safe_dump(content))
        with pytest.raises(ConfigError) as refused:
            config.load({"config": str(file)})
        report = "".join(traceback.format_exception(refused.value))
        assert "ConfigError" in report
        assert PEPPER not in report

    def test_is_not_in_what_is_printed_of_settings(self, file: Path) -> None:
        settings = load(file, with_auth(keys=[entry("acme")]))
        assert PEPPER not in f"{settings} {settings!r} {settings.auth}"


def test_settings_survive_the_way_to_a_router_replica(file: Path) -> None:
    keys = [entry("acme", expires="2027-01-01", models=["a"])]
    settings = load(file, with_auth(keys=keys) + "http: {port: 9000}")
    assert settings.model_dump(mode="json")["auth"]["pepper"] == PEPPER
    assert Settings.model_validate(settings.model_dump(mode="json")).model_dump() == (
        settings.model_dump()
    )


class TestLimits:
    def test_are_those_of_the_issue_by_default(self) -> None:
        limits = config.load().limits
        assert (limits.n, limits.prompts, limits.inputs, limits.stop) == (8, 16, 2048, 4)
        assert (limits.top_logprobs, limits.tools, limits.regex_chars) == (20, 128, 256)
        assert (limits.schema_bytes, limits.schema_depth) == (64 * 1024, 16)

    def test_come_from_everywhere(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_LIMITS__STOP", "5")
        settings = load(file, MODEL + "limits: {n: 3, stop: 9}\n", **{"limits.tools": "7"})
        limits = settings.limits
        assert (limits.n, limits.stop, limits.tools) == (3, 5, 7)

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ("limits: {n: 0}", "limits.n: Input should be greater than 0 (got 0)"),
            (
                "limits: {bad_words: 65}",
                "limits.bad_words: Input should be less than or equal to 64 (got 65)",
            ),
            (
                "limits: {schema_depth: 65}",
                "limits.schema_depth: Input should be less than or equal to 64 (got 65)",
            ),
            ("limits: {m: 1}", "limits.m: there is no such key; remove it or correct its name"),
            (
                "models: [{name: a, source: org/a, engine_args: {max_logprobs: 5}}]",
                "limits: top_logprobs is 20, and a's engine_args have max_logprobs 5",
            ),
            (
                (
                    "models: [{name: a, source: org/a, "
                    "engine_args: {structured_outputs_config: {backend: guidance}}}]"
                ),
                "models.0.engine_args: structured_outputs_config.backend must be xgrammar",
            ),
        ],
    )
    def test_that_cannot_hold_are_named(self, content: str, line: str, file: Path) -> None:
        content = content if content.startswith("models") else MODEL + content
        assert refusal_of(file, content + "\n") == line

    def test_may_be_those_of_an_engine(self, file: Path) -> None:
        engine = "engine_args: {max_logprobs: -1}"
        content = f"models: [{{name: a, source: org/a, {engine}}}]\nlimits: {{top_logprobs: 99}}\n"
        assert load(file, content).limits.top_logprobs == 99
