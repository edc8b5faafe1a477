"""One self-contained HTML page, of a training (`run`) or of an experiment's folder (`experiment`).

Nothing is loaded from elsewhere: styles, charts (SVG) and pictures are inside. All text that comes from files
is escaped. The page follows the reader's light or dark setting, and its charts are described in words.

* `page` is the frame; `style`, `markup`, `pictures`, `charts` (bars), `lines` are what sections are made of.
* `sections` (scores), `curves`, `training`, `relations`, `saliency`, `faces`, `data`, `origin` are sections.
* `finished` reads an experiment's folder; `tables`, `figures` and `setup` are sections of its page.
* `inputs` and `losses` read files; `thinning` makes lines short.
"""

from __future__ import annotations

from drml.report.experiment_page import write_experiment_report
from drml.report.training_page import write_report

__all__ = ["write_experiment_report", "write_report"]
