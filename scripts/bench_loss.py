"""Peak memory and time of the contrastive loss and its gradients, plain and in chunks, by the size of the batch.

python scripts/bench_loss.py [--batches 1024,4096,8192,16384] [--chunk 1024] [--rounds 3] [--threads 1]

The embeddings have 512 dimensions, as those of ViT-B. The peak is what the kernel counts beyond the memory that the
process has before (Linux only). Both ways take turns; medians over the rounds. The last two columns are the largest
differences of the values and of the gradients, relative to their norms.
"""

import argparse
import re
import time
from pathlib import Path

import numpy as np
import torch

from hf_clipdyn.training.losses import Features, make_loss

WIDTH = 512


def kilobytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


def measured(features: list[torch.Tensor], chunk: int | None) -> tuple[float, float, list[torch.Tensor]]:
    """MiB, processor seconds, and the value with its gradients."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is now what the process has
    before, began = kilobytes("VmRSS"), time.process_time()
    value = make_loss("contrastive", chunk)(Features(*features))
    gradients = torch.autograd.grad(value, features)
    seconds = time.process_time() - began
    return (kilobytes("VmHWM") - before) / 1024, seconds, [value.detach(), *gradients]


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batches", default="1024,4096,8192,16384")
    parser.add_argument("--chunk", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("  batch      plain  in chunks      plain  in chunks      value  gradients")
    for batch in map(int, options.batches.split(",")):
        generator = torch.Generator().manual_seed(batch)
        features = [torch.randn(batch, WIDTH, generator=generator).requires_grad_() for _ in range(2)]
        features.append(torch.tensor(14.3, requires_grad=True))
        rounds = [
            (measured(features, None), measured(features, options.chunk)) for _ in range(options.rounds)
        ]
        plain, chunked = (np.median([one[way][:2] for one in rounds], axis=0) for way in (0, 1))
        differences = [difference(*pair) for pair in zip(rounds[0][1][2], rounds[0][0][2], strict=True)]
        print(
            f"{batch:7,} {plain[0]:6.0f} MiB {chunked[0]:6.0f} MiB {plain[1]:8.2f} s {chunked[1]:8.2f} s "
            f"{differences[0]:10.1e} {max(differences[1:]):10.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
