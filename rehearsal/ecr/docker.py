"""`python -m rehearsal.ecr.docker`: the part of docker's command line that the CDK CLI uses, on the image store.

It is the `docker` on the PATH of builds. With a container engine (its program is in `REHEARSAL_ENGINE`) images are
built there too, and only images that it built are found. The store is the folder in `REHEARSAL_IMAGES`; `push` puts an
image into the ECR of the caller's `AWS_*` variables. Exit codes are docker's: 1 for a failure, 125 for an unknown
command line.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rehearsal.account.registry_tokens import decode_password
from rehearsal.ecr.container_engine import PROGRAM_VARIABLE, ContainerEngine
from rehearsal.ecr.images import Image, ImageStore
from rehearsal.host.errors import ImageError

#: Passes the folder of the image store.
IMAGES_VARIABLE = "REHEARSAL_IMAGES"

_ECR_REFERENCE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<repository>[^:]+):(?P<tag>[^:/]+)"
)
_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_USAGE_ERROR = 125


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one docker command and return its exit code."""
    options = _parser().parse_args(arguments)
    store = ImageStore(Path(os.environ[IMAGES_VARIABLE]))
    command: Callable[[ImageStore, argparse.Namespace], int] = options.run
    try:
        return command(store, options)
    except ImageError as error:
        sys.stderr.write(f"{error}\n")
        return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return, like that of the base class
        sys.stderr.write(f"rehearsal docker: {message} (only the commands of the CDK CLI are supported)\n")
        sys.exit(_USAGE_ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="docker", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path.home() / ".docker", help="folder of the logins")
    commands = parser.add_subparsers(required=True, parser_class=_Parser)

    build = commands.add_parser("build")
    build.add_argument("context", type=Path)
    build.add_argument("--tag", "-t", action="append", default=[])
    build.add_argument("--platform", help="ignored: images are built for this machine")
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


def _engine() -> ContainerEngine | None:
    program = os.environ.get(PROGRAM_VARIABLE, "")
    return ContainerEngine(program=program) if program else None


def _build(store: ImageStore, options: argparse.Namespace) -> int:
    context: Path = options.context.resolve()
    engine = _engine()
    image = store.build(context, tags=options.tag, engine_id=engine.build(context) if engine else "")
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
            "Cmd": list(config.command) or None,
        },
    }
    sys.stdout.write(json.dumps([description], indent=2) + "\n")
    return 0


def _images(store: ImageStore, options: argparse.Namespace) -> int:
    """List `repository:tag` lines, the only format that the CDK CLI uses."""
    pattern = options.filter.removeprefix("reference=")
    for reference in store.references(pattern):
        sys.stdout.write(f"{reference}\n")
    return 0


def _login(_store: ImageStore, options: argparse.Namespace) -> int:
    """Store the password, which holds the credentials of whoever asked for the registry token."""
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
        raise ImageError(f"{reference} is not in an ECR repository, and other registries are not supported")
    image = store.find(reference)
    if image is None:
        raise ImageError(f"An image does not exist locally with the tag: {reference}")
    file = _login_file(options)
    signer = decode_password(file.read_text(encoding="utf-8")) if file.is_file() else {}
    _register(image, signer=signer, **parts.groupdict())
    store.mark_pushed(reference)
    sys.stdout.write(f"{parts['tag']}: digest: {image.digest}\n")
    return 0


def _login_file(options: argparse.Namespace) -> Path:
    folder: Path = options.config
    return folder / "rehearsal-login"


def _register(image: Image, *, signer: Mapping[str, str], account: str, region: str, repository: str, tag: str) -> None:
    """Make the calls of a push as whoever logged in: one layer, which contains the image's digest, and a manifest."""
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
