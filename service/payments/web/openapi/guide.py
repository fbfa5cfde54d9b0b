"""The integration guide: the description in the OpenAPI document, whose sections begin the reference."""

from pathlib import Path

_EXAMPLE_URL = "https://api.example"


def guide(base_url: str) -> str:
    """Return the guide as Markdown, with ``base_url`` as the API's address."""
    text = (Path(__file__).parent / "templates" / "guide.markdown").read_text(encoding="utf-8")
    return text.replace(_EXAMPLE_URL, base_url).strip()
