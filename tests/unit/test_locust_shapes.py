import random
from pathlib import Path

import pytest

from bench.locust.arrivals import Arrival, poisson, read
from bench.locust.shapes import SHAPES
from bench.plan import Lengths


@pytest.mark.parametrize("name", SHAPES)
def test_no_shape_leaves_its_bounds(name: str) -> None:
    level = SHAPES[name](100, 0.2)
    levels = [level(at) for at in range(101)]
    assert max(levels) == pytest.approx(1)
    assert min(levels) + 1e-9 >= 0.2


def test_shapes_are_where_they_should_be() -> None:
    step, spike, diurnal = (SHAPES[name](100, 0.2) for name in ("step", "spike", "diurnal"))
    assert [round(step(at), 3) for at in (0, 19, 20, 99)] == [0.2, 0.2, 0.4, 1]
    assert [spike(at) for at in (39, 40, 59, 60)] == [0.2, 1, 1, 0.2]
    assert [round(diurnal(at), 3) for at in (0, 25, 50, 100)] == [0.2, 0.6, 1, 0.2]


def test_arrivals_follow_the_level_and_end_in_time() -> None:
    level = SHAPES["spike"](1000, 0.1)
    times = [a.at for a in poisson(level, 10, 1000, random.Random(1))]
    inside = sum(400 <= at < 600 for at in times)
    assert inside == pytest.approx(2000, rel=0.1)
    assert len(times) - inside == pytest.approx(800, rel=0.15)
    assert times == sorted(times)
    assert times[-1] < 1000


def test_a_trace_is_read_in_order_with_its_lengths(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("tokens_out,arrival_s,tokens_in\n5,2.5,7\n3,0,9\n")
    assert read(path) == [Arrival(0, Lengths(9, 3)), Arrival(2.5, Lengths(7, 5))]
    path.write_text("arrival_s\n1\n")
    assert read(path) == [Arrival(1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column arrival_s"),
        ("at\n1\n", "no column arrival_s"),
        ("arrival_s\n", "no arrivals"),
        ("arrival_s,tokens_in\n1,2\n", "without the other"),
        ("arrival_s\n1\nx\n", "line 3: these are no numbers"),
        ("arrival_s\n-1\n", "line 2"),
        ("arrival_s,tokens_in,tokens_out\n1,0,2\n", "line 2"),
        ("arrival_s,tokens_in,tokens_out\n1,2\n", "line 2"),
    ],
)
def test_a_wrong_trace_is_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read(path)
