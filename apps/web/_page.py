"""The page's files."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Response

_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def add_page(app: FastAPI) -> None:
    """Serve the page at ``/``, and its other files under ``/page/``."""
    found = {path.name: path.read_bytes() for path in (files("plait.apps.web") / "page").iterdir()}
    ready = {name: (content, _type_of(name)) for name, content in found.items() if _type_of(name)}

    @app.get("/")
    async def index() -> Response:
        return _response(ready["index.html"])

    @app.get("/page/{name}")
    async def file(name: str) -> Response:
        return _response(ready[name]) if name in ready else Response(status_code=404)


def _type_of(name: str) -> str:
    return _TYPES.get(name[name.rfind(".") :], "")


def _response(file: tuple[bytes, str]) -> Response:
    content, media_type = file
    return Response(content, media_type=media_type)
