"""Forms against the real xgrammar: what people use passes, what hurts is refused within a second,
and who sends the one does not wait for who sends the other."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.errors import BadRequest
from deployments.forms import FormChecker
from deployments.messages import StructuredOutputs
from serve_app.limits import DEFAULT_LIMITS

WITHIN_S = 1.0


class Checker:
    """The real one, started once, asked from outside its event loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._checker = runner.run(self._start())

    async def _start(self) -> FormChecker:
        limits = DEFAULT_LIMITS
        checker = FormChecker(cpu_ms=limits.form_cpu_ms, memory_mb=limits.form_memory_mb)
        await checker.check(StructuredOutputs(regex="warm"), "", "")
        return checker

    def fault(self, **form: Any) -> str | None:
        """Why a form is refused, if it is."""
        return self._runner.run(self._fault("acme", **form))

    def faults(self, *forms: tuple[str, dict[str, Any]]) -> list[tuple[str, float]]:
        """The tenants of forms that are checked at once, as they are answered, and after how
        long."""

        async def run() -> list[tuple[str, float]]:
            began, answered = time.perf_counter(), []

            async def one(tenant: str, form: dict[str, Any]) -> None:
                await self._fault(tenant, **form)
                answered.append((tenant, time.perf_counter() - began))

            await asyncio.gather(*(one(tenant, form) for tenant, form in forms))
            return answered

        return self._runner.run(run())

    async def _fault(self, tenant: str, **form: Any) -> str | None:
        try:
            await self._checker.check(StructuredOutputs(**form), tenant, "field")
        except BadRequest as exc:
            return exc.message
        return None

    def close(self) -> None:
        self._runner.run(self._checker.close())


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with asyncio.Runner() as runner:
        checker = Checker(runner)
        try:
            yield checker
        finally:
            checker.close()


def schema(**properties: Any) -> dict[str, Any]:
    return {
        "json": json.dumps(
            {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        )
    }


PERSON = schema(
    name={"type": "string"},
    age={"type": "integer", "minimum": 0, "maximum": 150},
    email={"type": "string", "format": "email"},
    tags={"type": "array", "items": {"type": "string"}, "maxItems": 10},
    note={"type": "string", "maxLength": 500},
    zip={"type": "string", "pattern": "^[0-9]{5}$"},
    kind={"enum": ["a", "b", None]},
)
TREE = {
    "json": json.dumps(
        {
            "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "$ref": "#/$defs/tree",
        }
    )
}
SQL = """root ::= "SELECT " names " FROM " name (" WHERE " name " = " value)?
names ::= name (", " name)*
name ::= [a-z_]+
value ::= [0-9]+ | "'" [^']* "'"
"""
TAG = {"begin": "<f>", "schema": {"type": "object"}, "end": "</f>"}
GOOD: list[dict[str, Any]] = [
    {"json_object": True},
    PERSON,
    TREE,
    schema(**{f"p{i}": {"type": "string", "enum": ["a", "b"]} for i in range(200)}),
    {"json": json.dumps({"enum": [f"value {i}" for i in range(1000)]})},
    {"json": "{}"},
    {"regex": r"[\w.]+@[\w.]+\.(com|org)"},
    {"regex": r"([0-9]+, )*[0-9]+"},
    {"regex": r"(- [^\n]+\n)+"},
    {"regex": r"(\w+ ){1,20}\w+"},
    {"regex": r"[A-Z][^.!?]*[.!?]( [A-Z][^.!?]*[.!?])*"},
    {"regex": r"```(python|js)\n[\s\S]*\n```"},
    {"regex": r".*needle.*"},
    {"regex": ".{1,200}"},
    {"regex": "[a-z ]{1,500}"},
    {"regex": ""},
    {"choice": ("yes", 'no, "never" \\ é\n\x01')},
    {"choice": tuple(str(i) for i in range(256))},
    {"grammar": SQL},
    {"grammar": 'root ::= "(" root ")" | [0-9]+'},
    {"grammar": 'start: item ("," item)*\nitem: "a" | "b"'},
    {"structural_tag": json.dumps({"structures": [TAG], "triggers": ["<f>"]})},
    {
        "structural_tag": json.dumps(
            {"type": "structural_tag", "format": {"type": "token", "token": 128_000}}
        )
    },
]


@pytest.mark.parametrize("form", GOOD, ids=lambda form: str(form)[:50])
def test_what_people_use_passes(checker: Checker, form: dict[str, Any]) -> None:
    assert checker.fault(**form) is None


def nested(depth: int) -> str:
    return '{"items":' * depth + "{}" + "}" * depth


BAD: list[dict[str, Any]] = [
    # Their tokens become ever dearer.
    {"regex": "(a+)+b"},
    {"regex": "(a+)+b" * 42},
    {"regex": "((ab)+)+c"},
    {"regex": "a*a*a*a*b"},
    {"grammar": 'root ::= (("a"+)+) "b"'},
    {"grammar": 'root ::= "a" root "a" | "a" root | "a"'},
    # They explode.
    {"regex": "(a{1,999}){1,999}"},
    {"regex": "(a?){0,200}b"},
    {"regex": "(((((a{0,20}){0,20}){0,20}){0,20}){0,20})"},
    {"regex": "(.|..|...|....){0,200}x"},
    {"grammar": 'root ::= root root | "a"'},
    {"grammar": "root ::= " + "(" * 30_000},
    {"grammar": "root ::= " + "(" * 8_000 + '"a"' + ")" * 8_000},
    {"json": nested(5_000)},
    {"json": nested(10_000)},
    {"json": nested(100_000)},
    schema(**{f"p{i}": {"type": "string", "maxLength": 100 + i} for i in range(500)}),
    # They are none.
    {"regex": "("},
    {"regex": "(?=a)a"},
    {"grammar": "root ::= nothing"},
    {"grammar": "start: nothing"},
    {"json": '{"type": "nothing"}'},
    {"json": '{"$ref": "#/nowhere"}'},
    {"structural_tag": '{"format": 7}'},
]


@pytest.mark.parametrize("form", BAD, ids=lambda form: str(form)[:50])
def test_what_hurts_is_refused_within_a_second(checker: Checker, form: dict[str, Any]) -> None:
    began = time.perf_counter()
    fault = checker.fault(**form)
    seconds = time.perf_counter() - began
    assert fault is not None
    assert "/project/" not in fault  # where xgrammar was built
    assert len(fault) < 400
    assert seconds < WITHIN_S
    began = time.perf_counter()
    assert checker.fault(**form) == fault
    assert time.perf_counter() - began < 0.05  # it is known


def test_one_tenants_bad_forms_do_not_hold_up_anothers_good_ones(checker: Checker) -> None:
    bad = [("bad", {"regex": f"(a{{1,{900 - i}}}){{1,999}}"}) for i in range(5)]
    good = [("good", {"regex": f"good{i}+"}) for i in range(5)]
    answered = checker.faults(*bad, *good)
    assert max(seconds for tenant, seconds in answered if tenant == "good") < WITHIN_S
    assert [tenant for tenant, _ in answered].index("bad") > 0
    assert answered[-1][0] == "bad"
