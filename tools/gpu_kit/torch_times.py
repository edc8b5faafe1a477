"""Times the same nets in PyTorch: forward pass, backward pass and update.

    python3 torch_times.py NETS_DIR OUT.jsonl [--device cpu] [--iterations N]

Writes one line of JSON per net, batch size and form, as soon as it is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))  # in the kit, they are beside this file
from architecture import draw_images, draw_weights
from torch_system import make_net

MODELS, BATCHES = ("drml", "alexnet", "convnet", "lcn"), (16, 128)
WARM_UP = 5
# Whether products may be rounded to TF32, whether the passes run in bfloat16, and the order of memory.
FORMS = {
    "float32": (False, False, False),
    "TF32": (True, False, False),
    "TF32, channels_last": (True, False, True),
    "bfloat16, channels_last": (True, True, True),
}


def time_parts(parts: list[Callable[[], None]], wait: Callable[[], None], iterations: int) -> list[float]:
    """Return the median milliseconds of each part of an iteration, and of all together."""
    times: list[list[float]] = [[] for _ in range(len(parts) + 1)]
    for i in range(WARM_UP + iterations):
        wait()
        marks = [time.perf_counter()]
        for part in parts:
            part()
            wait()
            marks.append(time.perf_counter())
        if i >= WARM_UP:
            for values, before, after in zip(times, marks, marks[1:], strict=False):
                values.append(1e3 * (after - before))
            times[-1].append(1e3 * (marks[-1] - marks[0]))
    return [statistics.median(values) for values in times]


def time_net(
    layers: list[Any], weights: dict[str, np.ndarray], batch: int, form: str, device: str, iterations: int
) -> dict[str, float]:
    """Return the median milliseconds of a net's training iteration."""
    import torch
    from torch.nn import functional as F

    tf32, bfloat16, channels_last = FORMS[form]
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    net = make_net(layers, weights).to(device).train()
    x = torch.from_numpy(draw_images(layers, batch)).to(device)
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    target = torch.ones(batch, layers[-2]["out"], device=device)
    optimizer = torch.optim.SGD(net.parameters(), 1e-6, momentum=0.9, weight_decay=5e-4)
    precision = torch.autocast(device, torch.bfloat16) if bfloat16 else contextlib.nullcontext()
    loss = torch.zeros(())

    def forward() -> None:
        nonlocal loss
        with precision:
            loss = F.binary_cross_entropy_with_logits(net(x).float(), target, reduction="sum") / batch

    def backward() -> None:
        optimizer.zero_grad()
        loss.backward()

    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    times = time_parts([forward, backward, optimizer.step], wait, iterations)
    names = ("forward_ms", "backward_ms", "update_ms", "iteration_ms")
    return dict(zip(names, times, strict=True))


def main() -> None:
    """Time every net, batch size and form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("nets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    args = parser.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} finds no GPU")
    with args.out.open("a") as out:
        for model in args.models:
            layers = json.loads((args.nets / f"{model}.json").read_text())
            weights = draw_weights(layers)
            for form in FORMS:
                for batch in args.batches:
                    row: dict[str, object] = {"model": model, "batch": batch, "form": form}
                    try:
                        row |= time_net(layers, weights, batch, form, args.device, args.iterations)
                    except RuntimeError as error:  # such as too little memory; the others may fit
                        row["fault"] = str(error).splitlines()[0]
                    out.write(json.dumps({"version": torch.__version__, **row}) + "\n")
                    out.flush()
                    print(row, flush=True)


if __name__ == "__main__":
    main()
