"""Text generation as clients of OpenAI ask for it: `POST /v1/completions`, whole or streamed, and `GET /v1/models`."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from .app import App, Predicted, refusal
from .http_bodies import EVENTS, Call, Reply, Stream, event, read, reply
from .messages import Refused

TASK = "text-generation"

MOST_PROMPTS = 16


class Asked(msgspec.Struct):
    """A request for completions; what is not named here is not taken into account by this server."""

    model: str
    prompt: str | list[str]
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    echo: bool = False
    n: int = 1


class Completions:
    """OpenAI's endpoints over the models that generate text."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def handle(self, call: Call, words: list[str]) -> Reply | Stream:
        """Answer a request below `/v1`; errors are told in OpenAI's form."""
        try:
            match call.method, words:
                case "GET", ["models"]:
                    return reply({"object": "list", "data": [self._about(name) for name in self._names()]})
                case "GET", ["models", name] if name in self._names():
                    return reply(self._about(name))
                case "POST", ["completions"]:
                    return await self._complete(read(call.body, Asked))
                case _, ["models"] | ["completions"]:
                    allowed = "GET" if words == ["models"] else "POST"
                    raise Refused(405, f"{call.method[:20]} is not for this path", (("Allow", allowed),))
            raise Refused(404, f"there is nothing at /v1/{'/'.join(words)[:100]}")
        except Exception as exc:
            refused = refusal(exc)
            return reply(
                _error(refused), refused.status, tuple((name.lower(), value) for name, value in refused.headers)
            )

    def _names(self) -> list[str]:
        """The Bundles that generate text."""
        loaded = {face.loaded.name: face.loaded for face in self._app.repository.faces}
        return [name for name, one in loaded.items() if one.predictor.pipeline.task.name == TASK]

    def _about(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": "torchport"}

    async def _complete(self, asked: Asked) -> Reply | Stream:
        if asked.model not in self._names():
            raise Refused(404, f"there is no model '{asked.model[:100]}' that generates text")
        prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        if not 1 <= len(prompts) <= MOST_PROMPTS or asked.n != 1:
            raise Refused(400, f"give 1 to {MOST_PROMPTS} prompts, and n = 1")
        facts: dict[str, Any] = {
            "max_new_tokens": asked.max_tokens,
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            **({} if asked.seed is None else {"seed": asked.seed}),
            **({} if asked.stop is None else {"stop": asked.stop}),
        }
        head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
        head["model"] = asked.model
        if asked.stream:
            if len(prompts) != 1:
                raise Refused(400, "a stream is of one prompt")
            return Stream(200, EVENTS, self._parts(asked, prompts[0], facts, head))
        answers = await asyncio.gather(*(self._app.predict(asked.model, one.encode(), facts) for one in prompts))
        choices = [
            _choice(number, (prompt if asked.echo else "") + answer.result["text"], answer.result["stopped_by"])
            for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
        ]
        return reply({**head, "choices": choices})

    async def _parts(
        self, asked: Asked, prompt: str, facts: dict[str, Any], head: dict[str, Any]
    ) -> AsyncGenerator[bytes, None]:
        try:
            async for part in self._app.stream(asked.model, prompt.encode(), facts):
                if isinstance(part, Predicted):
                    yield event({**head, "choices": [_choice(0, "", part.result["stopped_by"])]})
                elif "delta" in part:
                    yield event({**head, "choices": [_choice(0, part["delta"], None)]})
        except Exception as exc:
            yield event(_error(refusal(exc)))
        yield b"data: [DONE]\n\n"


_REASONS = {"end": "stop", "stop": "stop", "length": "length"}


def _choice(number: int, text: str, stopped_by: str | None) -> dict[str, Any]:
    reason = None if stopped_by is None else _REASONS[stopped_by]
    return {"index": number, "text": text, "logprobs": None, "finish_reason": reason}


def _error(refused: Refused) -> dict[str, Any]:
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {"error": {"message": refused.message, "type": kind, "param": None, "code": None}}
