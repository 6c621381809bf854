"""Everything that a client may send, against the real server, beside neighbours that must not notice."""
