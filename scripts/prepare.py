# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Write a data set as Parquet with its images inside and a data card, and push it to the Hub if asked.

python scripts/prepare.py osie --data-dir osie=predicting-human-gaze-beyond-pixels/data --output osie-parquet
uv run scripts/prepare.py tid2013 --data-dir tid2013=PATH --output tid2013-parquet \\
    --push-to-hub --hub-model-id me/tid2013 --hub-private-repo
"""

import sys

from hf_clipdyn.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
