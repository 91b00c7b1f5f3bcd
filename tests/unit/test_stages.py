import time

from deployments.stages import Stages


def test_stages_take_the_time_between_their_ends() -> None:
    stages = Stages(time.time() - 7)
    stages.ended("process")
    stages.ended("import")
    assert list(stages.seconds) == ["process", "import"]
    assert 7 <= stages.seconds["process"] < 8
    assert stages.seconds["import"] < 1


def test_what_is_known_of_a_stages_parts_is_taken_out_of_it() -> None:
    stages = Stages(time.time() - 10)
    stages.ended("engine", {"weights": 6, "warm-up": 3})
    assert stages.seconds["weights"] == 6
    assert 1 <= stages.seconds["engine"] < 2
    assert 10 <= stages.total_s < 11
    assert str(stages).endswith("s (engine 1.0, weights 6.0, warm-up 3.0)")
