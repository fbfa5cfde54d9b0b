"""A build sees the build image's tools and nothing of the person who rehearses."""

from pathlib import Path

from rehearsal.runner.emulated_account import split_secret_reference
from rehearsal.runner.toolchain import Toolchain


def environment(tmp_path: Path, **base: str) -> dict[str, str]:
    toolchain = Toolchain(folder=tmp_path / "toolchain", checkout=tmp_path, images=tmp_path / "images")
    return toolchain.environment(home=tmp_path / "home", trust=tmp_path / "trust.pem", base=base)


def test_a_build_sees_no_credential_of_the_caller(tmp_path: Path) -> None:
    seen = environment(tmp_path, AWS_SECRET_ACCESS_KEY="x", GITHUB_TOKEN="x", HOME="/home/person", VIRTUAL_ENV="x")
    assert not {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "VIRTUAL_ENV"} & seen.keys()
    assert seen["HOME"] == str(tmp_path / "home")


def test_a_build_reaches_packages_as_the_caller_does(tmp_path: Path) -> None:
    seen = environment(tmp_path, HTTPS_PROXY="http://127.0.0.1:3128", PIP_INDEX_URL="https://packages.example.com")
    assert seen["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert seen["PIP_INDEX_URL"] == "https://packages.example.com"


def test_the_checkouts_own_tools_are_not_on_the_builds_path(tmp_path: Path) -> None:
    path = environment(tmp_path, PATH=f"{tmp_path}/.venv/bin:/usr/bin")["PATH"].split(":")
    assert f"{tmp_path}/.venv/bin" not in path
    assert path[0] == str(tmp_path / "toolchain" / "bin")
    assert path[-1] == "/usr/bin"


def test_everything_a_build_trusts_is_one_file(tmp_path: Path) -> None:
    seen = environment(tmp_path)
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "CURL_CA_BUNDLE")
    assert {seen[name] for name in names} == {str(tmp_path / "trust.pem")}


def test_secret_references_are_read_as_codebuild_writes_them() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:smoke-AbCdEf"
    assert split_secret_reference("smoke:id") == ("smoke", "id")
    assert split_secret_reference("smoke") == ("smoke", "")
    assert split_secret_reference(f"{arn}:id") == (arn, "id")
    assert split_secret_reference(arn) == (arn, "")
