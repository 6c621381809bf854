"""Websocket handshakes, whole and malformed, as a WSGI environment has them."""

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": KEY,
}
# (changed headers, None: missing; the answer's status; a word of the answer).
MALFORMED_HANDSHAKES: list[tuple[dict[str, str | None], int, str]] = [
    ({"HTTP_CONNECTION": None}, 400, "Connection: Upgrade, got ''"),
    ({"HTTP_CONNECTION": "keep-alive"}, 400, "got 'keep-alive'"),
    ({"HTTP_CONNECTION": "upgraded"}, 400, "got 'upgraded'"),
    ({"HTTP_UPGRADE": None}, 400, "Upgrade: websocket, got ''"),
    ({"HTTP_UPGRADE": "h2c"}, 400, "got 'h2c'"),
    ({"HTTP_UPGRADE": "websocket, h2c"}, 400, "got 'websocket, h2c'"),
    ({"HTTP_UPGRADE": "\x1b[2J"}, 400, "got '\\x1b[2J'"),
    ({"HTTP_SEC_WEBSOCKET_VERSION": None}, 426, "Version: 13, got ''"),
    ({"HTTP_SEC_WEBSOCKET_VERSION": "7"}, 426, "got '7'"),
    ({"HTTP_SEC_WEBSOCKET_VERSION": "13,13"}, 426, "got '13,13'"),
    ({"HTTP_SEC_WEBSOCKET_VERSION": "x" * 1000}, 426, "(1000 characters)"),
    ({"HTTP_SEC_WEBSOCKET_KEY": None}, 400, "got ''"),
    ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400, "got 'short'"),
    ({"HTTP_SEC_WEBSOCKET_KEY": "AAAA"}, 400, "got 'AAAA'"),
    ({"HTTP_SEC_WEBSOCKET_KEY": "\xe4" * 24}, 400, "16 bytes in base64"),
    ({"HTTP_SEC_WEBSOCKET_KEY": f"{KEY},{KEY}"}, 400, "16 bytes in base64"),
    ({"SERVER_PROTOCOL": "HTTP/1.0"}, 400, "HTTP/1.1, got 'HTTP/1.0'"),
    ({"SERVER_PROTOCOL": "HTTP/0.9"}, 400, "HTTP/1.1, got 'HTTP/0.9'"),
    ({"REQUEST_METHOD": "POST"}, 405, "GET, got 'POST'"),
    ({"REQUEST_METHOD": "OPTIONS"}, 405, "GET, got 'OPTIONS'"),
    ({"REQUEST_METHOD": "HEAD"}, 405, "GET, got 'HEAD'"),
]
