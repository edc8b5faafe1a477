"""Times Caffe's iterations on the GPU: in float32, in TF32, and with upstream's convolutions."""

from __future__ import annotations

import json
import re
from pathlib import Path

from steps import Context, Failure

MODELS, BATCHES = ("drml", "alexnet", "convnet", "lcn"), (16, 128)
ITERATIONS = 20
# What varies: fields of the solver, and the environment.
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "float32": ("", {}),
    "TF32": ("gemm_math: TF32", {}),
    "float32, image by image": ("", {"CAFFE_ENGINE": "plain"}),
}
LAYER = re.compile(r"\s(\S+)\s+(forward|backward): ([\d.]+) ms")


def time_iterations(
    context: Context, out: Path, mode: str = "GPU", iterations: int = ITERATIONS
) -> dict[str, object]:
    """Time all models, batch sizes and forms; what is measured is kept if the time is over."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    context.figures["rows"] = rows
    for form, (fields, env) in FORMS.items():
        for model in MODELS:
            for batch in BATCHES:
                solver = out / f"{model}_{batch}.prototxt"
                solver.write_text(
                    f'net: "nets/{model}_{batch}.prototxt" base_lr: 1e-6 lr_policy: "fixed" momentum: 0.9 '
                    f"weight_decay: 0.0005 max_iter: 1000000 snapshot_after_train: false random_seed: 1 "
                    f"solver_mode: {mode} {fields}\n"
                )
                said = context.call("bin/gpu_times", solver, iterations, env=env)
                row = {"model": model, "batch": batch, "form": form, **json.loads(said.splitlines()[-1])}
                rows.append(row)
    return {}


def time_layers(context: Context) -> dict[str, object]:
    """Time DRML layer by layer with `caffe time`, which waits after each layer."""
    layers: dict[str, dict[str, dict[str, float]]] = {}
    context.figures["layers"] = layers
    for batch in BATCHES:
        said = context.call(
            "bin/caffe", "time", "-model", f"nets/drml_{batch}.prototxt", "-iterations", 10, "-gpu", 0
        )
        found: dict[str, dict[str, float]] = {}
        for name, pass_name, milliseconds in LAYER.findall(said):
            found.setdefault(name, {})[pass_name] = float(milliseconds)
        if "region2" not in found:
            raise Failure("caffe time names no layer region2")
        layers[str(batch)] = found
    return {}
