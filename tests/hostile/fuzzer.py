"""Messages that no client should send, on every level of the protocol; the same seed gives the same messages."""

import base64
import json
import random
from typing import Any, NamedTuple

from support.live import fields, picture

from hostile.images import expensive_images, hero_image, mutated, plain_images
from server.wire.messages import Pose
from tools.simulator.frames import LOCALES, format_n4, format_pose
from tools.simulator.packets import sensor_frame_message
from tools.simulator.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, apply_mask

# Number of simulators. Those with even numbers show a hero, the others never do. Each is in a place of its own.
SESSIONS = 4
PLACES = tuple(Pose(5000.0 * (number + 1), -300.0, 8.0, 0.0, 20.0, 30.0) for number in range(SESSIONS))
BEGIN_S = 1.7e9  # seconds since 1970, of the first frame

ENGINE_IO = "/socket.io/?EIO=4&transport="
PATHS = (
    *("/", "/healthz", "/metrics", "/events", "/page/page.js", "/page/../routes.py", "/nowhere"),
    *("/page/%2e%2e%2froutes.py", "//", "/%00", "/page/" + "x" * 3000, "/?" + "a=b&" * 500, "*", "http://elsewhere/"),
    *(ENGINE_IO + "polling", ENGINE_IO + "polling&sid=nobody", ENGINE_IO + "polling&j=0", ENGINE_IO + "pigeon"),
    *(ENGINE_IO + "websocket", "/socket.io/?EIO=3&transport=polling", "/socket.io/"),
)
ORDERS = ("/hold", "/record", "/choose", "/refuse", "/target")
METHODS = ("GET", "GET", "POST", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "CONNECT", "BREW", "")
FIELDS = ("timestamp", "pose", "gimbal_pose", "rgb_image", "depth_image")
NUMBERS = (
    "0",
    "-0",
    "1",
    "-1",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "9" * 5000,
    "1" + "0" * 400,
    "1e-400",
)
TEXTS = (
    "",
    " ",
    "\0",
    "\ud800",
    "\u202e",
    "💥" * 50,
    "x" * 100_000,
    "<script>",
    "../../etc",
    "\x1b[2J",
    "%s%n",
    "a\nb",
)


class Message(NamedTuple):
    """One hostile message.

    Args:
        level: the level of the protocol that it breaks.
        way: "session": text over the connection of a simulator; "websocket": bytes behind the handshake of a connection
            of their own; "http": bytes of a connection of their own; "polling": the body of a POST within a session by
            polling.
        session: number of the simulator, for the way "session".
        data: text or bytes.
    """

    level: str
    way: str
    session: int
    data: str | bytes

    def __str__(self) -> str:
        shown = repr(self.data)
        rest = f"… ({len(shown)} characters)" if len(shown) > 300 else ""
        return f"{self.level} by {self.way} {self.session}: {shown[:300]}{rest}"


def shows_hero(session: int) -> bool:
    """Whether a simulator of this number ever shows a hero."""
    return session % 2 == 0


class Fuzzer:
    """Makes messages.

    Args:
        seed: decides them all.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._plain = plain_images()
        self._expensive = [*expensive_images().values()]
        self._times = 0
        self._frames = [
            fields(
                picture() if shows_hero(session) else self._plain["jpeg"],
                pose=format_pose(place),
                gimbal_pose=format_pose(place),
            )
            for session, place in enumerate(PLACES)
        ]

    def next(self) -> Message:
        """The next message."""
        session = self._rng.randrange(SESSIONS)
        makers = [self._engine_io, self._socket_io, self._image, self._time, self._websocket, self._http, self._polling]
        if not shows_hero(session):  # with a hero in the frame, another pose or image rightly leads elsewhere
            makers += [self._json, self._json, self._field, self._field]
        return self._rng.choice(makers)(session)

    def whole_frame(self, session: int) -> dict[str, str]:
        """A frame of a simulator as it should be, 0.2 s after the one before."""
        self._times += 1
        return {**self._frames[session], "timestamp": f"{BEGIN_S + 0.2 * self._times:.4f}"}

    # Socket.IO within the connection of a simulator

    def _engine_io(self, session: int) -> Message:
        rng = self._rng
        rest = rng.choice(("", "probe", "0", "x" * rng.choice((1, 1000, 1_100_000)), "\x1e42", self._text()))
        return Message("Engine.IO", "session", session, rng.choice("01234567890b{[ \0é") + rest)

    def _socket_io(self, session: int) -> Message:
        rng = self._rng
        namespace = rng.choice(("", "", "/,", "/other,", "/" + "n" * 3000 + ",", "/?a=b,", "/\0,"))
        attachments = rng.choice(("", "", "0-", "1-", "999999999-", "1-1-", "-"))
        number = rng.choice(("", "", "0", "7", "-1", "9" * 30, "9" * 5000, "1.5"))
        events = ("sensor_frame", "watch_overlay", "choose_person", "refuse_person", "connect", "disconnect", "*")
        event = rng.choice((*events, "message", "", self._text()))
        person = {"simulator": rng.choice(("nobody", None, {})), "person": rng.choice((1, None, True, 10**400, "1"))}
        arguments = rng.choice(
            ([], [None], [{}], [{"watch": True}], [person], [{"_placeholder": True, "num": 0}], [[]], [1, 2])
        )
        body = rng.choice(("", "{}", "[]", '"x"', "null", "1", "[[]]", json.dumps([event, *arguments])))
        return Message(
            "Socket.IO", "session", session, f"4{rng.choice('0123456789')}{attachments}{namespace}{number}{body}"
        )

    def _json(self, session: int) -> Message:
        rng, text = self._rng, json.dumps(self.whole_frame(session))
        match rng.randrange(6):
            case 0:
                text = mutated(text.encode(), rng).decode("utf-8", "replace")
            case 1:
                text = text[: rng.randrange(len(text))]
            case 2:
                begin, end = rng.choice((("[", "]"), ('{"a":', "}"), ("[[],", "]")))
                depth = rng.choice((10, 300, 900, 990, 1000, 1100, 100_000))
                text = begin * depth + "1" + end * depth
            case 3:
                text = rng.choice(NUMBERS)
            case 4:
                text = self._value()
            case _:  # each key twice
                text = text[:-1] + "," + json.dumps(self._odd_fields())[1:]
        return Message("JSON", "session", session, sensor_frame_message(text))

    def _field(self, session: int) -> Message:
        frame: dict[str, Any] = {**self.whole_frame(session), **self._odd_fields()}
        for name in self._rng.sample(FIELDS, self._rng.choice((0, 0, 1, 4))):
            del frame[name]
        return Message(
            "fields", "session", session, sensor_frame_message(json.dumps(frame), self._rng.choice((None, 1)))
        )

    def _odd_fields(self) -> dict[str, Any]:
        rng = self._rng
        return {
            name: json.loads(self._value()) if rng.random() < 0.3 else self._numbers(6 if "pose" in name else 1)
            for name in rng.sample(FIELDS, rng.choice((1, 1, 2, 5)))
        }

    def _numbers(self, count: int) -> str:
        rng = self._rng
        locale = rng.choice([*LOCALES])
        count = rng.choice((count, count, 0, 5, 7, 12, 1000))
        numbers = [
            rng.choice((format_n4(rng.choice((-1, 1)) * 10 ** rng.uniform(-6, 12), locale), *NUMBERS[:8]))
            for _ in range(count)
        ]
        return rng.choice((",", ",", ";", ", ", ",,")).join(numbers)

    def _time(self, session: int) -> Message:
        rng, frame = self._rng, self.whole_frame(session)
        jump_s = rng.choice((0, -1, 1, -0.1, 3600, -3600, 1e9, -1.7e9, 1e300))
        frame["timestamp"] = rng.choice((f"{BEGIN_S + 0.2 * self._times + jump_s:.4f}", rng.choice(NUMBERS)))
        return Message("time", "session", session, sensor_frame_message(frame))

    def _image(self, session: int) -> Message:
        rng, frame = self._rng, self.whole_frame(session)
        field = rng.choice(("rgb_image", "depth_image"))
        if shows_hero(session) and rng.random() < 0.5:
            field, file = "rgb_image", hero_image(rng)
        elif rng.random() < 0.3:
            file = rng.choice(self._expensive)
        else:
            file = mutated(self._plain[rng.choice([*self._plain])], rng)
        frame[field] = base64.b64encode(file).decode()
        return Message("image", "session", session, sensor_frame_message(frame))

    def _text(self) -> str:
        text = self._rng.choice(TEXTS)
        return text.encode("utf-8", "replace").decode()

    def _value(self, depth: int = 0) -> str:
        """JSON of any value that the parser takes."""
        rng = self._rng
        match rng.randrange(4 if depth > 3 else 6):
            case 0:
                return rng.choice(("null", "true", "false", "{}", "[]"))
            case 1:
                return rng.choice([number for number in NUMBERS if len(number) < 4300])  # longer ones are refused
            case 2 | 3:
                return json.dumps(rng.choice(TEXTS))
            case 4:
                return "[" + ",".join(self._value(depth + 1) for _ in range(rng.randrange(5))) + "]"
            case _:
                names = rng.choices([*FIELDS, *TEXTS[:6]], k=rng.randrange(5))
                return "{" + ",".join(f"{json.dumps(name)}:{self._value(depth + 1)}" for name in names) + "}"

    # On connections of their own

    def _websocket(self, session: int) -> Message:
        rng = self._rng
        frames = [self._websocket_frame() for _ in range(rng.choice((1, 1, 2, 5)))]
        return Message("websocket", "websocket", session, b"".join(frames))

    def _websocket_frame(self) -> bytes:
        rng = self._rng
        payload = rng.choice(
            (b"", b"2", b"1", b"42[]", b"\xff\xfe", b"\x03\xe8", b"\0", rng.randbytes(rng.choice((1, 126, 70_000))))
        )
        opcode = rng.choice((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, 0x3, 0xB, 0xF))
        first = opcode | rng.choice((0x80, 0x80, 0x00)) | rng.choice((0, 0, 0, 0x40, 0x20, 0x10))
        is_masked = rng.random() < 0.8
        claimed = rng.choice((len(payload), len(payload), len(payload), 0, 125, 2**31, 2**63, 2**64 - 1))
        if claimed < 126 and rng.random() < 0.8:
            length = bytes([claimed])
        elif claimed < 2**16:
            length = b"\x7e" + claimed.to_bytes(2, "big")
        else:
            length = b"\x7f" + claimed.to_bytes(8, "big")
        mask = rng.randbytes(4) if is_masked else b""
        header = bytes([first, length[0] | (0x80 if is_masked else 0)]) + length[1:] + mask
        return header + (apply_mask(payload, mask) if is_masked else payload)

    def _polling(self, session: int) -> Message:
        rng = self._rng
        frame = sensor_frame_message(self.whole_frame(1))
        packets = [
            "40",
            frame,
            "1",
            "2",
            "3",
            "2probe",
            "5",
            "",
            "b",
            "b" + "A" * 50,
            "4",
            "42[",
            "40" * 100,
            self._text(),
        ]
        packets += ["9" * 20, '451-["sensor_frame",{"_placeholder":true,"num":0}]', "bAAAA", '452147483647-["a"]']
        packets += ["45" + "9" * 20 + '-["sensor_frame",{"_placeholder":true,"num":0}]']
        body = "\x1e".join(rng.choices(packets, k=rng.choice((1, 2, 3, 15, 30))))
        return Message("polling", "polling", session, body.encode("utf-8", "surrogatepass"))

    def _http(self, session: int) -> Message:
        rng = self._rng
        wishes = (
            *(
                b"[" * 990,
                b"[" * 100_000,
                b'{"simulator":' * 300,
                b"{",
                b"null",
                b"NaN",
                b"\xff",
                b"1" * 5000,
                b"x" * 2000,
            ),
            *(
                b'{"simulator":"nobody","is_held":true}',
                b'{"simulator":["a"],"is_held":true}',
                b'{"is_recorded":1}',
                b'{"simulator":"nobody","person":1}',
                b'{"simulator":"nobody","target":"dog"}',
                b'{"simulator":{},"person":' + b"9" * 900 + b"}",
                b"",
            ),
        )
        body = rng.choice(wishes)
        headers = {
            "Host": rng.choice(
                ("localhost", "localhost", "localhost", "127.0.0.1:1", "evil.example", "[::1", "", "a@b", "\xff")
            ),
            "Content-Type": rng.choice(("application/json", "application/json", "text/plain", "")),
            "Content-Length": rng.choice((str(len(body)),) * 4 + ("-1", "x", "0", str(10**12), str(len(body) + 5))),
            "Connection": rng.choice(("close", "keep-alive", "Upgrade")),
        }
        odd = {
            "Origin": ("http://localhost", "http://evil.example", "null", "\xff"),
            "Transfer-Encoding": ("chunked", "gzip, chunked", "identity"),
            "Upgrade": ("websocket", "h2c"),
            "Sec-WebSocket-Key": ("", "x", "AAAAAAAAAAAAAAAAAAAAAA=="),
            "Sec-WebSocket-Version": ("13", "0", "8", "x"),
            "Expect": ("100-continue", "x"),
            "Cookie": ("x" * 9000, "a=b; io=c"),
            "Content-Encoding": ("gzip",),
            "X": ("y" * 70_000, "a\r\n b", ""),
        }
        headers |= {name: rng.choice(odd[name]) for name in rng.sample([*odd], rng.choice((0, 0, 1, 3)))}
        version = rng.choice(("HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/9", "HTTP/0.9", "", "x"))
        if rng.random() < 0.3:
            wish, headers["Content-Type"] = f"POST {rng.choice(ORDERS)}", "application/json"
        else:
            wish = f"{rng.choice(METHODS)} {rng.choice(PATHS + ORDERS)}"
        head = f"{wish} {version}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        data = head.encode("latin-1") + b"\r\n" + body
        return Message("HTTP", "http", session, mutated(data, rng) if rng.random() < 0.2 else data)
