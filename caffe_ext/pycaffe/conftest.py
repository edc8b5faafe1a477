"""For upstream's pycaffe tests: names that Python 3.12 took out of unittest; leave for Python layers."""

import os
import unittest

os.environ["CAFFE_PYTHON_LAYERS"] = "1"

for new, old in (("assertEqual", "assertEquals"), ("assertRaisesRegex", "assertRaisesRegexp")):
    setattr(unittest.TestCase, old, getattr(unittest.TestCase, new))
