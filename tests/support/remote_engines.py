"""What tests of networks on another machine share: the network, images, the kinds of machines, a right answer."""

import numpy as np

from model.engines import Engine
from model.engines.self_test import known_frame
from support.grpc_server import GrpcInferenceServer
from support.inference_server import InferenceServer
from tools.simulator.server_process import SHIPPED_WEIGHTS

WEIGHTS = SHIPPED_WEIGHTS.with_name("fcn4")
FRAME = known_frame(160)
IMAGES = np.concatenate([FRAME, FRAME[:, :, ::-1], FRAME[:, ::-1]])
KINDS = {"http": InferenceServer, "grpc": GrpcInferenceServer}


def assert_right(engine: Engine, local: Engine, images: np.ndarray = IMAGES) -> None:
    """Check that the answers are those of the local engine, in half precision, at pixels that may show a person."""
    got, expected = engine.infer(images), local.infer(images)
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    is_sure = expected[..., 0] >= 0.9
    assert 0 < (~is_sure).sum() < is_sure.sum()
    np.testing.assert_allclose(got[~is_sure], expected[~is_sure], rtol=1e-3, atol=1e-7)
    assert (got[is_sure] == (1, 0, 0)).all()
