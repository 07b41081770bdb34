"""Run by torchrun: ``publish_each_epoch.py --fsdp`` with FSDP2 on CPUs, where accelerate alone would not shard."""

import runpy
import sys
from pathlib import Path

import accelerate

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests" / "training"))

from sharding import sharded_accelerator  # noqa: E402

accelerate.Accelerator = lambda fsdp_plugin: sharded_accelerator(  # type: ignore[misc, assignment]
    transformer_cls_names_to_wrap=fsdp_plugin.transformer_cls_names_to_wrap
)
runpy.run_path(str(CHECKOUT / "scripts" / "by_feature" / "publish_each_epoch.py"), run_name="__main__")
