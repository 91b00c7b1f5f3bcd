"""POST /v1/classify"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Pooling
from serve_app.http.body import read
from serve_app.http.pooling import Pool
from serve_app.http.pooling_request import InputRequest
from serve_app.http.tasks import CLASSIFY

_json = msgspec.json.Encoder().encode


async def create_classification(request: Request) -> Response:
    """Say to which class each input belongs, and how probably."""
    asked = await read(request, InputRequest)
    pool = await Pool.open(request, asked, CLASSIFY)
    pooling = Pooling(CLASSIFY, use_activation=asked.use_activation)
    inputs = [(token_ids, pooling) for token_ids, _ in await pool.texts(asked)]
    written = [b""] * len(inputs)

    def take(index: int, vector: bytes) -> None:
        written[index] = _json(_classified(index, vector, pool.facts["labels"]))

    await pool.run(inputs, take)
    return pool.answer("classify", written)


def _classified(index: int, vector: bytes, labels: list[str]) -> dict[str, Any]:
    probs = memoryview(vector).cast("f").tolist()
    best = max(range(len(probs)), key=probs.__getitem__)
    return {
        "index": index,
        "label": labels[best] if best < len(labels) else None,
        "probs": probs,
        "num_classes": len(probs),
    }
