"""Clients that people use: the aws CLI, s3cmd, rclone, restic."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def plain(**more):
    """The environment without what it says of AWS."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | more


def run(*words, env, cwd=None):
    done = subprocess.run(
        list(map(str, words)), env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=300, check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    """A folder with files of many sizes."""
    folder = tmp_path / "tree"
    for at, size in enumerate([0, 1, 5000, 300_000, 12_000_000]):
        path = folder / f"level {at % 3}" / f"file-{at}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


def needs(program):
    """The program, which the test command installs."""
    assert shutil.which(program), f"install the Debian package {program}"
    return program


def test_the_aws_cli(cloud, name, tree, tmp_path):
    env = cloud.environment()
    run("aws", "s3", "mb", f"s3://{name}", env=env)
    assert name in run("aws", "s3", "ls", env=env)
    run("aws", "s3", "sync", tree, f"s3://{name}/tree", env=env)
    listed = run("aws", "s3", "ls", "--recursive", f"s3://{name}/", env=env)
    assert len(listed.splitlines()) == 5
    back = tmp_path / "back"
    run("aws", "s3", "sync", f"s3://{name}/tree", back, env=env)
    assert contents(back) == contents(tree)
    assert run("aws", "s3", "sync", tree, f"s3://{name}/tree", "--size-only", env=env) == ""
    run("aws", "s3", "cp", f"s3://{name}/tree", f"s3://{name}/copy", "--recursive", env=env)
    run("aws", "s3", "mv", f"s3://{name}/copy/level 0/file-0.bin", f"s3://{name}/moved", env=env)
    url = run("aws", "s3", "presign", f"s3://{name}/moved", env=env).strip()
    assert run("curl", "-sf", url, env=env) == "" if shutil.which("curl") else True
    run("aws", "s3", "rb", "--force", f"s3://{name}", env=env)
    assert name not in run("aws", "s3", "ls", env=env)


def test_s3cmd(cloud, name, tree, tmp_path):
    program = needs("s3cmd")
    host = cloud.endpoint.removeprefix("http://")
    config = tmp_path / "s3cfg"
    config.write_text(
        f"[default]\naccess_key = {cloud.key}\nsecret_key = {cloud.secret}\nhost_base = {host}\n"
        f"host_bucket = {host}\nuse_https = False\n"
    )

    def s3cmd(*words):
        return run(program, "-c", config, *words, env=plain())

    s3cmd("mb", f"s3://{name}")
    s3cmd("sync", f"{tree}/", f"s3://{name}/tree/")
    assert len(s3cmd("ls", "--recursive", f"s3://{name}").splitlines()) == 5
    back = tmp_path / "back"
    back.mkdir()
    s3cmd("sync", f"s3://{name}/tree/", f"{back}/")
    assert contents(back) == contents(tree)
    s3cmd("cp", f"s3://{name}/tree/level 1/file-1.bin", f"s3://{name}/copy")
    assert "copy" in s3cmd("info", f"s3://{name}/copy")
    s3cmd("del", "--recursive", "--force", f"s3://{name}")
    s3cmd("rb", f"s3://{name}")


def test_rclone(cloud, name, tree, tmp_path):
    program = needs("rclone")
    env = plain() | {
        "RCLONE_CONFIG": str(tmp_path / "none"), "RCLONE_CONFIG_FOG_TYPE": "s3",
        "RCLONE_CONFIG_FOG_PROVIDER": "Other", "RCLONE_CONFIG_FOG_ENDPOINT": cloud.endpoint,
        "RCLONE_CONFIG_FOG_ACCESS_KEY_ID": cloud.key,
        "RCLONE_CONFIG_FOG_SECRET_ACCESS_KEY": cloud.secret,
        "RCLONE_CONFIG_FOG_REGION": "us-east-1", "RCLONE_S3_UPLOAD_CUTOFF": "5M",
        "RCLONE_S3_CHUNK_SIZE": "5M",
        # The default, private, is refused where ACLs are off, as on AWS.
        "RCLONE_S3_ACL": "bucket-owner-full-control",
    }
    run(program, "mkdir", f"fog:{name}", env=env)
    run(program, "sync", tree, f"fog:{name}/tree", env=env)
    run(program, "check", "--download", tree, f"fog:{name}/tree", env=env)
    back = tmp_path / "back"
    run(program, "copy", f"fog:{name}/tree", back, env=env)
    assert contents(back) == contents(tree)
    (tree / "level 0" / "file-0.bin").write_text("changed")
    (tree / "level 1" / "file-1.bin").unlink()
    run(program, "sync", tree, f"fog:{name}/tree", env=env)
    run(program, "check", "--download", tree, f"fog:{name}/tree", env=env)
    run(program, "purge", f"fog:{name}", env=env)


def test_restic(cloud, name, tree, tmp_path):
    program = needs("restic")
    env = plain() | {
        "AWS_ACCESS_KEY_ID": cloud.key, "AWS_SECRET_ACCESS_KEY": cloud.secret,
        "AWS_DEFAULT_REGION": "us-east-1", "RESTIC_PASSWORD": "secret",
        "RESTIC_REPOSITORY": f"s3:{cloud.endpoint}/{name}/backup",
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }
    run(program, "init", env=env)
    run(program, "backup", ".", env=env, cwd=tree)
    first = contents(tree)
    (tree / "level 2" / "file-2.bin").write_bytes(b"changed")
    run(program, "backup", ".", env=env, cwd=tree)
    run(program, "check", "--read-data", env=env)
    snapshots = run(program, "snapshots", "--compact", "-q", env=env).split()
    ids = [word for word in snapshots if len(word) == 8 and all(c in "0123456789abcdef" for c in word)]
    assert len(ids) == 2
    back = tmp_path / "back"
    run(program, "restore", ids[0], "--target", back, env=env)
    assert contents(back) == first
    run(program, "forget", "--keep-last", "1", "--prune", env=env)
    run(program, "check", env=env)
