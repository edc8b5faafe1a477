"""From data sets to LMDBs: labels, registration, sampling, preparation, verification."""
