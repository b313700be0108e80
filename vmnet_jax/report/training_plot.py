"""The training curves of runs: loss, learning rate, norm of the gradient, and the figures of the validation."""

import pathlib

from trainlib.analysis.plots import Panel, draw_panel, legend_below, new_figure, run_title, save_figure

PANELS = (
    Panel("loss", "Loss"),
    Panel("learning_rate", "Learning rate"),
    Panel("gradient_norm", "Norm of the gradient"),
    Panel("val/mean_iou", "Mean IoU of the validation scenes (%)", scale=100),
    Panel("val/accuracy", "Accuracy on the validation scenes (%)", scale=100),
)


def draw_training(path: str | pathlib.Path, records: dict[str, list[dict]]) -> None:
    """Writes the picture; records: by run, as `trainlib.run.metrics.read_runs` gives them."""
    figure = new_figure(11, 6.2, run_title(records))
    first, *others = figure.subplot_mosaic("aabbcc;dddeee").values()
    for axes in others:
        axes.sharex(first)
    for axes, panel in zip((first, *others), PANELS):
        draw_panel(axes, records, panel)
        if panel.name.startswith("val/"):
            axes.set_ylim(bottom=0)
    if len(records) > 1:
        legend_below(figure, first)
    save_figure(figure, path)
