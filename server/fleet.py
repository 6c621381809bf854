"""A fleet: networks on many machines, by Ray Serve, for servers that are started with `--engine http://HOST:8000`.

    serve run server.fleet:app weights=weights/model_weights
    serve deploy fleet.yaml

Each replica is a process with one network. It speaks the Open Inference Protocol v2 over HTTP itself: Serve's proxy
passes a request directly to a replica, without another process in between. In `server/`, only this module imports Ray,
and no module imports this one.
"""

import asyncio
import hmac
import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.util.metrics import Counter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.engines import load_engine
from model.engines.batch_queue import BatchQueue
from model.engines.inference_protocol import LENGTH_HEADER, ProtocolError, describe, is_size
from model.engines.inference_service import as_planes, read_request, write_answer
from model.engines.lane import quoted
from model.engines.self_test import agrees, coarse, known_frame
from model.images import resize_rgb
from model.loading import network_name
from model.scoring import threshold
from server.fleet_settings import FleetSettings, read_settings, read_token_of

logger = logging.getLogger(__name__)

MOST_JSON_BYTES = 10_000
# A replica that fails three checks in a row is replaced. With a limit of 3 s, healthy replicas were replaced on an
# overloaded machine, which increased its load.
CHECK_EVERY_S, CHECK_WITHIN_S = 5.0, 10.0
# How long a replica that is told to stop may continue with the images that it has.
STOP_WITHIN_S = 5.0
# Most requests in progress on a replica, and most that wait for a replica. They wait 0.33 s at most, because a server
# gives up soon after.
MOST_ONGOING = 8


class Batches:
    """A network that infers images in batches. OpenVINO takes one image at a time, because batches are slower on a CPU.

    Args:
        weights, engine, precision: as for `load_engine`.
    """

    def __init__(self, weights: str, engine: str, precision: str) -> None:
        self.engine = load_engine(engine, weights, precision, threads=1)
        frame = known_frame(self.engine.input_px)
        self._known_frame, self._known_answer = frame[0], coarse(self.engine.infer(frame))
        self.infer = BatchQueue(self.engine).infer

    async def check(self) -> None:
        """Infer the known frame, after the images that wait.

        Raises:
            RuntimeError: if the answer differs from the known answer.
        """
        if not agrees((await self.infer(self._known_frame))[None], self._known_answer):
            raise RuntimeError("expected the network's known answer on a known frame, got another")

    def has_hero(self, probabilities: np.ndarray) -> bool:
        """Whether at least `min_blob_px` pixels are the hero's."""
        card = self.engine.card
        return bool(threshold(probabilities[..., card.hero], card.hero_threshold_255).sum() >= card.min_blob_px)


class Shadow:
    """A second network that sees the same images and is only compared."""

    def __init__(self, settings: FleetSettings) -> None:
        assert settings.shadow is not None
        self._network = Batches(settings.shadow, settings.engine, settings.precision)

    async def has_hero(self, image: np.ndarray) -> bool:
        """Whether the shadow finds the hero in an image, (px, px, 3) uint8 of any size."""
        px = self._network.engine.input_px
        if len(image) != px:
            image = resize_rgb(Image.fromarray(image), px)
        return self._network.has_hero(await self._network.infer(image))

    async def check_health(self) -> None:
        """Called by Serve."""
        await self._network.check()


class Network:
    """The network that answers, and the server's side of the protocol."""

    def __init__(self, settings: FleetSettings, token: str | None, shadow: DeploymentHandle | None) -> None:
        self._token, self._shadow = token, shadow
        self._network = Batches(settings.weights, settings.engine, settings.precision)
        engine = self._network.engine
        assert engine.weights_sha256 is not None
        self._sha256 = engine.weights_sha256
        self._name = network_name(Path(settings.weights))
        self._metadata = describe(self._name, engine.card, self._sha256, engine.input_px, engine.description)
        self._most_bytes = 3 * engine.input_px**2 + MOST_JSON_BYTES
        self._images = Counter("followme_fleet_images", "Images by outcome", ("outcome",))
        self._compared = Counter("followme_fleet_shadow", "Images by who found the hero in them", ("found_by",))
        self._comparison: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Response:
        """Answer a request of the protocol."""
        path, model = request.scope["path"].rstrip("/"), f"/v2/models/{self._name}"
        if path in ("/v2/health/live", "/v2/health/ready", f"{model}/ready"):
            return Response()
        if self._token is not None and not self._shows_token(request):
            return refusal(HTTPStatus.UNAUTHORIZED, "expected the header 'Authorization: Bearer TOKEN'")
        if path == "/v2":
            return JSONResponse({"name": "drone-follow-me", "version": "1", "extensions": ["binary_tensor_data"]})
        if path == model:
            return JSONResponse(self._metadata)
        if path == f"{model}/infer":
            return await self._infer(request)
        return refusal(HTTPStatus.NOT_FOUND, f"expected the model {self._name}, got {path[:100]}")

    async def check_health(self) -> None:
        """Called by Serve."""
        await self._network.check()

    async def _infer(self, request: Request) -> Response:
        length = request.headers.get("Content-Length", "")
        if not is_size(length, self._most_bytes):
            expected = f"expected a POST of at most {self._most_bytes} bytes, got {length[:20] or 'no length'}"
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, expected)
        px = self._network.engine.input_px
        try:
            number, image = read_request(await request.body(), request.headers.get(LENGTH_HEADER), px)
        except ProtocolError as error:
            self._images.inc(tags={"outcome": "refused"})
            return refusal(HTTPStatus.BAD_REQUEST, str(error))
        probabilities = await self._network.infer(image)
        accepted = request.headers.get("Accept-Encoding", "")
        headers, body = write_answer(self._name, self._sha256, number, as_planes(probabilities), accepted)
        self._images.inc(tags={"outcome": "answered"})
        if self._shadow is not None:
            self._compare(self._shadow, image, self._network.has_hero(probabilities))
        return Response(body, headers=headers)

    def _compare(self, shadow: DeploymentHandle, image: np.ndarray, is_found: bool) -> None:
        """Send an image to the shadow without waiting for it, unless the shadow still works on the image before."""
        if self._comparison is not None and not self._comparison.done():
            self._compared.inc(tags={"found_by": "not compared"})
            return

        async def compare() -> None:
            try:
                is_found_there = await shadow.has_hero.remote(image)
                found_by = {(True, True): "both", (True, False): "network", (False, True): "shadow"}
                self._compared.inc(tags={"found_by": found_by.get((is_found, is_found_there), "neither")})
            except Exception:  # an error of the shadow must not affect the answers
                logger.exception("the shadow failed")
                self._compared.inc(tags={"found_by": "not compared"})

        self._comparison = asyncio.ensure_future(compare())

    def _shows_token(self, request: Request) -> bool:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        assert self._token is not None
        return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token.encode())


def deployment(kind: type, cpus: float, **options: Any) -> Any:
    """Make a class of replicas a deployment of Serve, with the name of the class."""
    return serve.deployment(
        kind,
        max_ongoing_requests=MOST_ONGOING,
        ray_actor_options={"num_cpus": cpus},
        health_check_period_s=CHECK_EVERY_S,
        health_check_timeout_s=CHECK_WITHIN_S,
        graceful_shutdown_timeout_s=STOP_WITHIN_S,
        **options,
    )


def refusal(status: HTTPStatus, words: str) -> Response:
    """An error response of the protocol.

    Args:
        status: status of the response.
        words: the error; may quote the request, also invalid Unicode such as half a surrogate pair.
    """
    return JSONResponse({"error": quoted(words)}, status)


def app(arguments: dict[str, Any]) -> serve.Application:
    """Build the application. Serve calls it with the arguments after the import path, or with `args` of `fleet.yaml`.

    Args:
        arguments: fields of `FleetSettings`.

    Raises:
        ValueError, FileNotFoundError: as `read_settings` and `read_token_of` do.
    """
    settings = read_settings(arguments)
    token = read_token_of(settings)
    scaling = {
        "min_replicas": settings.replicas,
        "max_replicas": settings.most_replicas,
        "target_ongoing_requests": 2,
        "upscale_delay_s": 5,
        "downscale_delay_s": 120,
    }
    network = deployment(
        Network, cpus=1, autoscaling_config=scaling, max_queued_requests=MOST_ONGOING * settings.most_replicas
    )
    # Half a core is enough, because the shadow may leave out images.
    shadow = None if settings.shadow is None else deployment(Shadow, cpus=0.5).bind(settings)
    return network.bind(settings, token, shadow)
