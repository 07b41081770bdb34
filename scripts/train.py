# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Train CLIP from scratch and save every epoch as a revision.

accelerate launch scripts/train.py --config demo
accelerate launch --multi_gpu --num_processes 8 scripts/train.py --config my-recipe.yaml --learning_rate 5e-4
torchrun --nproc_per_node 2 scripts/train.py --config flickr8k --data_dir PATH      # two processes on CPUs
"""

import sys

from hf_clipdyn.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
