"""The drml command: exit status, one-line errors, what it prints, how fast it starts."""

import argparse
import json
import os
import subprocess
import sys

import pytest

import tiny_net as tiny
from drml import cli
from drml.cli import values
from drml.cli.arguments import OPTIONS
from drml.cli.output import print_json
from drml.io.errors import UserError


def find_parsers():
    """Return the parser of every command, and of every experiment, by the words that call it."""

    def walk(parser, words):
        children = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not children:
            yield " ".join(words), parser
        for action in children:
            for name, child in action.choices.items():
                yield from walk(child, [*words, name])

    return dict(walk(cli.build_parser(), []))


PARSERS = find_parsers()
COMMANDS = tuple(PARSERS)
# Commands that print no figures, and those that write nothing.
WITHOUT_FIGURES = ("demo", "report", "experiment unit")
WITHOUT_OUTPUT = ("check", "verify", "relations")
# Types that accept what the option accepts elsewhere, and a word more.
EXTENDED = {
    ("detect", "--threshold"): values.detection_threshold,
    ("prepare", "--folds"): values.folds_or_scheme,
    ("score", "--threshold"): values.threshold,
}


@pytest.fixture
def setup(tmp_path):
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.02)
    fold = tiny.write_data(tmp_path / "data", synthetic=True)[0]
    return ["--net", str(deploy), "--weights", str(weights)], fold


# --- help and usage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_exit_0(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example:" in text
    assert f"  drml {command} " in text
    assert "--quiet" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_help_are_valid_usage(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    examples = capsys.readouterr().out.split("example:\n")[1].replace("\\\n", " ").strip()
    for example in examples.split("\n"):
        program, *arguments = example.split()
        assert program == "drml"
        args = cli.build_parser().parse_args(arguments)
        assert args.run
        if "check" in args:
            args.check(args)


def test_help_of_all_lists_every_command_without_heavy_imports():
    code = (
        "import sys, drml.cli\n"
        "try: drml.cli.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'cv2', 'caffe', 'sklearn', 'numpy', 'scipy', 'matplotlib', 'h5py'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for command in {command.split()[0] for command in COMMANDS}:
        assert f"\n    {command}" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("drml 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["synth"],
        ["synth", "out", "--subjects", "0"],
        ["synth", "out", "--layout", "imagenet"],
        ["synth", "out", "--layout", "disfa", "--tasks", "2"],
        ["prepare", "mnist", "a", "b"],
        ["prepare", "bp4d", "a", "b", "--folds", "4"],
        ["prepare", "bp4d", "a", "b", "--val-share", "1.5"],
        ["prepare", "bp4d", "a", "b", "--intensity", "2"],
        ["prepare", "bp4d", "a", "b", "--camera", "left"],
        ["prepare", "disfa", "a", "b", "--intensity", "6"],
        ["prepare", "disfa", "a", "b", "--camera", "top"],
        ["prepare", "disfa", "a", "b", "--first-frame", "2"],
        ["score", "--net", "m"],
        ["score", "--model", "m", "--weights", "w", "--data", "d"],
        ["score", "--net", "m", "--weights", "w", "--data", "d", "--batch", "none"],
        ["score", "--net", "m", "--weights", "w", "--data", "d", "--scale", "nan"],
        ["train", "--solver", "s", "--out", "o", "--max-iter", "0"],
        ["train", "--solver", "s", "--out", "o", "--gpu", "x"],
        ["score", "w"],
        ["score", "w", "d", "--out", "o", "--predictions", "./o"],
        ["convert", "n", "--to", "region", "--weights", "w", "--out", "o", "--out-weights", "o"],
        ["score", "w", "d", "--weights", "w"],
        ["score", "w", "d", "--data", "d"],
        ["score", "--weights", "a", "b", "--data", "c"],
        ["score", "w", "d", "--scale", "0"],
        ["score", "w", "d", "--aus", "1,x"],
        ["score", "w", "d", "--threshold", "1.5"],
        ["score", "w", "d", "--threshold", "best"],
        ["score", "w", "d", "--bootstrap", "-1"],
        ["features", "w", "d"],
        ["export-onnx", "w", "--out", "o", "--mean", "m", "--no-mean"],
        ["saliency", "w", "--out", "o"],
        ["saliency", "w", "d", "--image", "i", "--out", "o"],
        ["saliency", "w", "--image", "i", "--key", "k", "--out", "o"],
        ["relations"],
        ["relations", "w", "d", "--predictions", "p"],
        ["convert", "n", "--to", "region", "--out", "o", "--weights", "w"],
        ["train", "--solver", "s", "--out", "o", "--snapshot", "auto"],
        ["report", "o", "--scores", "s", "--method", "drml"],
        ["detect", "a.jpg"],
        ["detect", "--weights", "w"],
        ["detect", "a.jpg", "--weights", "w", "--threshold", "1.5"],
        ["detect", "a.jpg", "--weights", "w", "--min-confidence", "no"],
        ["detect", "a.jpg", "--weights", "w", "--max-frames", "0"],
        ["baseline", "forest", "--data", "d", "--out", "o"],
        ["baseline", "apl", "--data", "d"],
        ["detect", "", "--weights", "w"],
        ["detect", "a.jpg", "--weights", ""],
        ["detect", "a.jpg", "--weights=w", "--out="],
        ["prepare", "bp4d", "a", ""],
        ["show", ""],
    ],
)
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: drml" in capsys.readouterr().err


# --- one meaning per option -----------------------------------------------------------------------------


def find_options():
    """Return by name of an option its command and its action, for every command that has it."""
    found = {}
    for command, parser in PARSERS.items():
        for action in parser._actions:
            for name in action.option_strings:
                found.setdefault(name, []).append((command, action))
    return found


def test_an_option_of_several_commands_is_in_the_table():
    several = {name for name, uses in find_options().items() if len(uses) > 1 and name.startswith("--")}
    # The experiments share more, and so do prepare and check, which read data sets: one function adds each.
    own = {
        name
        for name in several
        if len({command.split()[0] for command, _ in find_options()[name]} - {"check"}) == 1
        or name == "--help"
    }
    assert several - own <= set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_has_one_meaning_and_one_type(name):
    option, uses = OPTIONS[name], find_options()[name]
    for command, action in uses:
        assert action.help.startswith(option.meaning), command
        assert action.type is EXTENDED.get((command, name), option.type), command
        assert isinstance(action, argparse._StoreTrueAction) == (option.type is None), command
        if action.default not in (None, False):
            assert f"(default: {action.default})" in action.help, command


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_the_options_that_its_work_asks_for(command):
    names = {name for action in PARSERS[command]._actions for name in action.option_strings}
    assert ("--json" in names) == (command not in WITHOUT_FIGURES)
    if not command.startswith("experiment"):  # an experiment never replaces a finished unit
        assert ("--overwrite" in names) == (command not in WITHOUT_OUTPUT)
    assert all(action.help for action in PARSERS[command]._actions)
    for old in ("--model", "--snapshot"):
        assert old not in names


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal(command, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    too_long = [line for line in capsys.readouterr().out.splitlines() if len(line) > width]
    assert not too_long


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (UserError("a.csv: column missing;\nadd it"), 1, "drml: error: a.csv: column missing; add it\n"),
        (
            OSError(28, "No space left on device", "out.npz"),
            1,
            "drml: error: out.npz: No space left on device; free some space or write elsewhere\n",
        ),
        (PermissionError(13, "Permission denied", "/x"), 1, "drml: error: /x: Permission denied\n"),
        (MemoryError(), 1, "drml: error: out of memory (no details); try fewer jobs or a smaller batch\n"),
        (KeyboardInterrupt(), 130, "drml: interrupted\n"),
    ],
)
def test_failure_is_one_line_and_its_status(error, status, text, monkeypatch, capsys):
    def fail(_):
        raise error

    monkeypatch.setattr("drml.cli.verify.run", fail)
    assert cli.main(["verify", "some_lmdb"]) == status
    assert capsys.readouterr().err == text


def test_mistake_of_ours_is_not_hidden(monkeypatch):
    def fail(_):
        raise ValueError("bug")

    monkeypatch.setattr("drml.cli.verify.run", fail)
    with pytest.raises(ValueError, match="bug"):
        cli.main(["verify", "some_lmdb"])


def test_pipe_that_closes_is_no_error(tmp_path):
    fold = tiny.write_data(tmp_path)[0]
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "drml",
            "verify",
            str(fold / "test_lmdb"),
            "--size",
            str(tiny.IMAGE),
            "-q",
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0


def test_without_caffe_the_way_out_is_told(setup, monkeypatch, capsys):
    net, fold = setup
    monkeypatch.setitem(sys.modules, "caffe", None)
    assert cli.main(["score", "-q", *net, "--data", str(fold / "test_lmdb")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("drml: error: pycaffe not found")
    assert "run make" in error


def test_weights_that_do_not_fit_are_one_line(setup, tmp_path, capfd):
    net, fold = setup
    tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(outputs=8))
    assert cli.main(["score", "-q", *net, "--data", str(fold / "test_lmdb")]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "layer 'fc10' has shape 8x6 in blob 0" in captured.err


# --- commands -------------------------------------------------------------------------------------------


def test_score_prints_a_table_and_writes_files(setup, tmp_path, capsys):
    net, fold = setup
    out, predictions = tmp_path / "s.json", tmp_path / "p.csv"
    files = ["--out", str(out), "--predictions", str(predictions)]
    assert cli.main(["score", *net, "--data", str(fold / "test_lmdb"), *files]) == 0
    captured = capsys.readouterr()
    assert "SYNTHETIC DATA" in captured.out
    assert "Avg." in captured.out and "F1-frame (95% CI)" in captured.out
    assert "10/10" in captured.err, "no progress bar"
    assert json.loads(out.read_text())["frames"] == 10
    assert len(predictions.read_text().splitlines()) == 11


def test_score_chooses_thresholds_on_validation(setup, capsys):
    net, fold = setup
    given = ["score", "-q", *net, "--data", str(fold), "--threshold", "validation", "--bootstrap", "0"]
    assert cli.main(given) == 1
    assert "--val-share" in capsys.readouterr().err
    tiny.write_data(fold.parent, count=12, seed=3, split="val", mean=False)
    assert cli.main(given) == 0
    text = capsys.readouterr().out
    assert "F1 at 0.5  F1 at threshold" in text and "CI" not in text
    assert cli.main([*given, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures["chosen_thresholds"]["folds"][0]["thresholds"]) == ["1", "2", "4"]
    assert figures["threshold"] == 0.5 and figures["options"]["threshold"] == "validation"


def test_a_training_and_a_fold_are_enough(tmp_path, capsys):
    solver = tiny.write_solver(tmp_path)
    tiny.write_deploy(tmp_path)
    fold, out = tiny.write_training_data(tmp_path), tmp_path / "out"
    training = ["train", "-q", "--solver", str(solver), "--data", str(fold), "--out", str(out)]
    assert cli.main([*training, "--max-iter", "6"]) == 0
    both = [str(out), str(fold)]
    assert cli.main(["score", "-q", "--json", *both]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [row["au"] for row in figures["pooled"]["aus"]] == list(tiny.AUS)
    assert figures["folds"][0]["input"]["mean"] == "image"
    assert cli.main(["score", "-q", "--json", "--weights", str(out), "--data", str(fold / "test_lmdb")]) == 0
    assert json.loads(capsys.readouterr().out)["pooled"] == figures["pooled"]
    predictions = tmp_path / "p.csv"
    assert cli.main(["score", "-q", *both, "--predictions", str(predictions)]) == 0
    assert cli.main(["features", "-q", *both, "--out", str(tmp_path / "f.npz")]) == 0
    assert cli.main(["saliency", "-q", *both, "--out", str(tmp_path / "saliency")]) == 0
    capsys.readouterr()
    assert cli.main(["relations", "-q", "--json", *both]) == 0
    found = json.loads(capsys.readouterr().out)
    assert cli.main(["relations", "-q", "--json", "--predictions", str(predictions)]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert found["labels"] == expected["labels"] and found["frames"] == expected["frames"]
    assert cli.main(["export-onnx", "-q", "--json", str(out), "--out", str(tmp_path / "n.onnx")]) == 0
    assert "0 to 255" in json.loads(capsys.readouterr().out)["input"]
    assert cli.main(["score", "-q", str(fold), str(fold)]) == 1
    assert "give the folder of a training" in capsys.readouterr().err


def test_score_as_json_is_nothing_else(setup, capsys):
    net, fold = setup
    assert cli.main(["score", "-q", "--json", *net, "--data", str(fold / "test.csv"), "--aus", "1,2,4"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["synthetic"] is True
    assert captured.err == ""


@pytest.mark.parametrize("option", ["--out", "--predictions"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(setup, tmp_path, capsys, option):
    net, _ = setup
    (tmp_path / "file").write_text("")
    for where, fault in (
        (tmp_path, "this is a folder; give the name of a file in it"),
        (tmp_path / "file" / "s.json", "cannot be written (Not a directory: "),
    ):
        # There is no such data, which would be noticed first by the work.
        assert cli.main(["score", "-q", *net, "--data", str(tmp_path / "none"), option, str(where)]) == 1
        assert f"{where}: {fault}" in capsys.readouterr().err


def test_the_table_is_printed_even_if_the_file_cannot_be_written(setup, tmp_path, capsys, monkeypatch):
    net, fold = setup

    def full(path, *_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("drml.evaluation.results.write_scores", full)
    given = ["score", "-q", *net, "--data", str(fold / "test_lmdb"), "--out", str(tmp_path / "s.json")]
    assert cli.main(given) == 1
    captured = capsys.readouterr()
    assert "Avg." in captured.out
    assert "s.json: No space left on device; free some space" in captured.err


def test_folders_of_an_output_are_made(setup, tmp_path):
    net, fold = setup
    where = tmp_path / "new" / "s.json"
    given = ["score", "-q", *net, "--data", str(fold / "test_lmdb"), "--out", str(where)]
    assert cli.main(given) == 0 and where.is_file()


def test_features_writes_its_file(setup, tmp_path, capsys):
    net, fold = setup
    out = tmp_path / "f.npz"
    arguments = ["features", *net, "--data", str(fold / "test_lmdb"), "--out", str(out)]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{out}: 10 rows of 6 (fc9)\n"
    assert cli.main(arguments) == 1
    assert f"{out}: already exists" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == {"file": str(out), "blob": "fc9", "rows": 10, "shape": [6]}
    assert cli.main([*arguments, "--overwrite", "--quiet", "--blob", "fc7"]) == 1
    assert "it has data, conv1, fc9, fc10, prob" in capsys.readouterr().err


def test_verify_says_what_it_found(tmp_path, capsys):
    fold = tiny.write_data(tmp_path)[0]
    arguments = ["verify", "-q", str(fold / "test_lmdb"), "--size", str(tiny.IMAGE)]
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 10
    manifest = fold / "test.csv"
    manifest.write_text(manifest.read_text().replace("_F002_", "_F003_"))
    assert cli.main(arguments) == 1
    assert capsys.readouterr().err.startswith("drml: error: ")


def test_train_reports_its_weights(tmp_path, capsys):
    solver = tiny.write_solver(tmp_path)
    fold = tiny.write_training_data(tmp_path)
    arguments = ["train", "-q", "--solver", str(solver), "--data", str(fold), "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--max-iter", "6", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["iterations"] == 6
    assert os.path.exists(figures["weights"])  # noqa: PTH110 - a string out of JSON
    assert cli.main(arguments) == 1
    assert "holds an earlier training" in capsys.readouterr().err


def test_figures_that_are_undefined_are_null_in_json(capsys):
    print_json({"loss": float("nan"), "test": {"loss": float("inf")}, "f1": {"AU1": 0.5}})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "test": {"loss": None}, "f1": {"AU1": 0.5}}


def test_a_training_does_not_replace_the_solver_that_it_reads(tmp_path, capsys):
    solver = tiny.write_solver(tmp_path)
    files = (solver, tmp_path / "train_val.prototxt")
    before = [path.read_bytes() for path in files]
    for option in ([], ["--overwrite"], ["--resume", "auto"]):
        assert cli.main(["train", "--solver", str(solver), "--out", str(tmp_path), *option]) == 1
        assert "holds the solver itself" in capsys.readouterr().err
    assert [path.read_bytes() for path in files] == before


def test_a_file_in_the_place_of_a_folder_and_the_reverse_are_named(tmp_path, capsys):
    solver = tiny.write_solver(tmp_path)
    assert cli.main(["train", "--solver", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "this is a folder; give the SolverParameter in it" in capsys.readouterr().err
    assert cli.main(["train", "--solver", str(solver), "--out", str(solver)]) == 1
    assert "there is a file of this name; choose another folder" in capsys.readouterr().err


def test_a_list_of_images_that_is_missing_is_named(tmp_path, capsys):
    assert cli.main(["prepare", "images", str(tmp_path / "none.csv"), str(tmp_path / "out")]) == 1
    assert "none.csv: no such file; give a CSV file" in capsys.readouterr().err


def test_synth_replaces_only_what_is_synthetic(tmp_path, capsys):
    root = tmp_path / "bp4d"
    arguments = ["synth", str(root), "--subjects", "1", "--tasks", "1", "--frames", "1", "--width", "64"]
    arguments += ["--jobs", "1", "--quiet"]
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 1
    assert "replace it with --overwrite" in capsys.readouterr().err
    assert cli.main([*arguments, "--seed", "1", "--overwrite"]) == 0
    assert json.loads((root / "synthetic.json").read_text())["options"]["seed"] == 1
    (root / "synthetic.json").unlink()
    assert cli.main([*arguments, "--overwrite"]) == 1
    assert "is not a synthetic data set" in capsys.readouterr().err
    with pytest.raises(SystemExit) as wrong:
        cli.main([*arguments[:1], str(tmp_path / "new"), "--subjects", "1000"])
    assert wrong.value.code == 2
    assert "subjects 1000: give 1 to 41" in capsys.readouterr().err


def test_faces_are_drawn_and_prepared(tmp_path, capsys):
    root, out = tmp_path / "bp4d", tmp_path / "data"
    common = ["--jobs", "1", "--seed", "3", "--quiet"]
    assert cli.main(["synth", str(root), "--subjects", "24", "--tasks", "1", "--frames", "2", *common]) == 0
    assert capsys.readouterr().out == ""
    assert (root / "synthetic.json").is_file()
    assert cli.main(["prepare", "bp4d", str(root), str(out), "--folds", "2", "--json", *common]) == 0
    assert json.loads(capsys.readouterr().out)["synthetic"] is True
    assert cli.main(["verify", "-q", str(out / "fold2" / "test_lmdb")]) == 0
    assert cli.main(["prepare", "bp4d", str(root), str(out), *common]) == 1
    assert "not empty" in capsys.readouterr().err


def test_disfa_is_drawn_prepared_and_verified(tmp_path, capsys):
    root, out = tmp_path / "disfa", tmp_path / "data"
    common = ["--jobs", "1", "--quiet"]
    drawing = ["--layout", "disfa", "--subjects", "6", "--frames", "12", "--width", "128"]
    assert cli.main(["synth", str(root), *drawing, *common]) == 0
    arguments = ["prepare", "disfa", str(root), str(out), "--folds", "1", *common]
    assert cli.main([*arguments, "--intensity", "2", "--camera", "right", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["options"]["intensity"] == 2 and summary["options"]["camera"] == "right"
    assert summary["options"]["positives"] == 800
    assert cli.main(["verify", "-q", str(out / "fold1" / "test_lmdb")]) == 0
    fitted = str(tmp_path / "lsvm")
    assert (
        cli.main(["baseline", "lsvm", "--data", str(out / "fold1"), "--out", fitted, "--json", *common]) == 0
    )
    aus = [row["au"] for row in json.loads(capsys.readouterr().out)["pooled"]["aus"]]
    assert aus == [1, 2, 4, 6, 9, 12, 25, 26]
    assert cli.main([*arguments[:-1], "--overwrite"]) == 0
    said = capsys.readouterr().out
    assert f"{out}: {summary['images']} faces of {summary['frames']} frames" in said
    labels = root / "ActionUnit_Labels/SN001/SN001_au4.txt"
    labels.write_text("1,0\n2,7\n")
    assert cli.main([*arguments, "--overwrite"]) == 1
    error = capsys.readouterr().err
    assert error == f"drml: error: {labels}: line 2: '7' is not an intensity, a whole number from 0 to 5\n"
    assert cli.main(["prepare", "disfa", str(tmp_path / "none"), str(out), "--overwrite", *common]) == 1
    assert capsys.readouterr().err.count("\n") == 1
