"""The Hub's HTTP interface, as far as publishing, listing, reading and collecting need it.

Each function answers one kind of request; the kind's name is what faults are planted on.
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml
from hub_server.state import Commit, File, Repo, State, is_large
from huggingface_hub.repocard_data import model_index_to_eval_results

KINDS = ("models", "datasets", "spaces")
SDKS = ("gradio", "streamlit", "docker", "static")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    role: str | None
    endpoint: str

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Response:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> "Response":
        return cls(
            status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
        )


def failure(status: int, message: str, code: str | None = None) -> Response:
    """An error as the Hub words it: in the body and, for the client's exception types, in headers."""
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Response.json({"error": message}, status, headers)


class NotPossible(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


Answer = Callable[[State, Request, "re.Match[str]"], Response]
ROUTES: list[tuple[str, str, "re.Pattern[str]", Answer, bool]] = []


def route(kind: str, method: str, pattern: str, *, writes: bool = False) -> Callable[[Answer], Answer]:
    def add(answer: Answer) -> Answer:
        ROUTES.append((kind, method, re.compile(pattern), answer, writes))
        return answer

    return add


_REPO = r"(?P<kind>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"
_FILES = r"/(?:(?P<kind>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)"


def _repo(state: State, match: "re.Match[str]", request: Request) -> Repo:
    repo = state.repos.get((match["kind"] or "models", match["id"]))
    if repo is None or (repo.private and request.role is None):
        raise NotPossible(failure(404, "Repository not found", "RepoNotFound"))
    return repo


def _commit(repo: Repo, revision: str) -> Commit:
    commit = repo.resolve(unquote(revision))
    if commit is None:
        raise NotPossible(failure(404, f"Invalid rev id: {unquote(revision)}", "RevisionNotFound"))
    return commit


def _file_json(path: str, file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.sha256 is not None:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 130}
    return entry


def _date(commit: Commit) -> str:
    return commit.date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _card_data(readme: str) -> dict[str, Any]:
    head = re.match(r"\s*---\s*\n(.*?)\n---", readme, re.DOTALL)
    return yaml.safe_load(head[1] if head else "") or {}


# --- who is asking, and repositories ------------------------------------------------------------------


@route("whoami", "GET", r"/api/whoami-v2")
def whoami(state: State, request: Request, match: "re.Match[str]") -> Response:
    if request.role is None:
        return failure(401, "Invalid username or password.")
    token = {"displayName": "test", "role": request.role}
    return Response.json(
        {"type": "user", "name": "me", "orgs": [], "auth": {"type": "access_token", "accessToken": token}}
    )


@route("create-repo", "POST", r"/api/repos/create", writes=True)
def create_repo(state: State, request: Request, match: "re.Match[str]") -> Response:
    wish = request.json()
    kind = (wish.get("type") or "model") + "s"
    repo_id = f"{wish.get('organization') or 'me'}/{wish['name']}"
    prefix = "" if kind == "models" else f"{kind}/"
    answer = {"url": f"{request.endpoint}/{prefix}{repo_id}", "name": repo_id, "id": repo_id}
    if (kind, repo_id) in state.repos:
        return Response.json(answer | {"error": "You already created this repo"}, 409)
    private = wish.get("visibility") == "private" or bool(wish.get("private"))
    if kind == "spaces" and wish.get("sdk") not in SDKS:
        return failure(400, f"Invalid sdk: {wish.get('sdk')}")
    state.repos[kind, repo_id] = Repo(
        kind, repo_id, private, first=_first_files(wish) if kind == "spaces" else {}
    )
    return Response.json(answer)


def _first_files(wish: dict[str, Any]) -> dict[str, File]:
    """What the Hub puts into the first commit of a Space."""
    readme = (
        f"---\ntitle: {wish['name']}\nemoji: 🐠\ncolorFrom: red\ncolorTo: blue\nsdk: {wish['sdk']}\n"
        "pinned: false\n---\n\nCheck out the configuration reference at "
        "https://huggingface.co/docs/hub/spaces-config-reference\n"
    )
    files = {"README.md": File.small(readme.encode())}
    if wish["sdk"] == "static":
        files["index.html"] = File.small(b"<h1>Welcome to your static Space!</h1>\n")
        files["style.css"] = File.small(b"body { padding: 2rem; }\n")
    return files


@route("auth-check", "GET", rf"/api/{_REPO}/auth-check(?P<write>/write)?")
def auth_check(state: State, request: Request, match: "re.Match[str]") -> Response:
    _repo(state, match, request)
    if match["write"] and request.role != "write":
        return failure(403, "You don't have the rights to write to this repository")
    return Response.json({})


@route("validate-yaml", "POST", r"/api/validate-yaml")
def validate_yaml(state: State, request: Request, match: "re.Match[str]") -> Response:
    wish = request.json()
    try:
        errors = _card_errors(_card_data(wish["content"]), wish.get("repoType") or "model")
    except yaml.YAMLError as error:
        errors = [str(error)]
    said = {"errors": [{"message": error} for error in errors], "warnings": []}
    return Response.json(said, 400 if errors else 200)


def _shown_card_data(readme: File | None) -> dict[str, Any]:
    """The card's data as the Hub shows them; none of what is no YAML mapping or not UTF-8."""
    try:
        data = _card_data((readme.content or b"").decode()) if readme else {}
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return data if isinstance(data, dict) else {}


def _card_errors(data: dict[str, Any], kind: str) -> list[str]:
    """What the Hub verifies when a README.md is pushed, as far as its documentation says."""
    if kind == "space":
        wrong = [name for name in ("colorFrom", "colorTo") if data.get(name, "red") not in COLOURS]
        return [f'"{name}" must be one of {list(COLOURS)}' for name in wrong] + (
            [] if data.get("sdk") in SDKS else ['"sdk" must be one of [gradio, streamlit, docker, static]']
        )
    if kind != "model" or "model-index" not in data:
        return []
    try:
        model_index_to_eval_results(data["model-index"])
    except (KeyError, TypeError, ValueError) as error:
        return [f'"model-index" is invalid: {error!r}']
    return []


@route("info", "GET", rf"/api/{_REPO}(?:/revision/(?P<revision>[^/]+))?")
def info(state: State, request: Request, match: "re.Match[str]") -> Response:
    repo = _repo(state, match, request)
    commit = _commit(repo, match["revision"] or "main")
    readme = commit.tree.get("README.md")
    return Response.json(
        {
            "id": repo.id,
            "sha": commit.oid,
            "lastModified": _date(commit),
            "private": repo.private,
            "cardData": _shown_card_data(readme),
            "siblings": [{"rfilename": path} for path in commit.tree],
        }
    )


@route("refs", "GET", rf"/api/{_REPO}/refs")
def refs(state: State, request: Request, match: "re.Match[str]") -> Response:
    repo = _repo(state, match, request)

    def listed(names: dict[str, str], prefix: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"{prefix}/{name}", "targetCommit": oid} for name, oid in names.items()]

    branches, tags = listed(repo.branches, "refs/heads"), listed(repo.tags, "refs/tags")
    return Response.json({"branches": branches, "converts": [], "tags": tags, "pullRequests": []})


@route("commits", "GET", rf"/api/{_REPO}/commits/(?P<revision>[^/]+)")
def commits(state: State, request: Request, match: "re.Match[str]") -> Response:
    repo = _repo(state, match, request)
    same = {"message": "", "authors": [{"user": "me"}]}
    history = repo.history(_commit(repo, match["revision"]).oid)
    return Response.json([{"id": one.oid, "title": one.title, "date": _date(one)} | same for one in history])


# --- reading -------------------------------------------------------------------------------------------


@route("tree", "GET", rf"/api/{_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?")
def tree(state: State, request: Request, match: "re.Match[str]") -> Response:
    commit = _commit(_repo(state, match, request), match["revision"])
    root = unquote(match["path"] or "").strip("/")
    prefix = f"{root}/" if root else ""
    recursive = request.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    entries, folders = [], set()
    for path, file in commit.tree.items():
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        depths = range(1, len(parts)) if recursive else range(1, min(2, len(parts)))
        folders |= {prefix + "/".join(parts[:depth]) for depth in depths}
        if recursive or len(parts) == 1:
            entries.append(_file_json(path, file))
    if root and not entries and not folders:
        return failure(404, f"{root} does not exist", "EntryNotFound")
    entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)]
    return Response.json(entries)


@route("paths-info", "POST", rf"/api/{_REPO}/paths-info/(?P<revision>[^/]+)")
def paths_info(state: State, request: Request, match: "re.Match[str]") -> Response:
    commit = _commit(_repo(state, match, request), match["revision"])
    if request.headers.get("content-type", "").startswith("application/json"):
        paths = request.json()["paths"]
    else:
        paths = parse_qs(request.body.decode()).get("paths", [])
    found = []
    for path in paths:
        if path in commit.tree:
            found.append(_file_json(path, commit.tree[path]))
        elif any(other.startswith(f"{path}/") for other in commit.tree):
            found.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": path})
    return Response.json(found)


def _resolve(state: State, request: Request, match: "re.Match[str]") -> Response:
    commit = _commit(_repo(state, match, request), match["revision"])
    path = unquote(match["path"])
    file = commit.tree.get(path)
    if file is None:
        response = failure(404, "Entry not found", "EntryNotFound")
        response.headers["X-Repo-Commit"] = commit.oid
        return response
    content = state.content(file)
    headers = {
        "ETag": f'"{file.etag}"',
        "X-Repo-Commit": commit.oid,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    if file.sha256 is not None:
        headers |= {"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return Response(200, content, headers)
    first, last = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
    if first > last:
        return Response(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(206, content[first : last + 1], headers)


route("resolve-head", "HEAD", rf"{_FILES}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")(_resolve)
route("resolve-get", "GET", rf"{_FILES}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")(_resolve)


# --- writing -------------------------------------------------------------------------------------------


@route("preupload", "POST", rf"/api/{_REPO}/preupload/(?P<revision>[^/]+)", writes=True)
def preupload(state: State, request: Request, match: "re.Match[str]") -> Response:
    commit = _commit(_repo(state, match, request), match["revision"])
    files = []
    for wish in request.json()["files"]:
        held = commit.tree.get(wish["path"])
        mode = "lfs" if is_large(wish["path"], wish["size"]) else "regular"
        oid = held.etag if held is not None else None
        files.append({"path": wish["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Response.json({"files": files, "commitOid": commit.oid})


@route("lfs-batch", "POST", rf"{_FILES}\.git/info/lfs/objects/batch", writes=True)
def lfs_batch(state: State, request: Request, match: "re.Match[str]") -> Response:
    _repo(state, match, request)
    objects = []
    for wish in request.json()["objects"]:
        entry: dict[str, Any] = {"oid": wish["oid"], "size": wish["size"]}
        if wish["oid"] not in state.large:
            url = f"{request.endpoint}/storage/{wish['oid']}"
            entry["actions"] = {"upload": {"href": url}, "verify": {"href": f"{request.endpoint}/verify"}}
        objects.append(entry)
    return Response.json({"transfer": "basic", "objects": objects})


@route("lfs-put", "PUT", r"/storage/(?P<sha256>[0-9a-f]{64})")
def lfs_put(state: State, request: Request, match: "re.Match[str]") -> Response:
    if sha256(request.body).hexdigest() != match["sha256"]:
        return failure(400, "The provided content does not match its hash")
    state.large[match["sha256"]] = request.body
    return Response(200, b"", {"ETag": f'"{match["sha256"][:32]}"'})


@route("lfs-verify", "POST", r"/verify", writes=True)
def lfs_verify(state: State, request: Request, match: "re.Match[str]") -> Response:
    held = state.large.get(request.json()["oid"])
    if held is None or len(held) != request.json()["size"]:
        return failure(404, "Object not found")
    return Response.json({})


@route("commit", "POST", rf"/api/{_REPO}/commit/(?P<revision>[^/]+)", writes=True)
def commit(state: State, request: Request, match: "re.Match[str]") -> Response:
    repo = _repo(state, match, request)
    branch = unquote(match["revision"])
    head = _commit(repo, match["revision"])
    files = dict(head.tree)
    title = ""
    for line in request.body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "header":
            title = value["summary"]
            if value.get("parentCommit", head.oid) != head.oid:
                return failure(412, "A commit has happened since. Please refresh and try again.")
        elif item["key"] == "file":
            files[value["path"]] = File.small(base64.b64decode(value["content"]))
        elif item["key"] == "lfsFile":
            if value["oid"] not in state.large:
                return failure(400, f"The file {value['path']} was not uploaded")
            files[value["path"]] = File.large(value["oid"], len(state.large[value["oid"]]))
        elif item["key"] == "deletedFile" and files.pop(value["path"], None) is None:
            return failure(404, "A file with this name doesn't exist", "EntryNotFound")
    made = repo.commit(branch, title, files)
    prefix = "" if repo.kind == "models" else f"{repo.kind}/"
    url = f"{request.endpoint}/{prefix}{repo.id}/commit/{made.oid}"
    return Response.json({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


@route("create-branch", "POST", rf"/api/{_REPO}/branch/(?P<branch>[^/]+)", writes=True)
def create_branch(state: State, request: Request, match: "re.Match[str]") -> Response:
    repo, branch = _repo(state, match, request), unquote(match["branch"])
    if branch in repo.branches:
        return failure(409, f"Reference already exists: refs/heads/{branch}")
    start = request.json().get("startingPoint", "main") if request.body else "main"
    repo.branches[branch] = _commit(repo, start).oid
    return Response.json({})


@route("delete-branch", "DELETE", rf"/api/{_REPO}/branch/(?P<branch>[^/]+)", writes=True)
def delete_branch(state: State, request: Request, match: "re.Match[str]") -> Response:
    repo, branch = _repo(state, match, request), unquote(match["branch"])
    if repo.branches.pop(branch, None) is None:
        return failure(404, "Reference does not exist", "RevisionNotFound")
    return Response.json({})


@route("create-tag", "POST", rf"/api/{_REPO}/tag/(?P<revision>[^/]+)", writes=True)
def create_tag(state: State, request: Request, match: "re.Match[str]") -> Response:
    repo, tag = _repo(state, match, request), request.json()["tag"]
    if tag in repo.tags:
        return failure(409, f"Tag reference exists already: {tag}")
    repo.tags[tag] = _commit(repo, match["revision"]).oid
    return Response.json({})
