"""The registry of data sets: those of this package, of installed packages and of plug-ins."""

import json
import os
import subprocess
import sys

import pytest

FACES = '''
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.metadata import DatasetMetadata


class {class_name}(DataBuilder):
    """Pictures of faces."""

    {name}
    metadata = DatasetMetadata(
        kind="captions", title="Faces", rows={{}}, licence="none stated", may_redistribute=False, where="", citation=""
    )
    layout = ("*.png",)

    def rows(self, split):
        for image in self.files.images().values():
            yield {{"image": image, "image_id": image.stem, "captions": ["a face"]}}
'''


def _faces(folder, file, class_name="Faces", name=""):
    path = folder / file
    path.write_text(FACES.format(class_name=class_name, name=name and f"name = {name!r}"))
    return path


def _run(code, *paths):
    """What a fresh Python prints as JSON, with ``paths`` on its import path."""
    search = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("name", "called"), [("", "faces"), ("portraits", "portraits")])
def test_a_plug_in_adds_a_data_set_called_like_its_file_or_by_its_own_name(name, called, tmp_path):
    plug_in = _faces(tmp_path, "faces.py", name=name)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    code = f"""
import json
from PIL import Image
from hf_clipdyn.data import dataset_names, load_dataset
from hf_clipdyn.plugins import load_plugin
before = dataset_names()
load_plugin({str(plug_in)!r})
for number in range(3):
    Image.new("RGB", (8, 8)).save({str(photographs)!r} + f"/{{number}}.png")
rows = load_dataset({called!r}, data_dir={str(photographs)!r}, split="test", cache_dir={str(tmp_path / "cache")!r})
print(json.dumps([sorted(set(dataset_names()) - set(before)), rows["image_id"][:]]))
"""
    assert _run(code) == [[called], ["0", "1", "2"]]
    assert [path.name for path in (tmp_path / "cache" / "clipdyn-tables").iterdir() if path.is_dir()] == [
        called
    ]


def test_an_installed_package_adds_a_data_set_by_an_entry_point(tmp_path):
    _faces(tmp_path, "faces.py")
    declared = tmp_path / "face_data-1.0.dist-info"
    declared.mkdir()
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: face-data\nVersion: 1.0\n")
    (declared / "entry_points.txt").write_text("[hf_clipdyn.datasets]\nfaces = faces\n")
    code = (
        "import json; from hf_clipdyn.data import dataset_metadata; "
        "print(json.dumps(dataset_metadata('faces').title))"
    )
    assert _run(code, tmp_path) == "Faces"
