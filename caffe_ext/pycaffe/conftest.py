"""For upstream's pycaffe tests: names that Python 3.12 took out of unittest."""

import unittest

for new, old in (("assertEqual", "assertEquals"), ("assertRaisesRegex", "assertRaisesRegexp")):
    setattr(unittest.TestCase, old, getattr(unittest.TestCase, new))
