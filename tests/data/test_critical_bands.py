"""The tables of critical bands: the user's copy, and damaged ones."""

import numpy as np
import pytest

from hf_clipdyn.data.critical_bands import read_network_bands, read_people_bands
from hf_clipdyn.errors import DatasetError

NETWORKS = (
    "# a comment, with a comma\nnetwork,c_0_0,c_0_1,c_0.1_0,c_0.1_1,bw\n_n_,10,20,10,20,\nnet,9,18,2,3,1.5\n"
)
PEOPLE = "# a comment\nnoise_sd,f0,f1\n0,90,95\n0.1,50,20.5\n"


def test_the_users_copy_has_85_networks_and_people(real_data):
    networks = read_network_bands(real_data("critical-band"))
    assert len(networks.right) == len(networks.columns) == 85
    assert networks.levels.tolist() == [0, 0.02, 0.04, 0.08, 0.16]
    assert networks.shown.shape == (5, 7)
    assert networks.shown.sum() == 1050
    assert {"t0", "A", "mu", "sigma", "bw", "cf", "pns", "shape_share"} <= networks.columns["resnet50"].keys()
    levels, accuracy = read_people_bands(real_data("critical-band"))
    assert levels.tolist() == networks.levels.tolist()
    assert accuracy.shape == (5, 7)


def test_cells_are_sorted_by_noise_and_band(tmp_path):
    (tmp_path / "cbm_networks.csv").write_text(NETWORKS)
    (tmp_path / "cbm_human.csv").write_text(PEOPLE)
    networks = read_network_bands(tmp_path)
    assert networks.right["net"].tolist() == [[9, 18], [2, 3]]
    assert networks.columns == {"net": {"bw": 1.5}}
    levels, accuracy = read_people_bands(tmp_path)
    np.testing.assert_allclose(accuracy, [[0.9, 0.95], [0.5, 0.205]])
    assert levels.tolist() == [0, 0.1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "has no rows"),
        (NETWORKS.replace("_n_", "other"), "_n_"),
        (NETWORKS.replace("18", "21"), "more right answers than images"),
        (NETWORKS.replace("18", "many"), "could not convert"),
        (NETWORKS.replace("network", "model"), "network"),
    ],
)
def test_a_damaged_table_of_networks_is_refused(tmp_path, text, message):
    (tmp_path / "cbm_networks.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_network_bands(tmp_path)


@pytest.mark.parametrize("text", [PEOPLE.replace("95", "950"), PEOPLE.replace("noise_sd", "noise")])
def test_a_damaged_table_of_people_is_refused(tmp_path, text):
    (tmp_path / "cbm_human.csv").write_text(text)
    with pytest.raises(DatasetError, match="is not a table of percentages"):
        read_people_bands(tmp_path)


def test_a_folder_without_the_tables_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"cbm_networks\.csv"):
        read_network_bands(tmp_path)
