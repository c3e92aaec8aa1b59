"""The OpenAPI document of the server."""

from __future__ import annotations

from typing import Any

from .. import __version__
from .datatypes import KNOWN
from .server_settings import LOG_KINDS, TRACE

_MODEL, _REGION = (
    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": about}
    for name, about in (("model", "A model's name."), ("region", "A region of shared memory."))
)


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answers(schema: dict[str, Any], *statuses: int, error: str = "Error") -> dict[str, Any]:
    words = {
        400: "the request is wrong",
        403: "it is not allowed here",
        404: "there is no such model, version or region",
        413: "the body is too long",
        415: "the content is of a kind that the model does not take",
        429: "too many requests wait",
        500: "the server or a runtime failed",
        501: "this server does not do it",
        503: "the server or the model is not ready, or the request waited too long",
    }
    told = {"content": {"application/json": {"schema": _ref(error)}}}
    made: dict[str, Any] = {"200": {"description": "done", "content": {"application/json": {"schema": schema}}}}
    made |= {str(status): {"description": words[status], **told} for status in statuses}
    return made


def _get(summary: str, schema: dict[str, Any], *statuses: int) -> dict[str, Any]:
    return {"summary": summary, "responses": _answers(schema, *statuses)}


def _post(summary: str, body: dict[str, Any] | None, schema: dict[str, Any], *statuses: int) -> dict[str, Any]:
    made = _get(summary, schema, *statuses)
    if body is not None:
        made["requestBody"] = {"required": body in NEEDED, "content": body}
    return made


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_OBJECT: dict[str, Any] = {"type": "object"}
_LIST: dict[str, Any] = {"type": "array", "items": _OBJECT}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_RAW: dict[str, Any] = dict.fromkeys(("image/*", "audio/*", "video/*", "text/plain"), _BINARY)

_JSON_TYPES = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1},
    str: {"type": "string"},
}

_SCHEMAS: dict[str, Any] = {
    "LogSettings": {
        "type": "object",
        "properties": {name: _JSON_TYPES[kind] for name, kind in LOG_KINDS.items() if kind is not str},
        "additionalProperties": False,
    },
    "TraceSettings": {
        "type": "object",
        "properties": {name: {"enum": [value, None]} for name, value in TRACE.items()},
        "additionalProperties": False,
    },
    "Region": {
        "type": "object",
        "required": ["key", "byte_size"],
        "properties": {
            "key": {"type": "string", "pattern": "^/?[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}$"},
            "offset": {"type": "integer", "minimum": 0},
            "byte_size": {"type": "integer", "minimum": 1},
        },
    },
    "Prompt": {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": {
            "model": {"type": "string"},
            "prompt": {"type": ["string", "array"], "items": {"type": "string"}},
            "max_tokens": {"type": "integer"},
            "stream": {"type": "boolean"},
        },
    },
    "OpenAIError": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "object", "properties": {"message": {"type": "string"}}}},
    },
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "Tensor": {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"enum": list(KNOWN)},
            "parameters": _OBJECT,
            "data": {"type": "array", "items": {}},
        },
    },
    "Request": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": _OBJECT,
            "inputs": {"type": "array", "minItems": 1, "items": _ref("Tensor")},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "parameters": _OBJECT},
                },
            },
        },
    },
    "Response": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": _ref("Tensor")},
        },
    },
    "Result": {"type": "object", "required": ["ok"], "properties": {"ok": {"const": True}}},
}


NEEDED = (_json(_ref("Request")), _json(_ref("Region")), _RAW)
"""Bodies that cannot be left out."""


def _paths() -> dict[str, Any]:
    of_model: dict[str, Any] = {"parameters": [_MODEL]}
    of_region: dict[str, Any] = {"parameters": [_REGION]}
    answer = (400, 404, 413, 429, 500, 503)
    return {
        "/v2": {"get": _get("name, version and extensions of the server", _OBJECT)},
        "/v2/health/live": {"get": _get("whether the server runs", _OBJECT)},
        "/v2/health/ready": {"get": _get("whether every model is ready", _OBJECT, 503)},
        "/v2/models": {"get": _get("names of the ready models", _OBJECT)},
        "/v2/models/stats": {"get": _get("statistics of every model", _OBJECT)},
        "/v2/models/{model}": of_model | {"get": _get("a model's inputs and outputs", _OBJECT, 404, 503)},
        "/v2/models/{model}/ready": of_model | {"get": _get("whether a model is ready", _OBJECT, 404, 503)},
        "/v2/models/{model}/config": of_model | {"get": _get("a model's configuration", _OBJECT, 404, 503)},
        "/v2/models/{model}/stats": of_model | {"get": _get("a model's statistics", _OBJECT, 404, 503)},
        "/v2/models/{model}/infer": of_model
        | {"post": _post("answer tensors", _json(_ref("Request")), _ref("Response"), *answer)},
        "/v2/models/{model}/predict": of_model
        | {"post": _post("answer one picture, recording, video or text", _RAW, _ref("Result"), *answer, 415)},
        "/v2/models/{model}/trace/setting": of_model
        | {
            "get": _get("settings of tracing", _OBJECT, 404, 503),
            "post": _post("change settings of tracing", _json(_ref("TraceSettings")), _OBJECT, 400, 404, 503),
        },
        "/v1/models": {"get": _get("models that generate text, as OpenAI's clients ask", _OBJECT)},
        "/v1/completions": {
            "post": {
                "summary": "continue a text",
                "requestBody": {"required": True, "content": _json(_ref("Prompt"))},
                "responses": _answers(_OBJECT, 400, 404, 429, 500, 503, error="OpenAIError"),
            }
        },
        "/v2/repository/index": {"post": _post("every model and its state", _json(_OBJECT), _LIST, 400)},
        "/v2/repository/models/{model}/load": of_model
        | {"post": _post("load a model, or load it again", _json(_OBJECT), _OBJECT, 400, 403, 404, 500, 501)},
        "/v2/repository/models/{model}/unload": of_model
        | {"post": _post("unload a model", _json(_OBJECT), _OBJECT, 400, 403, 404)},
        "/v2/systemsharedmemory/status": {"get": _get("the registered regions", _LIST)},
        "/v2/systemsharedmemory/unregister": {"post": _post("forget every region", None, _OBJECT)},
        "/v2/systemsharedmemory/region/{region}/status": of_region | {"get": _get("a region", _LIST, 404)},
        "/v2/systemsharedmemory/region/{region}/register": of_region
        | {"post": _post("register a region", _json(_ref("Region")), _OBJECT, 400)},
        "/v2/systemsharedmemory/region/{region}/unregister": of_region
        | {"post": _post("forget a region", None, _OBJECT)},
        "/v2/logging": {
            "get": _get("what is logged", _OBJECT),
            "post": _post("change what is logged", _json(_ref("LogSettings")), _OBJECT, 400),
        },
        "/v2/trace/setting": {
            "get": _get("settings of tracing", _OBJECT),
            "post": _post("change settings of tracing", _json(_ref("TraceSettings")), _OBJECT, 400),
        },
    }


def document() -> dict[str, Any]:
    """The whole document, of OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "torchport",
            "version": __version__,
            "description": "The Open Inference Protocol, and raw inputs.",
        },
        "paths": _paths(),
        "components": {"schemas": _SCHEMAS},
    }
