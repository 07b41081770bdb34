"""Labelled pictures of the user's own, named by their folder: what a loader reads otherwise gives the same numbers."""

from hf_clipdyn.data.prompts import CIFAR


def test_class_folders_give_the_numbers_of_their_loader(evaluate, data, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(CIFAR) + "\n")
    folder = {"imagefolder": data["cifar10"]}
    loaded = evaluate("zero_shot/cifar10", revisions=["epoch-001"])
    own = evaluate("zero_shot/imagefolder", revisions=["epoch-001"], data_dirs=folder, templates=prompts)
    assert own["value"].tolist() == loaded["value"].tolist()
    assert own["data_fingerprint"].tolist() == loaded["data_fingerprint"].tolist()


def test_other_names_are_other_questions(evaluate, data, tmp_path):
    (tmp_path / "names.json").write_text('["thing one", "thing two"]')
    folder = {"imagefolder": data["cifar10"]}
    options = {"revisions": ["epoch-001"], "data_dirs": folder}
    plain = evaluate("zero_shot/imagefolder", **options)
    named = evaluate("zero_shot/imagefolder", **options, label_names=tmp_path / "names.json")
    assert set(plain["data_fingerprint"]).isdisjoint(named["data_fingerprint"])
