"""Figures in, Markdown out: medians of each step, one table a work, and the ratio to the best of the others."""

from collections import defaultdict
from statistics import median

from .meter import Measured


class Figures:
    """Everything that was measured, by work, step and tool, in the order in which it came."""

    def __init__(self):
        self.all = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, work, step, tool, value):
        self.all[work][step][tool].append(value)

    def markdown(self, versions):
        """All tables; `versions` has what each tool calls its own."""
        return "\n\n".join(table(work, steps, versions) for work, steps in self.all.items())

    def plain(self):
        """The figures as JSON can hold them."""
        return {
            work: {step: {tool: [one.__dict__ if isinstance(one, Measured) else one for one in values] for tool, values in tools.items()} for step, tools in steps.items()}
            for work, steps in self.all.items()
        }


def table(work, steps, versions):
    tools = list(dict.fromkeys(tool for found in steps.values() for tool in found))
    tools.sort(key=lambda tool: (list(versions).index(tool) if tool in versions else -1 if tool in ("native", "floor") else 99))
    head = [work, *(f"{tool} {versions.get(tool, '')}".strip() for tool in tools), "yore ÷ best other"]
    lines = [head, ["---"] * len(head)]
    for step, found in steps.items():
        for title, show, value in rows(step, found):
            figures = {tool: median(map(value, found[tool])) for tool in tools if tool in found}
            lines.append([title, *(show(figures[tool]) if tool in figures else "" for tool in tools), ratio(figures)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows(step, found):
    """What is said of a step: one row of seconds, or those of a measured command."""
    if not all(isinstance(one, Measured) for values in found.values() for one in values):
        return [(step, plain, lambda one: one.wall if isinstance(one, Measured) else one)]
    said = [
        (f"{step}: wall s", plain, lambda one: one.wall),
        (f"{step}: wall s, until it is on the disk", plain, lambda one: one.wall + one.settle),
        (f"{step}: CPU s, both ends", plain, lambda one: one.cpu),
        (f"{step}: peak MiB, client", whole, lambda one: one.client_peak / 2**20),
        (f"{step}: peak MiB, server", whole, lambda one: one.server_peak / 2**20),
    ]
    if any(one.stored for values in found.values() for one in values):
        said.append((f"{step}: stored MiB", whole, lambda one: one.stored / 2**20))
    return said


def ratio(figures):
    """Ours by the best of the others, which the floor of all mounts is not."""
    others = [value for tool, value in figures.items() if not tool.startswith("yore") and tool != "floor" and value > 0]
    if "yore" not in figures or not others:
        return ""
    return f"{figures['yore'] / min(others):.2f}"


def plain(value):
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def whole(value):
    return f"{value:.0f}"
