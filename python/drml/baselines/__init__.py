"""The linear methods to which the DRML paper compares, on SIFT at 49 landmarks, and one for intensities.

They are estimators in the style of scikit-learn. LSVM, APL and JPML take N x K labels in {-1, 0, 1}; 0 is
unknown. `RidgeRegression` takes intensities from 0 to 5; 9 is unknown.
`drml.experiments` ties them to prepared data: `sift` computes the features, `baseline` fits on a prepared
fold and scores, `patch_maps` draws which patches APL and JPML found important.
"""

from drml.baselines.apl import APL
from drml.baselines.jpml import JPML
from drml.baselines.lsvm import LSVM
from drml.baselines.ridge import RidgeRegression

__all__ = ["APL", "JPML", "LSVM", "RidgeRegression"]
