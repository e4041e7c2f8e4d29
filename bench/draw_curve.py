#!/usr/bin/python3
"""Draws what core_bench --curve measured: ns a decision over the number of keys, beside the memory's own latency.

    bench/draw_curve.py curve.tsv doc/decision-cost.svg
"""

import argparse
import collections
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "sluicegate"  # The same figures make the same file.
matplotlib.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot, ticker  # noqa: E402  (the backend is chosen first)

SERIES = [("memory", "dependent cache-line read-modify-write", "0.45", "--"),
          ("check", "Check", "#1f5fa8", "-"),
          ("many", "CheckMany of 64", "#2d8a4e", "-")]


def read(path: pathlib.Path) -> dict[str, list[dict[str, float]]]:
    curves: dict[str, list[dict[str, float]]] = collections.defaultdict(list)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split("\t")
        if len(fields) != 5:
            sys.exit(f"{path}:{number}: this is no line of core_bench --curve. Measure again.")
        name, *figures = fields
        curves[name].append(dict(zip(("keys", "memory", "check", "many"), map(float, figures), strict=True)))
    if not curves:
        sys.exit(f"{path}: there is nothing here to draw. Run core_bench --curve {path}.")
    return curves


def keys_text(keys: float, _position: object = None) -> str:
    return f"{keys / 1e6:g} M" if keys >= 1e6 else f"{keys / 1e3:g} k"


def draw(curves: dict[str, list[dict[str, float]]], target: pathlib.Path) -> None:
    figure, panels = pyplot.subplots(1, len(curves), figsize=(5 * len(curves), 3.6), sharey=True, squeeze=False)
    for panel, (name, points) in zip(panels[0], curves.items(), strict=True):
        for field, label, colour, style in SERIES:
            panel.plot([point["keys"] for point in points], [point[field] for point in points],
                       label=label, color=colour, linestyle=style, marker=".")
        panel.set_title(name, fontsize=10)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.xaxis.set_major_formatter(ticker.FuncFormatter(keys_text))
        panel.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        panel.set_xlabel("keys")
        panel.grid(which="major", color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("ns a decision")
    panels[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    # matplotlib ends path lines with a space, which the repository's style refuses.
    target.write_text("".join(line.rstrip() + "\n" for line in target.read_text().splitlines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=pathlib.Path, help="what core_bench --curve wrote")
    parser.add_argument("svg", type=pathlib.Path, help="the picture to write")
    arguments = parser.parse_args()
    draw(read(arguments.measured), arguments.svg)


if __name__ == "__main__":
    main()
