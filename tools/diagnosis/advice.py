"""Advice on a client's mistakes, by the field that the server names in its complaint."""

from tools.diagnosis.finding import Finding, Mark

POSE_SAMPLE = "10.0000,20.0000,8.0000,0.0000,20.0000,30.0000"
FRAME_SAMPLE = (
    f'"timestamp": "1504814505.23149", "pose": "{POSE_SAMPLE}", "gimbal_pose": "{POSE_SAMPLE}", '
    '"rgb_image": a JPEG of 256×256 in base64, "depth_image": a PNG of 256×256 in base64'
)

_FIXES = {
    "protocol": "let the client connect by websocket only (transports: ['websocket']), or use a client of Socket.IO 3 "
    "or newer: socket.io-client 3, python-socketio 5",
    "transport": "connect to /socket.io/?EIO=4&transport=websocket",
    "session": "begin a session: the first request has no sid",
    "websocket handshake": "use a websocket library, which makes this request; a proxy must pass on Upgrade and "
    "Connection",
    "Host header": "start the server with --allow-host and this name, or address it by 127.0.0.1",
    "Origin header": "a page must come from the server itself; a proxy must pass on the Host header",
    "event": "emit the event 'sensor_frame'. In QuadSim choose Follow Me; other simulators, such as those of the car "
    "projects, send other events and no depth",
    "packet": 'an event is the text 42["sensor_frame",{...}], without binary attachments',
    "message": "send text messages of Engine.IO, each of at most 1 MB",
    "HTTP request": "send less in one request",
    "sensor_frame": "give the event one argument, a JSON object whose values are all text",
    "pose": "send the quad's pose in the world: metres and degrees, x forward, y left, z up",
    "gimbal_pose": "send the camera's pose in the world beside the quad's. QuadSim sends it since the builds made for "
    "Follow Me; an older one, or the controls lab's, must be replaced: docs/connect.md says by which",
    "rgb_image": "send a baseline JPEG or a PNG of 16 px to 640×480, in base64",
    "depth_image": "send depth beside the picture, as a PNG in base64: R = round(255 · depth / far) along the optical "
    "axis, 255 where nothing is near",
}


def from_complaint(field: str, expected: str, received: str, sample: str = "") -> Finding:
    """Make a finding of a complaint of the server.

    Args:
        field: the field that is wrong.
        expected: what was expected, in the server's words.
        received: what was received, in the server's words.
        sample: a longer sample of what was received; empty if `received` is enough.
    """
    shown = expected if field not in ("pose", "gimbal_pose") else f'"{field}": "{POSE_SAMPLE}", that is {expected}'
    return Finding(Mark.WRONG, field, f"got {received}", sample, shown, _FIXES.get(field, ""))
