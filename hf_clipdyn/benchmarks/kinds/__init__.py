"""The kinds of benchmarks, one file each, found by `hf_clipdyn.benchmarks.registry`."""
