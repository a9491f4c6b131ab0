"""plait: a request becomes a graph of tool calls, planned and run on your own machine."""

from pkgutil import extend_path

# In a checkout's root, `plait/` itself shadows the installed package, whose other subpackages this finds.
__path__ = extend_path(__path__, __name__)
