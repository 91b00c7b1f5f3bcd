"""What looks for secrets finds them."""

import base64
import json
from urllib.parse import quote

import pytest

from tests.support.canaries import Canaries


@pytest.mark.parametrize(
    "tell",
    [
        str,
        repr,
        lambda secret: json.dumps({"prompt": f'say "{secret}"\n'}),
        lambda secret: quote(f"?key={secret}&"),
        *(
            lambda secret, n=n: base64.b64encode(f"{'é' * n}{secret}/".encode()).decode()
            for n in range(3)
        ),
    ],
)
def test_a_secret_is_found_however_it_is_written(tell: object) -> None:
    canaries = Canaries()
    secret = canaries.new()
    assert callable(tell)
    [(name, text)] = canaries.found_in([("a", b"x"), ("b", str(tell(secret)).encode())])
    assert name == "b"
    assert text


def test_a_secret_is_found_as_token_ids() -> None:
    canaries = Canaries()
    canaries.token_ids.append([17, 4, 99])
    assert canaries.found_in([("a", b"prompt_token_ids=[1, 17, 4, 99]")])
    assert not canaries.found_in([("a", b"[1, 17, 99]")])
