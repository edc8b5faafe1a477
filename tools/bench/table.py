"""From seconds to tables: medians, quartiles, ratios to the best peer, Markdown."""

from __future__ import annotations

import statistics
from typing import Any

OURS = "caffe"
# At most this share of the time of the fastest peer in float32, and of OpenVINO's in bfloat16, for several
# images and for one.
GOALS = {
    ("drml", "train"): {"batch": (0.20, None)},
    ("drml", "inference"): {"batch": (0.38, 0.65), "single": (0.55, 0.95)},
    ("convnet", "train"): {"batch": (0.20, None)},
    ("convnet", "inference"): {"batch": (0.35, 0.55)},
    ("alexnet", "train"): {"batch": (0.40, None)},
    ("alexnet", "inference"): {"batch": (0.75, None)},
}
TITLES = {
    "caffe": "Caffe, CPU engine",
    "caffe-plain": "Caffe, engine off",
    "caffe-stock": "Caffe, Slice...Concat graph, engine off",
    "torch": "PyTorch, NCHW",
    "torch-channels-last": "PyTorch, channels_last",
    "tensorflow": "TensorFlow",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "openvino-bfloat16": "OpenVINO, bfloat16",
}
# In float32, as ours.
PEERS = ("torch", "torch-channels-last", "tensorflow", "onnxruntime", "openvino")
BFLOAT16 = "openvino-bfloat16"


def summarize(seconds: list[float]) -> dict[str, float]:
    """Return median and quartiles in milliseconds of at least two times."""
    low, median, high = (1e3 * q for q in statistics.quantiles(seconds, n=4, method="inclusive"))
    return {"median_ms": median, "low_ms": low, "high_ms": high}


def best_peer(systems: dict[str, dict[str, Any]]) -> str | None:
    """Return the fastest system in float32 that is no Caffe, None where none was measured."""
    measured = [name for name in PEERS if "median_ms" in systems.get(name, {})]
    return min(measured, key=lambda name: systems[name]["median_ms"], default=None)


def ratio(systems: dict[str, dict[str, Any]], peer: str | None) -> float | None:
    """Return our median over another system's, None where either was not measured."""
    if peer is None or any("median_ms" not in systems.get(name, {}) for name in (OURS, peer)):
        return None
    return systems[OURS]["median_ms"] / systems[peer]["median_ms"]


def verdicts(cell: dict[str, Any]) -> list[str]:
    """Return a sentence for the best peer in float32, and for OpenVINO in bfloat16, with the goals."""
    goals = GOALS.get((cell["model"], cell["mode"]), {})
    pair = goals.get("single" if cell["batch"] == 1 else "batch", (None, None))
    lines = []
    for peer, goal in zip((best_peer(cell["systems"]), BFLOAT16), pair, strict=True):
        value = ratio(cell["systems"], peer)
        if value is not None and peer is not None:
            verdict = f", goal at most {goal:.2f}: {'met' if value <= goal else 'missed'}" if goal else ""
            lines.append(f"{value:.2f} of {TITLES[peer]}{verdict}.")
    return lines


def cell_markdown(cell: dict[str, Any], peak_gflops: float) -> str:
    """Return the table of one network, mode and batch size."""
    systems = cell["systems"]
    peer = best_peer(systems)
    lines = [
        f"### {cell['model']} {cell['mode']}, batch {cell['batch']}, {cell['threads']} threads",
        "",
        "| system | median ms | quartiles | images/s | share of FMA peak | against the best peer |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in systems.items():
        title = f"{TITLES[name]} ({result['version']})" if "version" in result else TITLES[name]
        if "median_ms" not in result:
            lines.append(f"| {title} | missing: {result['missing']} | | | | |")
            continue
        median = result["median_ms"]
        share = cell["gflop"] / (median / 1e3) / peak_gflops
        against = f"{median / systems[peer]['median_ms']:.2f}" if peer else "-"
        lines.append(
            f"| {title} | {median:.1f} | {result['low_ms']:.1f} - {result['high_ms']:.1f} "
            f"| {cell['batch'] * 1e3 / median:.1f} | {share:.0%} | {against} |"
        )
    for verdict in verdicts(cell):
        lines += ["", verdict]
    return "\n".join([*lines, ""])


def memory_markdown(memory: dict[str, Any]) -> str:
    """Return the table of peak memory."""
    lines = [
        f"### Peak memory of DRML training, batch {memory['batch']}",
        "",
        "| system | GB |",
        "|---|---|",
    ]
    for name, size in memory["bytes"].items():
        lines.append(f"| {TITLES[name]} | {size / 1e9:.2f} |" if size else f"| {TITLES[name]} | missing |")
    return "\n".join([*lines, ""])


def report_markdown(report: dict[str, Any]) -> str:
    """Return the whole report."""
    lines = [
        "# Benchmark",
        "",
        f"{report['cpu']}, {report['cores']} processors, {report['threads']} threads each, float32. FMA peak "
        f"{report['peak_gflops']:.0f} GFLOP/s (from registers, best of 9). {report['environment']}",
        "Random weights and images; medians of alternating rounds.",
        "",
    ]
    lines += [cell_markdown(cell, report["peak_gflops"]) for cell in report["cells"]]
    if "memory" in report:
        lines.append(memory_markdown(report["memory"]))
    return "\n".join(lines)


def _held(name: str, ours: float, other: float, goal: float) -> str:
    ratio = ours / other
    return f"{name}: {ours:.1f} ms against {other:.1f}, {ratio:.2f}x (goal at most {goal:.1f}x)."


def layers_markdown(report: dict[str, Any]) -> str:
    """Return the table of layers, and Region and the update against their bare parts."""
    probes, bare = report["probes"], report["bare"]
    copy = f"{probes['copy_gb_per_second']:.1f} GB/s" if probes else "not measured"
    lines = [
        f"### {report['model']} layer by layer, batch {report['batch']}, {report['threads']} threads",
        "",
        f"{report['cpu']}. Ceilings: {report['peak_gflops']:.0f} GFLOP/s (multiply-adds), copy {copy}. "
        "GB/s counts each blob once: caches may exceed the copy.",
        "",
        "| layer | forward ms | backward ms | forward GFLOP/s | backward GFLOP/s | forward GB/s |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        forward, backward = row["forward_ms"], row["backward_ms"]
        # Below this a layer does nothing that a clock could hold against the machine.
        rates = ["-", "-", f"{row['gb'] / forward * 1e3:.1f}" if forward > 0.1 else "-"]
        if row["gflop"]:
            rates[:2] = [
                f"{row['gflop'] / forward * 1e3:.0f}",
                f"{row['backward_gflop'] / backward * 1e3:.0f}",
            ]
        lines.append(f"| {row['layer']} | {forward:.2f} | {backward:.2f} | {' | '.join(rates)} |")
    lines += ["", f"Forward and backward: {report['total_ms']:.1f} ms.", ""]
    region = next((row for row in report["rows"] if row["layer"] == "region2"), None)
    if bare and region:
        forward = bare["forward_milliseconds"]
        both = forward + bare["weights_milliseconds"] + bare["data_milliseconds"]
        ours = region["forward_ms"] + region["backward_ms"]
        lines += [_held("Region forward, bare grouped convolution", region["forward_ms"], forward, 2)]
        lines += ["", _held("Region forward and backward", ours, both, 2), ""]
    if local := report["local"]:
        read, update = local["read_milliseconds"], local["update_milliseconds"]
        for name, ours, bare_ms in (
            ("conv5 forward, its weights read once", local["forward_milliseconds"], read),
            ("conv5's bottom diff, its weights read once", local["data_milliseconds"], read),
            ("conv5's weight diff, read and written once", local["weights_milliseconds"], update),
            ("conv5 backward, all of these", local["backward_milliseconds"], read + update),
        ):
            lines += [_held(name, ours, bare_ms, 2), ""]
    if probes and report["model"] == "drml":
        lines += [
            _held("SGD update, its memory traffic", report["update_ms"], probes["update_milliseconds"], 1.5)
        ]
    return "\n".join([*lines, ""])
