"""Captioned sets as their archives unpack."""

import io
import json
import tarfile
from pathlib import Path

from official_trees.images import image_bytes, write_image


def flickr8k(root: Path, images: int = 3) -> None:
    """Two captions an image, one with a comma."""
    lines = ["image,caption"]
    for number in range(images):
        write_image(root / "Images" / f"{number}_ab.jpg", colour=number)
        lines += [f"{number}_ab.jpg,A dog , running .", f'{number}_ab.jpg,"He said ""sit"", twice ."']
    (root / "captions.txt").write_text("\r\n".join(lines) + "\r\n")


def flickr30k(root: Path) -> None:
    """``results.csv``, with the one line of the real file that lacks a separator."""
    write_image(root / "flickr30k_images" / "1.jpg")
    write_image(root / "flickr30k_images" / "2199200615.jpg")
    (root / "results.csv").write_text(
        "image_name| comment_number| comment\n1.jpg| 0| Two men , outside .\n1.jpg| 1| Men .\n"
        "2199200615.jpg| 4   A dog runs across the grass .\n"
    )


def coco_captions(root: Path) -> None:
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train", 2), ("val", 1)):
        names = [f"{number:012d}.jpg" for number in range(count)]
        for name in names:
            write_image(root / f"{split}2017" / name)
        content = {
            "images": [{"id": 7 + n, "file_name": name} for n, name in enumerate(names)],
            "annotations": [
                {"image_id": 7 + n, "id": 2 * n + k, "caption": f"caption {k}"}
                for n in range(count)
                for k in range(2)
            ],
        }
        (root / "annotations" / f"captions_{split}2017.json").write_text(json.dumps(content))


def imagefolder(root: Path) -> None:
    """JSON Lines for training, a table for testing."""
    for split in ("train", "test"):
        for number in range(2):
            write_image(root / split / f"{number}.png", colour=number)
    lines = [{"file_name": "0.png", "captions": ["one", "two"]}, {"file_name": "1.png", "captions": "three"}]
    (root / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (root / "test" / "metadata.csv").write_text('file_name,text\n0.png,"a, b"\n0.png,c\n1.png,d\n')


def write_shard(path: Path, samples: int, start: int = 0, text: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for number in range(start, start + samples):
            parts = {"jpg": image_bytes(".jpg", colour=number), "json": b"{}"}
            if text:
                parts["txt"] = f"caption {number}".encode()
            for suffix, content in parts.items():
                info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))


def webdataset(root: Path) -> None:
    """Two shards for training, one for validation."""
    write_shard(root / "cc-train-0000.tar", 3)
    write_shard(root / "cc-train-0001.tar", 2, start=3)
    write_shard(root / "cc-validation-0000.tar", 1, start=9)
