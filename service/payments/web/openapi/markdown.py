"""The part of CommonMark that descriptions use, as HTML: paragraphs, lists, code and links."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_INLINE = re.compile(r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)|\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)", re.DOTALL)
_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$\n?", re.MULTILINE | re.DOTALL)
#: A link that a browser follows without executing anything.
_SAFE_TARGET = re.compile(r"#|/|https://")


@dataclass(frozen=True, kw_only=True)
class CodeBlock:
    """A fenced block of code."""

    language: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, with the prose and the code below it."""

    anchor: str
    title: str
    prose: Markup
    code_blocks: Sequence[CodeBlock]


def inline(text: str) -> Markup:
    """Return ``text`` with its code and links as HTML; everything else is escaped."""
    parts, end = [], 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        if found["ticks"]:
            parts.append(Markup("<code>{}</code>").format(found["code"]))
        elif _SAFE_TARGET.match(found["target"]):
            parts.append(Markup('<a href="{}">{}</a>').format(found["target"], inline(found["text"])))
        else:
            parts.append(escape(found[0]))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def blocks(text: str) -> Markup:
    """Return the paragraphs and lists of ``text`` as HTML."""
    return Markup("\n").join(_block(block.strip("\n")) for block in re.split(r"\n\s*\n", text) if block.strip())


def _block(block: str) -> Markup:
    if not block.startswith("* "):
        return Markup("<p>{}</p>").format(inline(block))
    items = re.split(r"\n?^\* ", block, flags=re.MULTILINE)[1:]
    listed = Markup("\n").join(Markup("<li>{}</li>").format(inline(re.sub(r"\n +", "\n", item))) for item in items)
    return Markup("<ul>\n{}\n</ul>").format(listed)


def anchor(title: str) -> str:
    """Return the anchor of a section with this title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def sections(text: str) -> list[Section]:
    """Return the sections of ``text``, each of which begins with a heading (``# ...``); code is kept apart."""
    found = []
    prose, *rest = re.split(r"^# (.+)\n", _FENCE.sub(_hide, text), flags=re.MULTILINE)
    for title, body in zip(["", *rest[::2]], [prose, *rest[1::2]], strict=True):
        body = body.replace(_HASH, "#")
        found.append(
            Section(
                anchor=anchor(title),
                title=title,
                prose=blocks(_FENCE.sub("", body)),
                code_blocks=[CodeBlock(language=m["language"], code=m["code"]) for m in _FENCE.finditer(body)],
            )
        )
    return found


#: Stands for "#" in code, where a comment is no heading.
_HASH = "\0"


def _hide(found: re.Match[str]) -> str:
    return found[0].replace("#", _HASH)
