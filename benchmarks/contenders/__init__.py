"""One module for each contender; see `benchmarks.protocol`. What is not in the standard library is imported inside the tasks."""
