"""Labelled sets and cue conflict as their archives unpack."""

from pathlib import Path

from official_trees.images import write_image

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


def model_vs_human(root: Path) -> None:
    """Edges in class folders, low-pass and noisy images in sessions, and the trials of two observers on these."""
    for number, name in enumerate(("cat/cat1", "cat/cat10", "dog/dog2")):
        write_image(root / "edge" / f"{name}.png", (24, 24), number)
    stimuli = {
        "low-pass": ("lp", ("0_cat_10_n02123045_7", "3_cat_10_n02123045_8", "3_dog_10_n02099601_9")),
        "uniform-noise": ("nse", ("0.90_cat_10_n02123045_7", "0.03_dog_10_n02099601_9")),
    }
    for subset, (short, names) in stimuli.items():
        for number, name in enumerate(names, start=1):
            file = f"{number:04d}_{short}_dnn_{name}.png"
            write_image(root / subset / "dnn" / "session-1" / file, (24, 24), number + len(short))
    for observer, (cat, dog) in {"01": ("cat", "na"), "02": ("dog", "dog")}.items():
        write_trials(root, "edge", observer, [("0", "cat", cat, "00_cat1"), ("0", "dog", dog, "00_dog2")])
        noisy = [("0.9", "cat", cat, "10_n02123045_7"), ("0.03", "dog", dog, "10_n02099601_9")]
        write_trials(root, "uniform-noise", observer, noisy)
        write_trials(root, "low-pass", observer, [("3.0", "cat", cat, "10_n02123045_8")])


def write_trials(root: Path, subset: str, observer: str, rows: list[tuple[str, str, str, str]]) -> Path:
    """The trials of one observer in one data set of model-vs-human: condition, class, answer, end of the name."""
    lines = [_TRIALS.replace("session", "Session", 1)]
    for number, (condition, category, answer, name) in enumerate(rows, start=1):
        image = f"{number:04d}_xx_s{observer}_{condition}_{category}_{name}.png"
        lines.append(f"subject-{observer},1,{number},0.8,{answer},{category},{condition},{image}")
    path = root / "raw-data" / subset / f"{subset}_subject-{observer}_session_1.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


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
