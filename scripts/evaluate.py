# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Evaluate every revision of a run: the arguments are those of `clipdyn evaluate`.

accelerate launch scripts/evaluate.py me/run --suite paper --data_dir nights=PATH --output results.parquet
torchrun --nproc_per_node 2 scripts/evaluate.py runs/demo                          # two processes on CPUs
"""

import sys

from hf_clipdyn.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
