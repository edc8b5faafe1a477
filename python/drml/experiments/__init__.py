"""The paper's tables and figures from prepared data, in units that are computed once and can be resumed.

* `units` defines a unit and runs one in a folder of its own; `scheduler` runs several. Neither knows what a
  unit computes. All units of an experiment's folder share its `settings`.
* `methods` lists the methods of the tables; `nets` finds a net's prototxts or writes variants of them.
* `fold_unit` trains or fits one method on one fold and scores it; `predictions` keeps what it predicts.
  `table3` uses the models of another experiment's folder, which `bp4d_models` finds, on other data;
  `timing` times one net.
* `baseline` runs LSVM, APL or JPML on a fold, and `ridge` ridge regression of intensities; they share
  `baseline_fold`, features from `sift`, and pictures from `patch_maps`;
  `transfer` fits a linear classifier on a net's features; `refit` joins training and validation subjects.
* `detection_table` (with `table_kind`, `table_column`, `table_rows` and `table_notes`), `table4`,
  `sparsity`, `figure4` and `figure5` make tables and figures from finished units; `drawing` writes pictures.
* `catalogue` lists the tables and figures; `runner` is what ``drml experiment`` calls.
"""
