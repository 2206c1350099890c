"""HTML pages: the report of an evaluation and the comparison of runs."""
