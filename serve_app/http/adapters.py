"""POST /v1/load_lora_adapter and /v1/unload_lora_adapter, for admins."""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from deployments.adapters import Served, new_adapter
from deployments.errors import BadRequest, Forbidden, ModelNotFound
from deployments.messages import Adapter, Sampling
from serve_app.adapter_config import ModelName
from serve_app.http.auth import check_admin, terms_of
from serve_app.http.body import read
from serve_app.http.parsing import MISSING_PARAMETER, StrictObject, invalid, never
from serve_app.http.record import record_of
from serve_app.http.service import Service
from serve_app.http.sse import timing


class LoadRequest(StrictObject):
    """A body of `POST /v1/load_lora_adapter`; the names are vLLM's."""

    unsupported = MappingProxyType({"is_3d_lora_weight": (False,)})

    lora_name: ModelName
    """What clients will ask for."""
    lora_path: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
    """A directory below one of the model's `adapter_dirs`."""
    load_inplace: bool = False
    """Whether it may take the place of a loaded adapter of that name."""
    base_model_name: str | None = None
    """For which model it is; to be said where several may load from there."""


class UnloadRequest(StrictObject):
    """A body of `POST /v1/unload_lora_adapter`; the names are vLLM's."""

    unsupported = MappingProxyType(never("lora_int_id"))

    lora_name: ModelName


async def load_lora_adapter(request: Request) -> Response:
    """Serve a LoRA adapter by a name of its own.

    It is tried on an engine first, and known to all of the server once this is answered.
    """
    check_admin(request)
    service: Service = request.app.state.service
    asked = await read(request, LoadRequest)
    name, adapters = asked.lora_name, service.router.adapters
    base, path = await asyncio.to_thread(_place, service.adapter_dirs, asked)
    if name in service.router.pools:
        raise invalid("lora_name", "must not be the name of a model")
    adapters.check_new(name, replace=asked.load_inplace)
    adapter = new_adapter(name, path, uuid.uuid4().hex)
    waited = await _try(request, base, adapter)
    served = Served(base, adapter, int(time.time()))
    await adapters.add(served, replace=asked.load_inplace)
    response = PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")
    response.raw_headers += waited
    return response


async def unload_lora_adapter(request: Request) -> Response:
    """Serve a loaded LoRA adapter no more.

    What is under way is finished.
    """
    check_admin(request)
    service: Service = request.app.state.service
    asked = await read(request, UnloadRequest)
    await service.router.adapters.remove(asked.lora_name)
    return PlainTextResponse(f"Success: LoRA adapter '{asked.lora_name}' removed successfully.")


async def _try(request: Request, base: str, adapter: Adapter) -> list[tuple[bytes, bytes]]:
    """Generate a token with an adapter, and tell how long that waited. Raises BadRequest."""
    service: Service = request.app.state.service
    with service.router.generate(
        base,
        [([0], Sampling(max_tokens=1, temperature=0.0))],
        terms_of(request, base),
        buffer_limit=service.stream_buffer_chars,
        adapter=adapter,
        tickets=record_of(request).tickets,
    ) as stream:
        try:
            while await stream.read():
                pass
        except BadRequest as exc:
            raise BadRequest(exc.message, param="lora_path") from exc
    return timing(stream)


def _place(adapter_dirs: Mapping[str, Sequence[Path]], asked: LoadRequest) -> tuple[str, str]:
    """For which model an adapter is, and where it really lies. Raises BadRequest or Forbidden."""
    if not any(adapter_dirs.values()):
        raise Forbidden(
            "This server loads no adapters at run time: none of its models has 'adapter_dirs' in "
            "the configuration.",
            code="adapter_dirs_missing",
        )
    base = asked.base_model_name
    if base is not None and base not in adapter_dirs:
        raise ModelNotFound(f"The model '{base}' does not exist.", param="base_model_name")
    try:
        path = Path(asked.lora_path).resolve()  # links and dots must not lead elsewhere
    except (OSError, RuntimeError):  # a name that is too long; links that go round
        raise invalid("lora_path", "is no path") from None
    models = adapter_dirs if base is None else {base: adapter_dirs[base]}
    fitting = [name for name, dirs in models.items() if any(map(path.is_relative_to, dirs))]
    if not fitting:
        raise invalid(
            "lora_path",
            "must be a path below one of the 'adapter_dirs' that the configuration has for "
            + ("a model" if base is None else f"'{base}'"),
        )
    if len(fitting) > 1:
        raise BadRequest(
            f"'base_model_name' is required: it may be any of {', '.join(fitting)}.",
            param="base_model_name",
            code=MISSING_PARAMETER,
        )
    return fitting[0], str(path)
