"""One self-contained HTML page about a training or about the folders of experiments.

The page loads nothing: styles, charts (SVG) and pictures are inside. Text that comes from files is escaped.
The page follows the reader's light or dark setting, and its charts have descriptions in words.

* `training_page` and `experiment_page` put the two pages together.
* `scores`, `curves`, `training`, `relations`, `saliency`, `faces`, `data` and `origin` make the sections of a
  training's page; an experiment's page has `tables`, `figures` and `setup` as well.
* `rendering` renders the templates and `formatting` writes numbers. Sections consist of `charts`, `lines` and
  `pictures`; `thinning` reduces the points of a line.
* `finished`, `inputs` and `losses` read files.
"""

from __future__ import annotations

from drml.report.experiment_page import write_experiment_report
from drml.report.training_page import write_report

__all__ = ["write_experiment_report", "write_report"]
