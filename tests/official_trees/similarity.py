"""Sets of judged similarity as their archives unpack."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from official_trees.images import write_image

_HEADER = "id,left_vote,right_vote,votes,ref_path,left_path,right_path,prompt,split,is_imagenet"


def nights(root: Path) -> None:
    """Six triplets: three splits, ImageNet and not; the last one has split votes."""
    lines = [_HEADER]
    for number, split in enumerate(["train", "train", "val", "test", "test", "test"]):
        stem = f"000/{number:03d}"
        paths = [f"ref/{stem}.png", f"distort/{stem}_0.png", f"distort/{stem}_1.png"]
        for colour, path in enumerate(paths):
            write_image(root / path, colour=3 * number + colour)
        votes = (2, 3, 5) if number == 5 else (number % 2, 1 - number % 2, 6 + number)
        cells = [number, *votes, *paths, '"a cat, sitting"', split, str(number % 2 == 0)]
        lines.append(",".join(map(str, cells)))
    (root / "data.csv").write_text("\n".join(lines) + "\n")


def bapps(root: Path) -> None:
    """Two subsets of the validation data for the choice between two, two for same or different."""
    for subset in ("traditional", "superres"):
        folder = root / "2afc" / "val" / subset
        for number, judge in enumerate((0.0, 0.4, 1.0)):
            for colour, name in enumerate(("ref", "p0", "p1")):
                write_image(folder / name / f"{number:06d}.png", colour=colour)
            (folder / "judge").mkdir(exist_ok=True)
            np.save(folder / "judge" / f"{number:06d}.npy", np.array([judge], dtype=np.float32))
    for subset in ("traditional", "cnn"):
        folder = root / "jnd" / "val" / subset
        for number, same in enumerate((0.0, 1 / 3)):
            for colour, name in enumerate(("p0", "p1")):
                write_image(folder / name / f"{number:06d}.png", colour=colour)
            (folder / "same").mkdir(exist_ok=True)
            np.save(folder / "same" / f"{number:06d}.npy", np.array([same]))


def material_similarity(root: Path) -> None:
    """All 100 materials in both renderings, a few answers, one of them a tie."""
    for rendering, suffix in (("havran1_stpeters_256x256_LDR", "png"), ("havran1_ennis_298x298_LDR", "jpg")):
        for number in range(100):
            write_image(root / "data" / rendering / f"material-{number:03d}.{suffix}", colour=number)
    for split, count in (("train", 12), ("test", 8)):
        answers = [[n, n + 20, n + 40] for n in range(count)]
        agreement = [[3, 1] if n else [2, 2] for n in range(count)]
        content = {"answers": answers, "agreement": agreement, "answers_diff": answers[1:]}
        (root / "data" / f"answers_processed_{split}.json").write_text(json.dumps(content))


_OBJECTS = ("aardvark", "abacus", "zebra", "anchor", "bat1", "bat2")  # not sorted by name
_TRIPLETS = ((0, 1, 2), (3, 0, 4), (2, 5, 1), (0, 2, 1))


def _photographs(root: Path) -> None:
    """One photograph an object; that of the third one is not the one that people saw."""
    for number, name in enumerate(_OBJECTS):
        file = f"{name}.jpg" if number == 2 else f"{name}/{name}_01b.jpg"
        write_image(root / "images" / file, colour=number)


def _lines(triplets: Sequence[Sequence[int]]) -> str:
    return "".join(" ".join(map(str, triplet)) + "\n" for triplet in triplets)


def things(root: Path) -> None:
    """The project's text files: six objects, four judgements a split, one triplet that three people judged."""
    _photographs(root)
    (root / "variables").mkdir(exist_ok=True)
    (root / "variables" / "unique_id.txt").write_text("".join(f"{name}\n" for name in _OBJECTS))
    folder = root / "data" / "triplet_dataset"
    folder.mkdir(parents=True)
    (folder / "trainset.txt").write_text(_lines(_TRIPLETS[:2]))
    (folder / "validationset.txt").write_text(_lines(_TRIPLETS))
    (folder / "testset1.txt").write_text(_lines([(3, 4, 5), (4, 3, 5), (3, 5, 4)]))
    (folder / "testset2_repeat.txt").write_text(_lines([(3, 4, 5)] * 9))


def things_table(root: Path) -> None:
    """The project's table of all judgements, in which one person answers one triplet twice."""
    _photographs(root)
    (root / "unique_id.txt").write_text("".join(f"{name}\n" for name in _OBJECTS))
    lines = ["image1\timage2\timage3\tchoice\tRT\tsubject_id"]
    lines += ["1\t2\t3\t3\t812.5\t7", "4\t1\t5\t1\t900\t7", "1\t3\t2\t2\t700\t7", "2\t1\t3\t1\t\t8"]
    (root / "triplets_large_final_correctednc_correctedorder.csv").write_text("\n".join(lines) + "\n")


def things_prepared(root: Path) -> None:
    """The files of the alignment papers."""
    for number, name in enumerate(_OBJECTS):
        write_image(root / "images" / f"{name}.jpg", colour=number)
    (root / "concepts").mkdir()
    lines = ["Word\tuniqueID", *(f"word\t{name}" for name in _OBJECTS)]
    (root / "concepts" / "things_concepts.tsv").write_text("\n".join(lines) + "\n")
    (root / "triplets").mkdir()
    np.save(root / "triplets" / "train_90.npy", np.array(_TRIPLETS[:3]))
    np.save(root / "triplets" / "test_10.npy", np.array(_TRIPLETS[3:], dtype=np.int32))


def things_2020(root: Path) -> None:
    """The files of 2020."""
    _photographs(root)
    (root / "data").mkdir()
    (root / "data" / "data1854_batch5_test10.txt").write_text(_lines(_TRIPLETS[:3]))
    lines = ["Word\tuniqueID\tWordFreq", *(f"word\t{name}\t1" for name in _OBJECTS)]
    (root / "items1854names.tsv").write_text("\n".join(lines) + "\n")
