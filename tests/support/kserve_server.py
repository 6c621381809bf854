"""A network served by KServe's Python server: `kserve_server.py WEIGHTS --http_port PORT --grpc_port PORT`."""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a process of its own: pytest's path is not there

import kserve
import numpy as np

from model.engines import load_engine
from model.engines.inference_protocol import INPUT, OUTPUT
from model.engines.inference_service import as_planes


class Network(kserve.Model):
    """Takes RGB images and gives planes of probabilities, as docs/fleet.md says of other machines."""

    def __init__(self, weights: str) -> None:
        super().__init__(Path(weights).name)
        self._engine = load_engine("openvino", weights, threads=1)
        self.ready = True

    async def get_input_types(self) -> list[dict[str, Any]]:
        px = self._engine.input_px
        return [{"name": INPUT, "datatype": "UINT8", "shape": [-1, px, px, 3]}]

    async def get_output_types(self) -> list[dict[str, Any]]:
        px = self._engine.input_px
        return [{"name": OUTPUT, "datatype": "FP16", "shape": [-1, len(self._engine.card.classes), px, px]}]

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> kserve.InferResponse:
        [image] = payload.inputs
        planes = np.concatenate([as_planes(each) for each in self._engine.infer(image.as_numpy())])
        output = kserve.InferOutput(OUTPUT, list(planes.shape), "FP16")
        output.set_data_from_numpy(planes, binary_data=True)  # gRPC fails if the array is given above
        return kserve.InferResponse(payload.id, self.name, [output], use_binary_outputs=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.add_argument("weights")
    options = parser.parse_args()
    server = kserve.ModelServer(http_port=options.http_port, grpc_port=options.grpc_port)
    server.start([Network(options.weights)])
