"""The whole configuration. Command line over environment over file over default.

Every key is known here and honoured somewhere; an unknown key stops start-up with one line.

    models: [{name: my-model, source: /models/my-model}]   # see model_config.py
    router: {num_replicas: 1, max_wait_s: 60}              # see router_config.py
    http: {host: 127.0.0.1, port: 8000}                    # see http_config.py
    auth: {keys: []}              # see auth_config.py
    limits: {n: 8}                # see limits.py
    log: {level: warning}         # see log_config.py
    autoscaling: {gpu_budget: 8}  # see scaling_config.py

In the environment: SLUICE_CONFIG=my.yaml, SLUICE_HTTP__PORT=9000. On the command line:
--config my.yaml --http.port 9000.
"""

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin

import yaml
from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from deployments.reaper import MARK_PREFIX
from deployments.tracing import variables
from serve_app import environment
from serve_app.auth_config import AuthConfig
from serve_app.http_config import HttpConfig
from serve_app.limits import Limits
from serve_app.log_config import LogConfig
from serve_app.model_config import ModelConfig
from serve_app.router_config import RouterConfig
from serve_app.scaling_config import SharingConfig

FILE_VARIABLE = "SLUICE_CONFIG"


class ConfigError(Exception):
    """What is wrong with the configuration and how to mend it, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # what it quotes may have more lines


class _Sources(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="SLUICE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        hide_input_in_errors=True,  # a traceback with the pepper would end up in logs
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings


class Settings(_Sources):
    """Everything there is to configure."""

    models: Annotated[list[ModelConfig], Field(min_length=1)] = [
        # Compiling would double the time of a first start and gain a model of this size little.
        ModelConfig(
            name="sluice-chat",
            source="embedded:sluice-chat",
            tool_parser="hermes",
            engine_args={"enforce_eager": True},
        )
    ]
    router: RouterConfig = RouterConfig()
    http: HttpConfig = HttpConfig()
    auth: AuthConfig = AuthConfig()
    limits: Limits = Limits()
    log: LogConfig = LogConfig()
    autoscaling: SharingConfig = SharingConfig()

    @field_validator("models")
    @classmethod
    def _names_differ(cls, models: list[ModelConfig]) -> list[ModelConfig]:
        names = [name for model in models for name in model.names]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two models are named {name}")
        return models

    @field_validator("auth")
    @classmethod
    def _keys_are_for_models_that_there_are(
        cls, auth: AuthConfig, info: ValidationInfo
    ) -> AuthConfig:
        models = info.data.get("models", [])
        served = {name for model in models for name in model.names}
        if any(model.adapter_dirs for model in models):
            return auth  # for adapters that are still to be loaded, maybe
        for key in auth.keys:
            for name in key.models or ():
                if served and name not in served:
                    raise ValueError(f"key {key.id} is for {name}, which is none of the models")
        return auth

    @field_validator("limits")
    @classmethod
    def _engines_can_keep_them(cls, limits: Limits, info: ValidationInfo) -> Limits:
        for model in info.data.get("models", []):
            most = model.engine_args.get("max_logprobs", limits.top_logprobs)
            if 0 <= most < limits.top_logprobs:
                raise ValueError(
                    f"top_logprobs is {limits.top_logprobs}, and {model.name}'s engine_args have "
                    f"max_logprobs {most}"
                )
        return limits

    @field_validator("autoscaling")
    @classmethod
    def _budget_holds_what_there_must_be(
        cls, sharing: SharingConfig, info: ValidationInfo
    ) -> SharingConfig:
        if models := info.data.get("models"):
            sharing.check(models)
        return sharing


class _OnlyAuth(_Sources):
    auth: AuthConfig = AuthConfig()


Kind = TypeVar("Kind", bound=_Sources)


def load(options: Mapping[str, Any] | None = None) -> Settings:
    """Settings from `options` over the environment over the file.

    `options` is what the command line gave: dotted keys (`http.port`) and `config`, the file.
    Raises ConfigError.
    """
    given = dict(options or {})
    file = given.pop("config", None)
    return _load(Settings, file, given)


def load_auth(file: str | None) -> AuthConfig:
    """The `auth:` section as the server takes it, whatever the others are. Raises ConfigError."""
    return _load(_OnlyAuth, file, {}).auth


def _load(kind: type[Kind], file: object, given: Mapping[str, Any]) -> Kind:
    file = file or os.environ.get(FILE_VARIABLE)
    _check_environment()
    _check_tracing()
    content = _read(Path(str(file)).expanduser()) if file else {}
    if kind is not Settings:
        content = {key: value for key, value in content.items() if key in kind.model_fields}
    try:
        return _over(content, kind)(**_nested(given))
    except ValidationError as exc:
        raise ConfigError(_one_line(exc, given, file)) from exc


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}") from exc
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ConfigError(f"{file}: line {line} is not YAML: {exc.problem}") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise ConfigError(f"{file}: not YAML: {exc}") from exc
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: write keys and their values, such as 'http: {{port: 8000}}'")
    return {str(key): value for key, value in content.items()}


def _over(content: dict[str, Any], kind: type[Kind]) -> type[Kind]:
    """Settings that take `content` where neither options nor the environment say anything."""

    class OverContent(kind):  # type: ignore[valid-type,misc]
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **kwargs: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            above = super().settings_customise_sources(settings_cls, *args, **kwargs)
            return *above, InitSettingsSource(settings_cls, init_kwargs=content)

    return OverContent


def _nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """`{"http.port": 1}` as `{"http": {"port": 1}}`; lists and objects may be written as JSON."""
    nested: dict[str, Any] = {}
    for key, value in options.items():
        *path, last = key.split(".")
        level = nested
        for name in path:
            level = level.setdefault(name, {})
            if not isinstance(level, dict):
                raise ConfigError(f"{key}: {name} is given as a whole, too; give it once")
        if last in level:
            raise ConfigError(f"{key}: part of it is given, too; give it once")
        level[last] = _from_json(value)
    for name in nested:
        if name not in Settings.model_fields:  # some others would mean something to pydantic
            raise ConfigError(f"{name}: {_NO_SUCH_KEY}")
    return nested


def _from_json(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value  # an address, such as [::1], or what its key will not take
    return copy.deepcopy(value)


def _check_environment() -> None:
    """pydantic-settings passes over unknown variables; a misspelt one must not be ignored."""
    ours = {f"SLUICE_{name.upper()}" for name in Settings.model_fields}
    for variable, value in os.environ.items():
        name = variable.upper()  # pydantic-settings takes both cases
        if not name.startswith("SLUICE_") or variable in _OTHER_VARIABLES:
            continue
        if variable.startswith(MARK_PREFIX):
            continue
        section, _, key = name.partition("__")
        if section not in ours or (key and not _has_field(section, key.lower())):
            raise ConfigError(f"environment: no setting is named {variable}; unset it")
        if name in ours or _is_written_in_json(section, key.lower()):
            try:
                json.loads(value)
            except ValueError as exc:
                raise ConfigError(f"environment: {variable} must be JSON ({exc})") from exc


def _check_tracing() -> None:
    try:
        variables.check(variables.of(os.environ))
    except variables.BadVariableError as exc:
        raise ConfigError(f"environment: {exc}") from exc


_OTHER_VARIABLES = {FILE_VARIABLE, "SLUICE_CACHE_DIR", *environment.INTERNAL}


def _fields(section: str) -> Mapping[str, FieldInfo]:
    annotation = Settings.model_fields[section.removeprefix("SLUICE_").lower()].annotation
    return getattr(annotation, "model_fields", {})


def _has_field(section: str, key: str) -> bool:
    return key.partition("__")[0] in _fields(section)


def _is_written_in_json(section: str, key: str) -> bool:
    field = _fields(section).get(key)
    kind = field and field.annotation
    return get_origin(kind) in {list, dict} or hasattr(kind, "model_fields")


_NO_SUCH_KEY = "there is no such key; remove it or correct its name"


def _one_line(exc: ValidationError, options: Mapping[str, Any], file: object) -> str:
    error = exc.errors()[0]
    key = ".".join(str(part) for part in error["loc"]) or "configuration"
    message = reason(error)
    if error["type"] == "extra_forbidden":
        message = _NO_SUCH_KEY
    elif error["type"] != "value_error" and _may_be_quoted(error):
        message += f" (got {error['input']!r})"
    return f"{key}: {message}{_origin(error['loc'], options, file)}"


def reason(error: ErrorDetails) -> str:
    """What is wrong, without what was given."""
    return error["msg"].removeprefix("Value error, ")


def _may_be_quoted(error: ErrorDetails) -> bool:
    """Whether what was given is short, and no secret."""
    return error["loc"][:1] != ("auth",) and not isinstance(error["input"], dict | list)


def _origin(location: tuple[int | str, ...], options: Mapping[str, Any], file: object) -> str:
    """Where a bad value came from, unless that is the command line, which is in sight."""
    for depth in (2, 1):
        path = [str(step) for step in location[:depth]]
        if ".".join(path) in options:
            return ""
        variable = f"SLUICE_{'__'.join(path)}".upper()
        if variable in os.environ:
            return f" [{variable}]"
    return f" [{file}]" if file else ""
