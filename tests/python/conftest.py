"""What every test may rely on."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does: no test fails for it.
settings.register_profile("drml", deadline=None)
settings.load_profile("drml")

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests of ctrl-C
# would wait for ever. A handler, unlike SIG_IGN, is not inherited: children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# FFmpeg takes its log level when a process first uses it: here that may be a test that writes a video.
# drml sets the level when it opens a video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


# What `make test` runs: they take seconds each, because they train no net and start few programs.
QUICK = {
    "architecture",
    "base_rates",
    "bootstrap",
    "bp4d",
    "checks",
    "data_sets",
    "disfa",
    "disfaplus",
    "f1_table",
    "files",
    "folds",
    "front_door",
    "images",
    "landmarks",
    "lmdb",
    "manifest",
    "metrics",
    "net",
    "opencv",
    "patch_series",
    "preprocessing",
    "proto",
    "published",
    "pycaffe",
    "pycaffe_io",
    "pycaffe_names",
    "pycaffe_spec",
    "readers",
    "recipe",
    "registration",
    "relations",
    "sampling",
    "split",
    "thresholds",
    "verify",
    "video_headers",
    "workers",
}


# These files take longest: they begin first, so that at the end none of them is left for one worker.
LONG = ("test_documents", "test_experiment_tables", "test_report_experiment", "test_experiment_table3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="run the quick test files only, as make test does")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    name = collection_path.stem.removeprefix("test_")
    return True if config.getoption("--quick") and collection_path.is_file() and name not in QUICK else None


@pytest.fixture(scope="session")
def detect_weights(tmp_path_factory):
    """Weights of a tiny net for drml detect, with its net and mean image in the same folder."""
    import detect_data  # here: the import takes seconds, and most tests need none of it

    return detect_data.write_weights(tmp_path_factory.mktemp("detect") / "net")


@pytest.fixture(scope="session")
def detect_net(detect_weights):
    """Open this net."""
    import detect_data

    return detect_data.Net(detect_weights, aus=detect_data.tiny.AUS)


@pytest.fixture
def run_detect(detect_net, tmp_path):
    """Return a function that runs drml detect on files, into tmp_path/out."""
    import detect_data

    def run(*inputs, out=tmp_path / "out", **options):
        return detect_data.run(detect_net, inputs, out, **options)

    return run
