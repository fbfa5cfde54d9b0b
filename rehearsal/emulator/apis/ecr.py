"""Image scans, which the emulator's ECR lacks.

Nothing is scanned: the result of a scan is in a file, without which there are no findings.
Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_StartImageScan.html
"""

import json
import threading
from collections import Counter
from pathlib import Path

from botocore.exceptions import ClientError

from rehearsal.account import sessions
from rehearsal.emulator.apis.base import ApiError, Application, Json, JsonApi
from rehearsal.emulator.authorization.authority import Authority


def _repository(request: Json) -> str:
    """Return the ARN of the repository in a request; for the registry itself, `*`."""
    name = request.get("repositoryName")
    return f"arn:aws:ecr:{sessions.REGION}:{sessions.ACCOUNT_ID}:repository/{name}" if name else "*"


class ImageScanApi(JsonApi):
    """Scans of images, and the scanning configuration of the registry.

    `<findings>/<image tag>.json` is the result of a scan: `{"status": "FAILED"}`, or
    `{"findings": [{"name": "CVE-2026-0001", "severity": "CRITICAL"}]}`. `<findings>/registry.json` is the configuration
    of the registry: with `{"scanType": "ENHANCED"}` no scan can be started, and results have `enhancedFindings`.
    """

    def __init__(self, application: Application, *, port: int, findings: Path, authority: Authority) -> None:
        super().__init__(
            application,
            target="AmazonEC2ContainerRegistry_V20150921",
            service="ecr",
            resource=_repository,
            authority=authority,
            operations={
                "StartImageScan": self._start,
                "DescribeImageScanFindings": self._describe,
                "GetRegistryScanningConfiguration": self._configuration,
            },
        )
        self._port = port
        self._findings = findings
        self._lock = threading.Lock()
        self._polls: dict[tuple[str, str], int] = {}

    def _image(self, request: Json) -> Json:
        """Return the image as ECR describes it, or raise ECR's error."""
        try:
            found = (
                sessions.open_session(self._port)
                .client("ecr")
                .describe_images(repositoryName=request["repositoryName"], imageIds=[request["imageId"]])
            )
        except ClientError as error:
            raise ApiError(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
        return dict(found["imageDetails"][0])

    def _configuration(self, _: Json) -> Json:
        file = self._findings / "registry.json"
        planted = json.loads(file.read_text()) if file.exists() else {}
        return {
            "registryId": sessions.ACCOUNT_ID,
            "scanningConfiguration": {"scanType": "BASIC", "rules": [], **planted},
        }

    def _is_enhanced(self) -> bool:
        return bool(self._configuration({})["scanningConfiguration"]["scanType"] == "ENHANCED")

    def _start(self, request: Json) -> Json:
        image = self._image(request)
        if self._is_enhanced():
            raise ApiError("ValidationException", "This feature is disabled")
        key = (image["repositoryName"], image["imageDigest"])
        with self._lock:
            if key in self._polls:
                raise ApiError("LimitExceededException", "The scan quota of once in 24 hours per image is exceeded")
            self._polls[key] = 0
        return self._response(image, request, {"status": "IN_PROGRESS"})

    def _describe(self, request: Json) -> Json:
        image = self._image(request)
        key = (image["repositoryName"], image["imageDigest"])
        with self._lock:
            if self._is_enhanced():
                self._polls.setdefault(key, 0)
            if key not in self._polls:
                reason = f"Image scan does not exist for the image with digest {image['imageDigest']}"
                raise ApiError("ScanNotFoundException", reason)
            self._polls[key] += 1
            first = self._polls[key] == 1
        if first:  # a scan takes some time
            return self._response(image, request, {"status": "IN_PROGRESS"})
        planted = self._planted(image)
        kind, end = ("enhancedFindings", "ACTIVE") if self._is_enhanced() else ("findings", "COMPLETE")
        findings = planted.get(kind, [])
        counts = Counter(finding["severity"] for finding in findings)
        response = self._response(image, request, {"status": planted.get("status", end)})
        return response | {"imageScanFindings": {kind: findings, "findingSeverityCounts": dict(counts)}}

    def _planted(self, image: Json) -> Json:
        files = (self._findings / f"{tag}.json" for tag in image.get("imageTags", ()))
        return next((dict(json.loads(file.read_text())) for file in files if file.exists()), {})

    @staticmethod
    def _response(image: Json, request: Json, status: Json) -> Json:
        return {
            "registryId": image["registryId"],
            "repositoryName": image["repositoryName"],
            "imageId": {**request["imageId"], "imageDigest": image["imageDigest"]},
            "imageScanStatus": status,
        }
