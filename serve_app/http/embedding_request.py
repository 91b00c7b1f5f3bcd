"""The body of `POST /v1/embeddings`."""

from types import MappingProxyType
from typing import Annotated, Literal

from serve_app.http.fields import PositiveLength
from serve_app.http.parsing import not_yet
from serve_app.http.pooling_request import InputRequest


class EmbeddingRequest(InputRequest):
    """A body of `POST /v1/embeddings`."""

    unsupported = MappingProxyType(
        {
            **InputRequest.unsupported,
            "embed_dtype": ("float32",),
            "endianness": ("native", "little"),
        }
    )

    encoding_format: Annotated[Literal["float", "base64"], not_yet("bytes", "bytes_only")] = "float"
    dimensions: PositiveLength | None = None
