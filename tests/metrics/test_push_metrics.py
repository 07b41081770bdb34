"""Spaces for the metrics: complete, pushed once, and loadable where this package is not installed."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from hf_clipdyn.bundled import load_metric, metric_names, metric_path

NAMES = metric_names()


@pytest.fixture(scope="module")
def push_metrics(checkout) -> ModuleType:
    spec = importlib.util.spec_from_file_location("push_metrics", checkout / "scripts" / "push_metrics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_evaluate_fetches_all_modules_of_a_space(push_metrics, name, tmp_path):
    """Its own reader of imports is asked, which knows one import a line and follows none further."""
    from evaluate.loading import get_imports

    files = push_metrics.space_files(name, "org")
    main = tmp_path / f"{name}.py"
    main.write_bytes(files[f"{name}.py"])
    kinds = {(kind, imported) for kind, imported, _, _ in get_imports(str(main))}
    modules = {path.removesuffix(".py") for path in files if path.startswith("hf_clipdyn_")}
    assert {imported for kind, imported in kinds if kind == "internal"} == modules
    assert {imported for kind, imported in kinds if kind == "library"} <= {"datasets", "evaluate"}
    assert not [kind for kind, _ in kinds if kind == "external"]


def test_the_command_pushes_the_named_modules_once_and_removes_a_stale_file(push_metrics, hub, capsys):
    from huggingface_hub import HfApi

    def pushed():
        push_metrics.main(["--namespace", "org", "jnd_map", "two_afc"])
        return [line.split(" is at commit ") for line in capsys.readouterr().out.splitlines()]

    first = pushed()
    assert [name for name, _ in first] == ["org/jnd_map", "org/two_afc"]
    assert pushed() == first
    api, stale = HfApi(), {"path_or_fileobj": b"", "path_in_repo": "hf_clipdyn_old.py"}
    api.upload_file(**stale, repo_id="org/two_afc", repo_type="space")
    assert [one == other for one, other in zip(pushed(), first, strict=True)] == [True, False]
    held = set(api.list_repo_files("org/two_afc", repo_type="space")) - {".gitattributes"}
    assert held == set(push_metrics.space_files("two_afc", "org"))


def test_an_unknown_module_and_a_token_that_may_not_write_are_told_in_a_sentence(push_metrics, hub, capsys):
    with pytest.raises(SystemExit, match="2"):
        push_metrics.main(["--namespace", "org", "shape_bais"])
    assert "Did you mean 'shape_bias'?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="1"):
        push_metrics.main(["--namespace", "org", "--token", "hf_wrong", "jnd_map"])
    said = capsys.readouterr().err
    assert "Nothing was pushed to the space org/jnd_map" in said
    assert "hf_wrong" not in said


ELSEWHERE = """
import importlib.util, json, sys
assert importlib.util.find_spec("hf_clipdyn") is None
assert importlib.util.find_spec("torch") is None
import evaluate
calls = json.loads(sys.stdin.read())
print(json.dumps({name: evaluate.load(f"org/{name}").compute(**call) for name, call in calls.items()}))
"""


def environment(folder: Path, *packages: str) -> Path:
    """A new virtual environment with these packages only; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def clean_variables() -> dict[str, str]:
    """This process's environment without what points Python or the Hub's clients somewhere."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHON"))}


@pytest.mark.slow
def test_every_space_loads_in_an_environment_of_only_evaluate_numpy_and_scipy(
    push_metrics, hub, tmp_path, agree, example
):
    calls = {name: example(name) for name in NAMES}
    for name in NAMES:
        push_metrics.push(name, "org")
    done = subprocess.run(
        [str(environment(tmp_path / "environment", "evaluate", "numpy", "scipy")), "-c", ELSEWHERE],
        input=json.dumps(calls),
        env={**clean_variables(), **hub.env, "HF_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert list(calls) == list(results)
    for name, call in calls.items():
        agree(results[name], load_metric(name, cache_dir=str(tmp_path)).compute(**call))


VISITOR = """
import json, sys, time
from gradio_client import Client
for patience in range(60):
    try:
        client = Client(f"http://127.0.0.1:{sys.argv[1]}", verbose=False)
        break
    except Exception:
        time.sleep(1)
opens = next(one["props"]["value"] for one in client.config["components"] if one["type"] == "dataframe")
tables = (opens, json.loads(sys.stdin.read()))
print(json.dumps([len(opens["data"]), *(client.predict(table, api_name="/compute") for table in tables)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("two_afc", [0.1, 0.2, 0.0]),
        ("shape_bias", ["cat", "cat", "dog"]),
        ("saliency", ["[[0, 1]]", "[[1, 0]]"]),
    ],
)
def test_the_app_of_a_space_computes_its_example_and_what_a_visitor_types_in(
    push_metrics, tmp_path, gradio_python, name, row
):
    for path, content in push_metrics.space_files(name, "org").items():
        (tmp_path / path).write_bytes(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        **clean_variables(),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "home"),
    }
    app = subprocess.Popen([gradio_python, "app.py"], cwd=tmp_path, env=variables, stdout=subprocess.DEVNULL)
    try:
        table = {"headers": list(load_metric(name).features), "data": [row], "metadata": None}
        visit = [gradio_python, "-c", VISITOR, str(port)]
        done = subprocess.run(
            visit, input=json.dumps(table), env=variables, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        n_rows, example, typed = json.loads(done.stdout.splitlines()[-1])
        assert example["n"] + example.get("n_excluded", 0) == n_rows > 0
        assert typed["n"] == 1
    finally:
        app.terminate()
        app.wait()


@pytest.fixture(scope="module")
def gradio_python(tmp_path_factory) -> str:
    """An interpreter with what a Space of the cards' gradio version has."""
    card = (metric_path("two_afc") / "README.md").read_text(encoding="utf-8")
    version = yaml.safe_load(card.split("---\n")[1])["sdk_version"]
    folder = tmp_path_factory.mktemp("gradio")
    return str(environment(folder, f"gradio=={version}", "evaluate", "numpy", "scipy"))
