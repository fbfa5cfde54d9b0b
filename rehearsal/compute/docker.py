"""`python -m rehearsal.compute.docker`: the part of the docker command line that the CDK CLI uses, for process images.

`CDK_DOCKER` points to a script that runs this. With a container engine (its program in `REHEARSAL_ENGINE`) images are
built there too, and what it has not built is not found. Images go to the store in `REHEARSAL_IMAGES` (default
`.run/images` of the checkout); `push` registers them with the ECR that boto3 finds through the caller's `AWS_*`
variables. Exit codes are docker's: 1 for a failure, 125 for a command line that is not understood.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rehearsal.compute.engine import PROGRAM_VARIABLE, Engine
from rehearsal.compute.errors import ImageError
from rehearsal.compute.images import Image, ImageStore
from rehearsal.emulator.registry_tokens import credentials_of

_CHECKOUT = Path(__file__).parents[2]
_ECR_REFERENCE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<repository>[^:]+):(?P<tag>[^:/]+)"
)
_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_USAGE_ERROR = 125


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one docker command and return its exit code."""
    options = _parser().parse_args(arguments)
    store = ImageStore(Path(os.environ.get("REHEARSAL_IMAGES", _CHECKOUT / ".run" / "images")))
    command: Callable[[ImageStore, argparse.Namespace], int] = options.run
    try:
        return command(store, options)
    except ImageError as error:
        sys.stderr.write(f"{error}\n")
        return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it never returns, like its base
        sys.stderr.write(f"rehearsal docker: {message} (only what the CDK CLI calls is supported)\n")
        sys.exit(_USAGE_ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="docker", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path.home() / ".docker", help="where logins are kept")
    commands = parser.add_subparsers(required=True, parser_class=_Parser)

    build = commands.add_parser("build")
    build.add_argument("context", type=Path)
    build.add_argument("--tag", "-t", action="append", default=[])
    build.add_argument("--file", "-f", type=Path)
    build.add_argument("--target")
    build.add_argument("--build-arg", action="append", default=[])
    for ignored in ("--platform", "--network", "--cache-from", "--cache-to", "--output", "--progress"):
        build.add_argument(ignored, action="append")
    build.add_argument("--no-cache", action="store_true")
    build.set_defaults(run=_build)

    inspect = commands.add_parser("inspect")
    inspect.add_argument("reference")
    inspect.set_defaults(run=_inspect)

    images = commands.add_parser("images")
    images.add_argument("--format")
    images.add_argument("--filter", default="reference=*")
    images.set_defaults(run=_images)

    login = commands.add_parser("login")
    login.add_argument("registry", nargs="?")
    login.add_argument("--username", "-u")
    login.add_argument("--password-stdin", action="store_true")
    login.set_defaults(run=_login)

    tag = commands.add_parser("tag")
    tag.add_argument("source")
    tag.add_argument("target")
    tag.set_defaults(run=_tag)

    push = commands.add_parser("push")
    push.add_argument("reference")
    push.set_defaults(run=_push)
    return parser


def _engine() -> Engine | None:
    program = os.environ.get(PROGRAM_VARIABLE, "")
    return Engine(program=program) if program else None


def _build(store: ImageStore, options: argparse.Namespace) -> int:
    context: Path = options.context.resolve()
    dockerfile: Path | None = context / options.file if options.file else None
    arguments = dict(pair.partition("=")[::2] for pair in options.build_arg)
    engine, engine_id = _engine(), ""
    if engine is not None:
        engine_id = engine.build(context, dockerfile=dockerfile, target=options.target, arguments=arguments)
    image = store.build(
        context,
        tags=options.tag,
        dockerfile=dockerfile,
        target=options.target,
        arguments=arguments,
        engine_id=engine_id,
    )
    sys.stdout.write(f"{image.digest}\n")
    return 0


def _inspect(store: ImageStore, options: argparse.Namespace) -> int:
    image = store.find(options.reference)
    if image is None or (_engine() is not None) != bool(image.engine_id):
        sys.stderr.write(f"Error: No such object: {options.reference}\n")
        return 1
    config = image.config
    description = {
        "Id": image.digest,
        "RepoTags": [options.reference],
        "Config": {
            "Env": [f"{name}={value}" for name, value in config.environment.items()],
            "WorkingDir": config.workdir,
            "User": config.user,
            "Entrypoint": list(config.entrypoint) or None,
            "Cmd": list(config.command) or None,
        },
    }
    sys.stdout.write(json.dumps([description], indent=2) + "\n")
    return 0


def _images(store: ImageStore, options: argparse.Namespace) -> int:
    """List `repository:tag` lines, the one format that the CDK CLI asks for."""
    pattern = options.filter.removeprefix("reference=")
    for reference in store.references(pattern):
        sys.stdout.write(f"{reference}\n")
    return 0


def _login(_store: ImageStore, options: argparse.Namespace) -> int:
    """Keep the password: a registry token of the emulator holds the credentials of whoever asked for it."""
    if options.password_stdin:
        file = _login_file(options)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(sys.stdin.read(), encoding="utf-8")
    sys.stdout.write("Login Succeeded\n")
    return 0


def _tag(store: ImageStore, options: argparse.Namespace) -> int:
    store.tag(options.source, options.target)
    return 0


def _push(store: ImageStore, options: argparse.Namespace) -> int:
    reference: str = options.reference
    parts = _ECR_REFERENCE.fullmatch(reference)
    if parts is None:
        raise ImageError(f"{reference} is not in an ECR repository: nothing else can be pushed to")
    image = store.find(reference)
    if image is None:
        raise ImageError(f"An image does not exist locally with the tag: {reference}")
    file = _login_file(options)
    signer = credentials_of(file.read_text(encoding="utf-8")) if file.is_file() else {}
    _register(image, signer=signer, **parts.groupdict())
    store.mark_pushed(reference)
    sys.stdout.write(f"{parts['tag']}: digest: {image.digest}\n")
    return 0


def _login_file(options: argparse.Namespace) -> Path:
    folder: Path = options.config
    return folder / "rehearsal-login"


def _register(image: Image, *, signer: Mapping[str, str], account: str, region: str, repository: str, tag: str) -> None:
    """Upload one layer, which names the image, and the manifest: the calls of a push, by whoever logged in."""
    import boto3.session
    from botocore.exceptions import BotoCoreError, ClientError

    layer = image.digest.encode()
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 0, "digest": image.digest}
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST_TYPE, "config": config, "layers": []}
    try:
        session = boto3.session.Session(
            aws_access_key_id=signer.get("aws_access_key_id"),
            aws_secret_access_key=signer.get("aws_secret_access_key"),
            aws_session_token=signer.get("aws_session_token"),
        )
        ecr = session.client("ecr", region_name=region)
        ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
        upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload,
            partFirstByte=0,
            partLastByte=len(layer) - 1,
            layerPartBlob=layer,
        )
        ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[digest])
        ecr.put_image(
            registryId=account,
            repositoryName=repository,
            imageTag=tag,
            imageManifest=json.dumps(manifest),
            imageManifestMediaType=_MANIFEST_TYPE,
        )
    except (BotoCoreError, ClientError) as error:
        raise ImageError(f"push to {repository}:{tag} failed: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
