"""The same requests to `vllm serve` and to Sluice, on the same model: the same is said.

Where Sluice means to differ, docs/api.md says so in a table, and each row of it has its cases here.
"""

import re
from collections.abc import Mapping

import pytest

from tests.conformance import api_doc
from tests.conformance.bad_cases import bad
from tests.conformance.cases import Case, free
from tests.conformance.form_cases import calls, forms
from tests.conformance.saying import Said, ask_all, differences
from tests.support import models
from tests.support.server import Server
from tests.support.vllm_server import vllm_server

CASES = [*free(1, 200), *forms(2, 40), *calls(3, 16), *bad()]
DELIBERATE = {row["what"]: row for row in api_doc.table("Where Sluice differs from")}
WHERE = {
    "a forced call": r"\.usage\.|\.choices\[0\]\.(text|calls|finish_reason|logprobs)",
    "echo alone": r"\.usage\.|\.choices\[\d+\]\.finish_reason",
    "echo of a cut prompt": r"\.choices\[\d+\]\.(text|logprobs\[\d+\]\.offset)",
    "echo with token ids": r"\.usage\.|\.choices\[\d+\]\.(text|token_ids|finish_reason)",
    "offsets of token ids": r"\.choices\[\d+\]\.logprobs\[\d+\]\.offset",
    "where a text is cut": r"\.choices\[\d+\]|\.usage\.(completion|total)_tokens",
}
"""In which places two answers may differ on purpose."""

Answers = Mapping[str, Said]


@pytest.fixture(scope="module")
def vllm_says() -> Answers:
    """What vLLM's own server says to every case."""
    with vllm_server(models.SMALL) as vllm:
        return _by_name(ask_all(vllm.url, CASES))


@pytest.fixture(scope="module")
def sluice_says(vllm_says: Answers, server: Server) -> Answers:
    """What Sluice says to every case, once vLLM's server is gone."""
    return _by_name(ask_all(server.url, CASES))


def _by_name(answers: list[Said]) -> Answers:
    return {case.name: answer for case, answer in zip(CASES, answers, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sluice_says_what_vllm_says_or_differs_as_documented(
    case: Case, vllm_says: Answers, sluice_says: Answers
) -> None:
    theirs, ours = vllm_says[case.name], sluice_says[case.name]
    if case.differs is not None:
        row = DELIBERATE[case.differs]
        assert theirs["status"] == int(row["`vllm serve`"]), (case.content, theirs)
        assert ours["status"] == int(row["Sluice"]), (case.content, ours)
    if theirs["status"] == ours["status"] == 200:
        unlike = list(differences(ours, theirs))
        assert not [each for each in unlike if not _is_deliberate(case, each)], case.content
    elif case.differs is None:
        assert ours["status"] // 100 == theirs["status"] // 100 == 4, (case.content, ours, theirs)


def _is_deliberate(case: Case, difference: str) -> bool:
    return case.differs in WHERE and re.match(WHERE[case.differs], difference) is not None


def test_every_deliberate_difference_is_documented_and_has_a_case() -> None:
    assert {case.differs for case in CASES if case.differs} == DELIBERATE.keys()
