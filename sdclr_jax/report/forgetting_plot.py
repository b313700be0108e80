"""The picture of `forgetting_curves`: Figure 2 of the SDCLR paper."""

import pathlib

from sdclr_jax.probe.balancedness import GROUP_COLORS, MARKERS
from sdclr_jax.report.forgetting_curves import Curves, sample_deviation
from trainlib.analysis.plots import SOFT, legend_below, new_figure, save_figure, style_axes


def draw_curves(path: str | pathlib.Path, curves: Curves, most: str = "tenth") -> None:
    """Writes the picture; most: of `MOST`, for its title."""
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    runs = len(next(iter(curves.forgotten.values())))
    title = (
        f"Whom pruning forgets: the {most} of the training images on which the two branches\n"
        f"differ most, {'1 run' if runs == 1 else f'mean and sample deviation of {runs} runs'}"
    )
    style_axes(axes, title, x="epoch", y="share (%)")
    for (name, shares), marker in zip(curves.forgotten.items(), MARKERS):
        mean, deviation, color = 100 * shares.mean(0), 100 * sample_deviation(shares), GROUP_COLORS[name]
        axes.plot(curves.epochs, mean, color=color, marker=marker, markersize=4, label=name.capitalize())
        axes.fill_between(curves.epochs, mean - deviation, mean + deviation, color=color, alpha=0.18, linewidth=0)
        axes.axhline(100 * curves.present[name].mean(), color=color, linestyle="--", linewidth=1)
    axes.plot([], [], color=SOFT, linestyle="--", linewidth=1, label="share of all training images")
    axes.set_ylim(0, 100)
    legend_below(figure, axes, columns=4)
    save_figure(figure, path)
