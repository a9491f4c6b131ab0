"""``plait serve``: the assistant on a web page and for other programs, on the user's own machine."""

from plait.apps.web._app import create_app
from plait.apps.web._server import WebServer, bind

__all__ = ["WebServer", "bind", "create_app"]
