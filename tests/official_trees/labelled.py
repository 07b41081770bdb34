"""Labelled sets, cue conflict and mere photographs as their archives unpack."""

from pathlib import Path

from official_trees.images import write_image

__all__ = ["cifar10", "cifar100", "cue_conflict", "imagenet", "photographs", "tiny_imagenet"]

_TRIALS = "subj,session,trial,rt,object_response,category,condition,imagename"


def cue_conflict(root: Path) -> None:
    """Four images of two shapes, and the trials of two observers."""
    for name in ("cat1-airplane2", "cat1-cat3", "dog4-oven1", "dog4-truck10"):
        shape = name.split("-")[0].rstrip("0123456789")
        write_image(root / shape / f"{name}.png", (24, 24))
    trials = root / "raw-data" / "cue-conflict"
    trials.mkdir(parents=True)
    for subject, answers in (("01", ("cat", "cat", "na")), ("02", ("airplane", "cat", "oven"))):
        lines = [_TRIALS]
        names = ("cat1-airplane2", "cat1-cat3", "dog4-oven1")
        for number, (name, answer) in enumerate(zip(names, answers, strict=True), start=1):
            image = f"{number:04d}_s5n_s{subject}_0_{name.split('-')[0][:3]}_00_{name}.png"
            lines.append(f"subject-{subject},1,{number},0.8,{answer},{name[:3]},0,{image}")
        (trials / f"cue-conflict_subject-{subject}_session_1.csv").write_text("\n".join(lines) + "\n")


def cifar10(root: Path) -> None:
    for split in ("train", "test"):
        for name in ("airplane", "truck"):
            write_image(root / split / name / "0000.png", (32, 32))


def cifar100(root: Path) -> None:
    """Directly under the folder, and spelt with a blank."""
    for name in ("apple", "Aquarium fish"):
        write_image(root / name / "0000.png", (32, 32))


def imagenet(root: Path) -> None:
    for wnid in ("n01440764", "n01443537"):
        write_image(root / "ILSVRC" / "Data" / "CLS-LOC" / "val" / wnid / f"ILSVRC2012_val_{wnid}.JPEG")
    write_image(root / "ILSVRC" / "Data" / "CLS-LOC" / "test" / "ILSVRC2012_test_00000001.JPEG")
    (root / "LOC_synset_mapping.txt").write_text(
        "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
    )


def tiny_imagenet(root: Path) -> None:
    root = root / "tiny-imagenet-200"
    for wnid in ("n01443537", "n02012849", "n03126707"):
        write_image(root / "train" / wnid / "images" / f"{wnid}_0.JPEG", (64, 64))
    lines = []
    for number, wnid in enumerate(("n02012849", "n01443537")):
        write_image(root / "val" / "images" / f"val_{number}.JPEG", (64, 64))
        lines.append(f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    write_image(root / "test" / "images" / "test_0.JPEG", (64, 64))
    (root / "words.txt").write_text(
        "n01443537\tgoldfish, Carassius auratus\nn02012849\tcrane\nn03126707\tcrane\n"
    )


def photographs(root: Path) -> None:
    """Two in folders, one beside them, and what is no image."""
    write_image(root / "holiday.jpg", (24, 16), 1)
    write_image(root / "b" / "dog.png", (10, 14), 2)
    write_image(root / "a" / "deep" / "cat.bmp", (9, 9), 3)
    (root / "notes.txt").write_text("rain\n")
