"""Inline functions fit into a template and bring their own handler."""

from pathlib import Path

import pytest

from kit.functions import INLINE_LIMIT, inline_source

PROJECT = Path(__file__).parents[2]
HANDLERS = sorted(path for path in PROJECT.glob("*/handlers/*.py") if path.stem != "__init__")


@pytest.mark.parametrize("handler", HANDLERS, ids=[path.stem for path in HANDLERS])
def test_a_function_fits_into_its_template(handler: Path) -> None:
    source = inline_source(handler)
    assert len(source) <= INLINE_LIMIT
    compile(source, "index.py", "exec")
    assert "\ndef handler(" in source
    assert not source.startswith('"""'), "the docstring would count"
