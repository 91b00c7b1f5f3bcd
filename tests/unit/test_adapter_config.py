import json
from pathlib import Path
from typing import Any

import pytest

from deployments.adapters import Served, new_adapter
from serve_app import adapter_config, config
from serve_app.config import ConfigError, Settings
from serve_app.http import ingress
from serve_app.model_config import ModelConfig
from tests.unit.access_fixtures import PEPPER, entry

pytestmark = pytest.mark.usefixtures("no_setting_in_the_environment")


@pytest.fixture
def law(tmp_path: Path) -> Path:
    """An adapter of rank 24."""
    folder = tmp_path / "law"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "rank_pattern": {"x": 24}}))
    return folder


def load(*models: dict[str, Any], **sections: Any) -> Settings:
    named = [{"name": f"m{i}", "source": "org/m", **model} for i, model in enumerate(models)]
    return config.load({"models": named, **sections})


def model(**fields: Any) -> ModelConfig:
    """A model of a configuration."""
    return load(fields).models[0]


def refusal(*models: dict[str, Any], **sections: Any) -> str:
    """Why this configuration is refused, in one line."""
    with pytest.raises(ConfigError) as refused:
        load(*models, **sections)
    line = str(refused.value)
    assert line.splitlines() == [line]
    return line


def engine_args(given: ModelConfig) -> dict[str, Any]:
    return adapter_config.engine_args(given.adapters, given.engine_args)


class TestAnAdapter:
    def test_is_a_directory_or_a_hub_id(self, law: Path) -> None:
        sources = [{"name": "a", "source": str(law)}, {"name": "b", "source": "org/b"}]
        a, b = model(adapters=sources).adapters
        assert (a.adapter.name, a.adapter.path) == ("a", str(law))
        assert (b.adapter.name, b.adapter.path) == ("b", "org/b")

    def test_is_the_same_to_everybody_wherever_its_path_led(
        self, law: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "link").symlink_to(law)
        monkeypatch.chdir(tmp_path)
        ways = ("law", "./law", "./link", str(law))
        adapters = {model(adapters=[{"name": "a", "source": way}]).adapters[0] for way in ways}
        assert len({adapter.adapter.id for adapter in adapters}) == 1

    def test_survives_the_way_to_a_router_replica(self, law: Path) -> None:
        settings = load(
            {"adapters": [{"name": "a", "source": str(law)}], "adapter_dirs": [str(law)]}
        )
        again = Settings.model_validate(settings.model_dump(mode="json"))
        assert again.model_dump() == settings.model_dump()
        assert again.models[0].adapter_dirs == [str(law)]

    def test_is_a_name_that_keys_may_have(self, law: Path) -> None:
        auth = {"pepper": PEPPER, "keys": [entry("k", models=["law"])]}
        adapters = [{"name": "law", "source": str(law)}]
        assert load({"adapters": adapters}, auth=auth).auth.keys[0].models == ["law"]

    def test_that_may_be_loaded_later_is_a_name_that_keys_may_have(self, law: Path) -> None:
        auth = {"pepper": PEPPER, "keys": [entry("k", models=["later"])]}
        assert load({"adapter_dirs": [str(law)]}, auth=auth)
        assert "key k is for later, which is none of the models" in refusal({}, auth=auth)


class TestEngineArguments:
    def test_hold_the_largest_rank_of_any_adapter(self, law: Path) -> None:
        given = model(adapters=[{"name": "law", "source": str(law)}])
        assert engine_args(given) == {
            "enable_lora": True,
            "max_lora_rank": 32,
            "max_loras": 4,
            "max_cpu_loras": 16,
        }

    def test_are_vllms_rank_where_nothing_is_known_yet(self, law: Path) -> None:
        for given in (
            model(adapter_dirs=[str(law)]),
            model(adapters=[{"name": "a", "source": "o/a"}]),
        ):
            assert given.takes_adapters
            assert engine_args(given)["max_lora_rank"] == 16

    def test_that_are_given_stay(self, law: Path) -> None:
        chosen = {"max_lora_rank": 64, "max_loras": 20, "max_model_len": 8}
        given = model(adapters=[{"name": "a", "source": str(law)}], engine_args=chosen)
        assert engine_args(given) == {"enable_lora": True, "max_cpu_loras": 20, **chosen}

    def test_are_not_touched_without_adapters(self) -> None:
        assert not model().takes_adapters


class TestMistakes:
    def test_in_an_adapters_source_are_named(self, tmp_path: Path) -> None:
        line = refusal({"adapters": [{"name": "a", "source": str(tmp_path / "no")}]})
        assert line == f"models.0.adapters.0.source: there is no directory {tmp_path / 'no'}"

    def test_in_an_adapters_files_are_named(self, tmp_path: Path) -> None:
        line = refusal({"adapters": [{"name": "a", "source": str(tmp_path)}]})
        assert line.startswith("models.0.adapters: ")
        assert "adapter_config.json: No such file" in line

    def test_in_the_rank_are_named(self, law: Path) -> None:
        adapters = [{"name": "law", "source": str(law)}]
        line = refusal({"adapters": adapters, "engine_args": {"max_lora_rank": 8}})
        assert line == ("models.0.adapters: law has rank 24, and engine_args.max_lora_rank is 8")
        (law / "adapter_config.json").write_text('{"r": 1000}')
        assert "law has rank 1000, and engine_args.max_lora_rank is 512" in refusal(
            {"adapters": adapters}
        )

    @pytest.mark.parametrize(
        ("args", "told"),
        [
            ({"runner": "pooling"}, "adapters are for models that generate text"),
            ({"enable_lora": False}, "engine_args.enable_lora must not be false"),
            ({"max_lora_rank": "16"}, "engine_args.max_lora_rank must be a whole number"),
            ({"max_loras": 0}, "engine_args.max_loras must be a whole number"),
        ],
    )
    def test_in_what_goes_with_adapters_are_named(
        self, args: dict[str, Any], told: str, law: Path
    ) -> None:
        assert told in refusal({"adapter_dirs": [str(law)], "engine_args": args})
        adapters = [{"name": "law", "source": str(law)}]
        assert told in refusal({"adapters": adapters, "engine_args": args})

    @pytest.mark.parametrize("name", ["m1", "law", ""])
    def test_in_a_name_are_named(self, name: str, law: Path) -> None:
        source = str(law)
        mine = {"adapters": [{"name": name, "source": source}]}
        other = {"adapters": [{"name": "law", "source": source}]}
        assert refusal(mine, other).startswith("models")

    def test_in_the_directories_to_load_from_are_named(self, tmp_path: Path) -> None:
        line = refusal({"adapter_dirs": [str(tmp_path / "no")]})
        assert line == f"models.0.adapter_dirs: there is no directory {tmp_path / 'no'}"


class TestARouter:
    async def test_serves_the_adapters_of_the_configuration(self, law: Path) -> None:
        settings = load({"adapters": [{"name": "law", "source": str(law)}]})
        adapters = ingress.adapters(settings, "sluice")
        served = adapters.get("law")
        assert served is not None
        assert (served.base, served.adapter) == ("m0", settings.models[0].adapters[0].adapter)
        await adapters.close()

    @pytest.mark.parametrize(
        ("base", "name", "is_below", "is_served"),
        [
            ("m0", "art", True, True),
            ("m0", "art", False, False),
            ("m0", "m1", True, False),
            ("m1", "art", True, False),
            ("gone", "art", True, False),
        ],
    )
    async def test_serves_what_was_loaded_as_far_as_its_configuration_allows(
        self, base: str, name: str, is_below: bool, is_served: bool, law: Path
    ) -> None:
        settings = load({"adapter_dirs": [str(law)]}, {})
        folder = law if is_below else law.parent
        served = Served(base, new_adapter(name, str(folder / "art")))
        adapters = ingress.adapters(settings, "sluice")
        assert adapters._allows(served) == is_served
        await adapters.close()
