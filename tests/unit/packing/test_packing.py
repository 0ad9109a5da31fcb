"""What goes into a pack, and what stays out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.dockerfile import read_dockerfile

from func_py.errors import UserError
from func_py.packing import PackOptions, pack_app
from func_py.packing.dockerfile import dockerfile
from func_py.packing.ignored import Ignored, packed_files
from func_py.packing.requirements import merged_requirements


def make(root: Path, *names: str) -> Path:
    """Files below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}" if name.endswith(".json") else "")
    return root


@pytest.mark.parametrize(
    ("pattern", "path", "is_out"),
    [
        ("tests", "tests/unit/a.py", True),
        ("tests", "shop/tests/a.py", True),
        ("tests", "tests_of_shop.py", False),
        ("build/", "shop/build/a.py", True),
        ("build/", "build", False),
        ("/tests", "shop/tests/a.py", False),
        ("docs/*.md", "docs/a.md", True),
        ("docs/*.md", "docs/deep/a.md", False),
        ("docs/**/*.md", "docs/deep/down/a.md", True),
        (".git*", ".gitignore", True),
        ("*.map", "a/b.js.map", True),
        ("?.txt", "ab.txt", False),
        ("*.py[cod]", "shop/a.pyd", True),
        ("*.py[cod]", "shop/a.py", False),
        ("log[0-9].txt", "log7.txt", True),
        ("log[!0-9].txt", "log7.txt", False),
        ("log[!0-9].txt", "logs.txt", True),
        ("a[!b]c", "a/c", False),
        ("[].txt", "[].txt", True),
        ("[z-a].txt", "m.txt", False),
    ],
)
def test_patterns_mean_what_they_mean_in_a_gitignore(pattern: str, path: str, is_out: bool) -> None:
    assert (path in Ignored([pattern])) is is_out


def test_a_pattern_after_an_exclamation_mark_takes_files_back_in() -> None:
    ignored = Ignored(["*.txt", "# a comment", "", "!keep.txt"])

    assert "a.txt" in ignored
    assert "sub/keep.txt" not in ignored


def test_state_secrets_and_environments_never_belong_to_an_app(tmp_path: Path) -> None:
    make(
        tmp_path,
        "function_app.py",
        "local.settings.json",
        ".env",
        "shop/.env.production",
        ".func-py/TaskHub.db",
        "packed_before/.func-py-pack",
        "packed_before/site/function_app.py",
        ".git/HEAD",
        "shop/__pycache__/a.pyc",
        "env/pyvenv.cfg",
        "env/lib/a.py",
        "shop/a.py",
    )

    assert [f.relative_to(tmp_path).as_posix() for f in packed_files(tmp_path)] == [
        "function_app.py",
        "shop/a.py",
    ]


def test_a_link_to_a_folder_above_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/code.py").touch()
    (tmp_path / "lib/loop").symlink_to(tmp_path)
    (tmp_path / "also").symlink_to(tmp_path / "lib")

    found = [f.relative_to(tmp_path).as_posix() for f in packed_files(tmp_path)]
    assert found == ["also/code.py", "lib/code.py"]


def test_links_that_lead_nowhere_and_what_is_no_file_stay_out(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    (tmp_path / ".#a.py").symlink_to("me@here")
    os.mkfifo(tmp_path / "pipe")

    assert list(packed_files(tmp_path)) == [tmp_path / "a.py"]


def test_state_that_host_json_keeps_elsewhere_in_the_app_stays_out(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "function_app.py", "kept/keys/host.json", "kept.py")
    durable = {"storageProvider": {"path": "kept"}}
    host = {"version": "2.0", "extensions": {"durableTask": durable}}
    (root / "host.json").write_text(json.dumps(host))

    packed = pack_app(PackOptions(app_root=root, output=tmp_path / "out"), {})

    assert packed.files == 3
    assert not (tmp_path / "out" / "site" / "kept").exists()


def test_everybody_may_read_what_is_packed_whoever_packs(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "host.json", "function_app.py", "tools/convert.sh")
    (root / "tools/convert.sh").chmod(0o700)
    before = os.umask(0o077)
    try:
        pack_app(PackOptions(app_root=root, output=tmp_path / "out"), {})
    finally:
        os.umask(before)

    site = tmp_path / "out" / "site"
    modes = {f.name: oct(f.stat().st_mode & 0o777) for f in (site, *site.rglob("*"))}
    assert modes == {
        "site": "0o755",
        "host.json": "0o644",
        "function_app.py": "0o644",
        "tools": "0o755",
        "convert.sh": "0o755",
    }


def test_a_pack_without_host_json_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "host.json", "function_app.py")
    (root / ".funcignore").write_text("*.json\n")

    with pytest.raises(UserError, match=r"leaves out host\.json"):
        pack_app(PackOptions(app_root=root, output=tmp_path / "out"), {})


def test_of_a_root_with_several_apps_nothing_else_is_packed(tmp_path: Path) -> None:
    root = make(
        tmp_path / "root",
        "host.json",
        "notes.txt",
        "function_apps/a/function_app.py",
        "function_apps/b/Order/function.json",
        "function_apps/no_app/readme.md",
    )
    (root / "function_apps/a/requirements.txt").write_text("azure-functions\nflask\n")
    (root / "function_apps/b/requirements.txt").write_text("azure-functions\n")

    pack_app(PackOptions(app_root=root, output=tmp_path / "out"), {})

    site = tmp_path / "out" / "site"
    assert {f.relative_to(site).as_posix() for f in site.rglob("*") if f.is_file()} == {
        "host.json",
        "function_apps/a/function_app.py",
        "function_apps/a/requirements.txt",
        "function_apps/b/Order/function.json",
        "function_apps/b/requirements.txt",
    }
    assert (tmp_path / "out" / "requirements.txt").read_text() == "azure-functions\nflask\n"


def test_the_storage_provider_of_host_json_brings_its_extra(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "function_app.py")
    durable = {"storageProvider": {"type": "Postgres"}}
    host = {"version": "2.0", "extensions": {"durableTask": durable}}
    (root / "host.json").write_text(json.dumps(host))

    packed = pack_app(PackOptions(app_root=root, output=tmp_path / "out", docker=True), {})

    assert packed.extras == ("postgres",)
    assert ".whl[postgres]' -r" in (tmp_path / "out" / "Dockerfile").read_text()


def test_an_earlier_pack_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "host.json", "function_app.py", "old.py")
    output = root / "packed"
    pack_app(PackOptions(app_root=root, output=output), {})
    (root / "old.py").unlink()

    packed = pack_app(PackOptions(app_root=root, output=output), {})

    assert packed.files == 2
    assert not (output / "site" / "old.py").exists()
    with pytest.raises(UserError, match="holds something else"):
        pack_app(PackOptions(app_root=root, output=make(tmp_path / "mine", "thesis.txt")), {})
    with pytest.raises(UserError, match="would replace the app"):
        pack_app(PackOptions(app_root=root, output=tmp_path), {})


def test_an_output_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "host.json", "function_app.py")
    make(tmp_path, "file")

    with pytest.raises(UserError, match="file cannot be written: Not a directory"):
        pack_app(PackOptions(app_root=root, output=tmp_path / "file"), {})


def test_a_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no host\.json"):
        pack_app(PackOptions(app_root=tmp_path, output=tmp_path / "out"), {})
    with pytest.raises(UserError, match="No function app"):
        pack_app(PackOptions(app_root=make(tmp_path, "host.json"), output=tmp_path / "out"), {})


def test_an_unknown_extra_is_refused_with_those_there_are(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "host.json", "function_app.py")

    with pytest.raises(UserError, match=r"no extra 'oracle'; there are: .*postgres"):
        pack_app(PackOptions(app_root=root, output=tmp_path / "out", extras=("oracle",)), {})


def test_included_requirements_stand_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r base.txt\nflask \\\n  >=3\n# nothing\n")
    (tmp_path / "base.txt").write_text("azure-functions\n-r requirements.txt\n")

    merged = merged_requirements([tmp_path / "requirements.txt", tmp_path / "missing.txt"])

    assert merged.text == "azure-functions\nflask >=3\n"


def test_constraints_are_packed_and_the_requirements_name_them(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "host.json", "function_app.py")
    (root / "requirements.txt").write_text("--constraint=pins/all.txt\nflask  # web\n")
    make(root, "pins/all.txt")
    (root / "pins/all.txt").write_text("flask==3.1\n-c more.txt\n")
    (root / "pins/more.txt").write_text("jinja2==3.1\n")

    pack_app(PackOptions(app_root=root, output=tmp_path / "out"), {})

    assert (tmp_path / "out/requirements.txt").read_text() == "-c constraints.txt\nflask\n"
    assert (tmp_path / "out/constraints.txt").read_text() == "flask==3.1\njinja2==3.1\n"


def test_the_host_has_no_hash_so_hashed_requirements_come_first(tmp_path: Path) -> None:
    root = make(tmp_path / "app", "host.json", "function_app.py")
    (root / "requirements.txt").write_text("flask==3.1.0 \\\n    --hash=sha256:00\n")

    pack_app(PackOptions(app_root=root, output=tmp_path / "out", docker=True), {})

    assert (tmp_path / "out/requirements.txt").read_text() == "flask==3.1.0 --hash=sha256:00\n"
    install = read_dockerfile(tmp_path / "out/Dockerfile")[0].last("RUN")
    first, second = install.split(" && ")
    assert first.endswith("-r requirements.txt")
    assert second.endswith(".whl")


def test_an_image_for_sql_server_has_what_its_driver_needs() -> None:
    file = dockerfile(wheel="w.whl", extras=("mssql",), python="3.12", are_hashed=False)

    assert "libltdl7 libgssapi-krb5-2" in file


@pytest.mark.parametrize(
    "line",
    ["-e ../lib", "./lib", "lib @ file:///home/me/lib", "wheels/lib-1.whl", "--find-links=wheels"],
)
def test_a_requirement_on_this_machine_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"flask \\\n  >=3\n{line}\n")

    with pytest.raises(UserError, match=rf"requirements\.txt:3: '{line}'"):
        merged_requirements([tmp_path / "requirements.txt"])


@pytest.mark.parametrize(
    "line", ["lib @ https://example.org/lib.whl", "-r https://example.org/r.txt", "lib==1.0"]
)
def test_a_requirement_elsewhere_is_kept(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(line)

    assert merged_requirements([tmp_path / "requirements.txt"]).text == f"{line}\n"
