"""POST /v1/embeddings"""

from binascii import b2a_base64
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Pooling
from serve_app.http.body import read
from serve_app.http.embedding_request import EmbeddingRequest
from serve_app.http.parsing import invalid
from serve_app.http.pooling import Pool
from serve_app.http.tasks import EMBED


async def create_embedding(request: Request) -> Response:
    """Make an embedding of each input."""
    asked = await read(request, EmbeddingRequest)
    pool = await Pool.open(request, asked, EMBED)
    if asked.dimensions is not None:
        _check_dimensions(asked.dimensions, asked.model, pool.facts)
    pooling = Pooling(EMBED, asked.dimensions, asked.use_activation)
    inputs = [(token_ids, pooling) for token_ids, _ in await pool.texts(asked)]
    written = [b""] * len(inputs)
    write = _floats if asked.encoding_format == "float" else _base64

    def take(index: int, vector: bytes) -> None:
        entry = b'{"object":"embedding","index":%d,"embedding":%s}'
        written[index] = entry % (index, write(vector))

    await pool.run(inputs, take)
    return pool.answer("embd", written)


def _floats(vector: bytes) -> bytes:
    # With as many digits as float32 has; Python's floats would be written with twice as many.
    return orjson.dumps(np.frombuffer(vector, "<f4"), option=orjson.OPT_SERIALIZE_NUMPY)


def _base64(vector: bytes) -> bytes:
    return b'"%s"' % b2a_base64(vector, newline=False)


def _check_dimensions(dimensions: int, model: str, facts: dict[str, Any]) -> None:
    """Raises BadRequest for what the engine would refuse."""
    allowed, most = facts["matryoshka_dimensions"], facts["embedding_size"]
    if not facts["is_matryoshka"]:
        raise invalid("dimensions", f"must be left out: embeddings of '{model}' cannot be cut")
    if dimensions > most:
        raise invalid("dimensions", f"must be at most {most} for '{model}'")
    if allowed is not None and dimensions not in allowed:
        raise invalid("dimensions", f"must be one of {', '.join(map(str, allowed))} for '{model}'")
