"""Everything that a client may send, sent to the real server beside neighbours that must not be affected."""
