"""A body that is one raw input: a picture, a recording, a text, a form, or JSON with base64 in it."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import msgspec

from ..errors import BadInput, UsageError
from .faces import RawFace, from_base64
from .messages import Refused

_ANY = ("application/octet-stream", "application/json", "application/x-www-form-urlencoded")
"""Content types that say nothing of the content; the last is what curl says where it is told nothing."""

_FORM = 'send {"text": "..."} or {"b64": "..."}'


def raw_of(content_type: str, body: bytes, face: RawFace) -> bytes:
    """The raw input of a body.

    Raises:
        BadInput: there is none in it.
        Refused: 415 where the model does not take such content.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _of_form(content_type, body)
    if kind == "application/json" and ".json" not in face.loaded.predictor.pipeline.task.suffixes:
        return _of_json(body, face)
    mime = face.loaded.predictor.pipeline.task.mime
    families = {one.partition("/")[0] for one in mime}
    if mime and kind not in ("", *_ANY) and kind.partition("/")[0] not in families:
        raise Refused(415, f"{face.name} takes no {kind[:60]}; it takes {', '.join(mime)}")
    if not body:
        usual = next(iter(mime), "text/plain")
        raise BadInput("the body is empty", f"send one input as it is, with a content type such as {usual}")
    return body


def facts_of(query: Sequence[tuple[str, str]], face: RawFace) -> dict[str, Any]:
    """Facts of this request, such as `?top=3`.

    Raises:
        UsageError: the task has no such fact, or it cannot be changed for a request.
    """
    known = face.settable
    unknown = next((name for name, _ in query if name not in known), None)
    if unknown is not None:
        raise UsageError(
            f"'{unknown[:60]}' cannot be set for a request", f"here can be set: {', '.join(sorted(known)) or 'nothing'}"
        )
    return dict(query)


def _of_form(content_type: str, body: bytes) -> bytes:
    """The first file, or else the first field, of a form."""
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode("latin-1", "replace")
    try:
        form = BytesParser(policy=HTTP).parsebytes(head + body)
        parts: list[Message] = list(form.iter_parts()) if form.is_multipart() else []
    except Exception as exc:  # the library's parser raises anything on what is no form
        raise BadInput(f"the body is no form: {exc}") from exc
    files = [part for part in parts if part.get_filename() is not None] or parts
    if not files:
        raise BadInput("the form has no field", "send the input as a file")
    content = files[0].get_payload(decode=True)
    if not isinstance(content, bytes) or not content:
        raise BadInput("the form's file is empty")
    return content


class _Sent(msgspec.Struct):
    """JSON with one input: `{"text": "..."}`, or `{"b64": "..."}`."""

    text: str | None = None
    b64: str | None = None


def _of_json(body: bytes, face: RawFace) -> bytes:
    try:
        sent = msgspec.json.decode(body, type=_Sent)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise BadInput(f"the body is no JSON with an input: {str(exc)[:200]}", _FORM) from exc
    if sent.b64 is not None:
        return from_base64(sent.b64)
    if sent.text is None:
        raise BadInput("the body holds no input", _FORM)
    if face.binary:
        raise BadInput(f"{face.name} takes no text", 'send the file as {"b64": "..."}')
    return sent.text.encode()
