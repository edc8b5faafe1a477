"""``caffe train`` in a folder of its own: its log, its snapshots, its tables."""
