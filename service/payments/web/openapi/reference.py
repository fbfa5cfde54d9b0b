"""The API reference at ``/docs``: one page generated from the OpenAPI document, without scripts or external resources.

It works offline, under a Content-Security-Policy that allows only its own style sheet (by hash), and has an anchor for
every section, operation, object and field, and for the ``type`` of every error.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from payments.core.problems import ApiError, all_errors
from payments.web.http.headers import CONTENT_SECURITY_POLICY
from payments.web.openapi import code_samples, markdown
from payments.web.openapi.document import Document

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page and its Content-Security-Policy."""

    html: str
    content_security_policy: str


def errors() -> list[type[ApiError]]:
    """Return the error catalogue, by status."""
    return sorted(all_errors(), key=lambda error: (error.status, error.code))


def render(document: Mapping[str, Any], *, base_url: str, sandbox_tokens: Mapping[str, str]) -> Page:  # Any: JSON
    """Render the reference.

    Args:
        document: The OpenAPI document.
        base_url: Where clients reach the API.
        sandbox_tokens: Test payment methods with a description of their effect.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        inline=markdown.inline, blocks=markdown.blocks, curl=code_samples.curl, python=code_samples.python
    )
    style = (_TEMPLATES / "reference.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    html = environment.get_template("reference.html.jinja").render(
        info=document["info"],
        guide=markdown.sections(document["info"].get("description", "")),
        resources=Document(document, base_url=base_url).resources(),
        errors=errors(),
        sandbox_tokens=sandbox_tokens,
        base_url=base_url,
        style=style,
    )
    return Page(html=html, content_security_policy=f"{CONTENT_SECURITY_POLICY}; style-src 'sha256-{digest}'")
