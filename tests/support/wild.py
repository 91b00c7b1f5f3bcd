"""Bodies of requests as nobody should send them, for Hypothesis to draw."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

HUGE_NUMBERS = (0, -1, 2**31, 2**63, 2**64, -(2**70), 10**400, 1e308, -1e308, 5e-324, 1.5)
LITERALS = ("NaN", "Infinity", "-Infinity", "1e999", "-0", "01", "0x10", "1.", ".5", "+1", "tru")
TEXTS = (
    "",
    " ",
    "\0",
    "a" * 5000,
    "\u202e\U0001f600",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "{% for i in range(9**9) %}x{% endfor %}",
    "<|im_start|>",
    "../../etc/passwd",
    "__class__",
    "(a+)+b",
    "1",
    "true",
    "null",
)

scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(HUGE_NUMBERS)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(TEXTS)
    | st.text(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)
"""Any JSON."""

Path = tuple[str | int, ...]


def paths(value: Any, here: Path = ()) -> list[Path]:
    """Where the parts of a JSON value are, itself included."""
    found = [here]
    if isinstance(value, dict):
        children: Sequence[tuple[str | int, Any]] = list(value.items())
    else:
        children = list(enumerate(value)) if isinstance(value, list) else []
    for key, child in children:
        found += paths(child, (*here, key))
    return found


def changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """The value with one part of it changed."""
    if not path:
        return change(value)
    key, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = changed(copy[key], tuple(rest), change)
    return copy


numbers = st.sampled_from(HUGE_NUMBERS) | st.integers(-3, 100) | st.floats(-1, 3)
texts = st.sampled_from(TEXTS) | st.text(max_size=20)


def _kin(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same type, which a server may take."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int | float):
        return numbers
    return texts if isinstance(value, str) else values


@st.composite
def mutated(draw: st.DrawFn, bodies: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Any:
    """One of the bodies, maybe mixed with another, with up to three parts of it replaced, taken
    away, repeated or added to."""
    body: Any = dict(draw(st.sampled_from(bodies)))
    other = draw(st.sampled_from(bodies))
    taken = draw(st.sets(st.sampled_from(sorted(other)), max_size=4))
    body |= {name: other[name] for name in sorted(taken)}
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(paths(body)[1:] or [()]))
        body = changed(body, path, lambda part: _change(draw, part, names))
    return body


def _change(draw: st.DrawFn, part: Any, names: Sequence[str]) -> Any:
    kind = draw(st.sampled_from(("alike", "alike", "alike", "wild", "wrapped")))
    if kind == "wrapped":
        return [part]
    if kind == "wild":
        return draw(values)
    if isinstance(part, list):
        return part * draw(st.sampled_from((0, 2, 40)))
    if isinstance(part, dict):
        if draw(st.booleans()):
            return {**part, draw(st.sampled_from(names) | st.text(max_size=8)): draw(values)}
        gone = draw(st.sampled_from(sorted(part))) if part else None
        return {name: inner for name, inner in part.items() if name != gone}
    return draw(_kin(part))


def _nested(depth: int, left: str, right: str) -> str:
    return left * depth + "1" + right * depth


@st.composite
def spoiled(draw: st.DrawFn, bodies: Sequence[Mapping[str, Any]]) -> bytes:
    """The text of one of the bodies with something done to it that JSON may not take."""
    body = draw(st.sampled_from(bodies))
    text = json.dumps(body)
    kind = draw(st.sampled_from(tuple(_SPOILS)))
    return _SPOILS[kind](text, random.Random(draw(st.integers(0, 2**32))))


def _truncate(text: str, choose: random.Random) -> bytes:
    return text[: choose.randrange(len(text))].encode()


def _flip(text: str, choose: random.Random) -> bytes:
    data = bytearray(text.encode())
    for _ in range(choose.randrange(1, 4)):
        data[choose.randrange(len(data))] = choose.randrange(256)
    return bytes(data)


def _twice(text: str, choose: random.Random) -> bytes:
    """Every key a second time, before or behind the first."""
    body: dict[str, Any] = json.loads(text)
    other = json.dumps({key: choose.choice([None, 1, "x", []]) for key in body})
    first, second = (text, other) if choose.random() < 0.5 else (other, text)
    return (first[:-1] + "," + second[1:]).encode()


def _in_place_of_a_value(text: str, wild: str, choose: random.Random) -> bytes:
    body: dict[str, Any] = json.loads(text)
    name = choose.choice(sorted(body))
    rest = json.dumps({key: value for key, value in body.items() if key != name})
    return f'{rest[:-1]}{"," if len(body) > 1 else ""}"{name}":{wild}}}'.encode()


def _literal(text: str, choose: random.Random) -> bytes:
    return _in_place_of_a_value(text, choose.choice(LITERALS), choose)


def _deep(text: str, choose: random.Random) -> bytes:
    left, right = choose.choice([("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
    return _in_place_of_a_value(text, _nested(choose.choice((10, 199, 5000)), left, right), choose)


def _surrogate(text: str, choose: random.Random) -> bytes:
    return _in_place_of_a_value(
        text, choose.choice([r'"\ud800"', r'"\udc00x"', r'"\u0000"']), choose
    )


def _no_utf8(text: str, choose: random.Random) -> bytes:
    place = choose.randrange(len(text))
    wrong = choose.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
    return text[:place].encode() + wrong + text[place:].encode()


def _other_encoding(text: str, choose: random.Random) -> bytes:
    return text.encode(choose.choice(["utf-16", "utf-32", "utf-8-sig", "utf-16-le"]))


def _around(text: str, choose: random.Random) -> bytes:
    before, after = choose.choice(
        [("[", "]"), ("", "{}"), ("/**/", ""), ("", ","), ("\0", ""), (" ", " ")]
    )
    return (before + text + after).encode()


def _noise(text: str, choose: random.Random) -> bytes:
    return choose.randbytes(choose.randrange(100))


_SPOILS: Mapping[str, Callable[[str, random.Random], bytes]] = {
    kind.__name__: kind
    for kind in (
        _truncate,
        _flip,
        _twice,
        _literal,
        _deep,
        _surrogate,
        _no_utf8,
        _other_encoding,
        _around,
        _noise,
    )
}


def bodies(valid: Sequence[Mapping[str, Any]], names: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Bodies of every kind; `names` are fields that may be added."""
    written = mutated(valid, names).map(lambda value: json.dumps(value).encode())
    nothing_like_it = values.map(lambda value: json.dumps(value).encode())
    return st.one_of(written, written, written, written, nothing_like_it, spoiled(valid))
