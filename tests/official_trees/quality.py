"""Image quality sets as their archives unpack."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from official_trees.images import write_image
from openpyxl import Workbook
from scipy.io import savemat

LIVE_FOLDERS = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
_CSIQ_TYPES = {"AWGN": "noise", "BLUR": "blur", "JPEG": "jpeg", "jpeg2000": "jpeg 2000"}


@dataclass(frozen=True)
class Scored:
    """One line of a score list: the image's path below the data set, its reference's name, its score."""

    path: str
    reference: str
    score: float
    distortion: str = ""


def read_list(path: Path) -> list[Scored]:
    """A public list of scores: ``dis_img_path,dis_type,ref_img_path,score``."""
    rows = []
    for line in path.read_text().splitlines()[1:]:
        distorted, distortion, reference, score = line.rsplit(",", 3)
        inside = distorted.split("/", 1)[1]
        rows.append(Scored(inside, reference.rsplit("/", 1)[1], float(score), distortion))
    return rows


def tid(root: Path, rows: Sequence[Scored] = ()) -> None:
    """TID2013, and TID2008 in the same layout; by default 2 references, 2 distortions, 2 levels."""
    rows = rows or [
        Scored(f"distorted_images/i0{r}_0{d}_{level}.bmp", f"I0{r}.BMP", 4 + r + 0.1 * d - 0.5 * level)
        for r in (1, 2)
        for d in (1, 8)
        for level in (1, 2)
    ]
    for row in rows:
        write_image(root / row.path)
        write_image(root / "reference_images" / row.reference.upper())
    names = [f"{row.score!r} {Path(row.path).name}" for row in rows]
    (root / "mos_with_names.txt").write_text("\n".join(names) + "\n")
    (root / "mos_std.txt").write_text("".join(f"0.{100 + i % 800}\n" for i in range(len(rows))))


def kadid10k(root: Path, rows: Sequence[Scored] = ()) -> None:
    rows = rows or [
        Scored(f"images/I01_{d:02d}_{level:02d}.png", "I01.png", 5 - 0.6 * level)
        for d in (1, 25)
        for level in (1, 2, 3)
    ]
    lines = ["dist_img,ref_img,dmos,var"]
    for row in rows:
        write_image(root / row.path)
        write_image(root / "images" / row.reference)
        lines.append(f"{Path(row.path).name},{row.reference},{row.score!r},0.496")
    (root / "dmos.csv").write_text("\n".join(lines) + "\n")


def csiq(root: Path, rows: Sequence[Scored] = ()) -> None:
    rows = rows or [
        Scored(f"dst_imgs/{name}/1600.{name}.{level}.png", "1600.png", 0.2 * level)
        for name in ("AWGN", "contrast", "jpeg2000")
        for level in (1, 2, 3)
    ]
    book = Workbook()
    book.active.append(["about this file"])
    sheet = book.create_sheet("all_by_image")
    for _ in range(3):
        sheet.append([])
    sheet.append([None, None, None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"])
    for row in rows:
        write_image(root / row.path)
        write_image(root / "src_imgs" / row.reference)
        image, name, level = Path(row.path).stem.rsplit(".", 2)
        kind = _CSIQ_TYPES.get(name, name)
        number = int(image) if image.isdigit() else image
        sheet.append([None, None, None, number, 1, kind, int(level), 0.05, row.score])
    book.save(root / "csiq.DMOS.xlsx")


def live(root: Path, rows: Sequence[Scored] = ()) -> None:
    """All 982 entries of the score file; images for those that ``rows`` name."""
    rows = rows or [
        Scored(f"{folder}/img{n}.bmp", "womanhat.bmp", 20.0 + n) for folder in LIVE_FOLDERS for n in (1, 5)
    ]
    scored = {row.path: row for row in rows}
    paths = [f"{folder}/img{n}.bmp" for folder, count in LIVE_FOLDERS.items() for n in range(1, count + 1)]
    names = np.empty((1, len(paths)), dtype=object)
    dmos, orgs = np.zeros((1, len(paths))), np.ones((1, len(paths)), dtype=np.uint8)
    for index, path in enumerate(paths):
        row = scored.get(path)
        names[0, index] = row.reference if row else "womanhat.bmp"
        if row:
            dmos[0, index], orgs[0, index] = row.score, 0
            write_image(root / path)
            write_image(root / "refimgs" / row.reference)
    for folder in LIVE_FOLDERS:
        # Undistorted originals lie among the distorted images.
        write_image(root / folder / "img2.bmp")
    savemat(root / "dmos.mat", {"dmos": dmos, "orgs": orgs})
    savemat(
        root / "dmos_realigned.mat", {"dmos_new": dmos - 1, "dmos_std": np.full_like(dmos, 9.0), "orgs": orgs}
    )
    savemat(root / "refnames_all.mat", {"refnames_all": names})


def raid(root: Path) -> None:
    """RAID: two photographs, four distortions, and ten levels."""
    references = ("img_01", "img_02")
    for reference in references:
        write_image(root / "imagenes_bd" / f"{reference}.png")
    scale = ["Reference,Distorted,Curve_Value,Sigmas,Response,Estimated_MOS"]
    for prefix in ("rot", "trans", "scale", "gn"):
        for reference in references:
            for level in range(1, 11):
                name = f"{prefix}_{reference}_level_{level:02d}.png"
                write_image(root / "imagenes_bd" / name, colour=0 if level == 1 else level)
                scale.append(f"{reference}.png,{name},{level / 5},0.2,{level - 1},5.4")
    (root / "responses.csv").write_text("\n".join(scale) + "\n")
