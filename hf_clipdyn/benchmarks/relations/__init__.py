"""The relations of this package, a file each; see `hf_clipdyn.benchmarks.relation`."""
