"""The one import of eventlet, which greets each importer with the advice to choose another library.

It was chosen knowing that, and only this folder depends on it.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import eventlet
    import eventlet.corolocal
    import eventlet.event
    import eventlet.greenio
    import eventlet.hubs
    import eventlet.queue
    import eventlet.websocket
    import eventlet.wsgi

__all__ = ["eventlet"]
