"""How a training went, as a picture: the loss, and what came out right of what was held out."""

from pathlib import Path

from matplotlib.figure import Figure

from bench.training.train import Course

_SMOOTHED = 25
"""Steps that a point of the line for the loss is the mean of."""


def draw(course: Course, path: Path, title: str) -> None:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.suptitle(title, fontsize=10)
    losses, grades = figure.subplots(1, 2)
    means = [
        sum(some) / len(some)
        for some in (
            course.losses[max(0, i - _SMOOTHED) : i + 1] for i in range(len(course.losses))
        )
    ]
    losses.plot(course.steps, means, label=f"training, mean of {_SMOOTHED} steps", linewidth=1)
    steps = [step for step, _, _ in course.looks]
    losses.plot(steps, [loss for _, loss, _ in course.looks], "o-", label="held-out answers")
    losses.set_yscale("log")
    losses.set_ylabel("loss per token (nats)")
    for task in course.looks[0][2] if course.looks else ():
        shares = [100 * found[task] for _, _, found in course.looks]
        grades.plot(steps, shares, "o-", markersize=3, linewidth=1, label=task)
    grades.set_ylabel("held-out answers right (%)")
    for axes in (losses, grades):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
