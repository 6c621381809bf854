"""Change a converted network to take images of another size.

A network of convolutions takes images of any size. But its conversion holds sizes to which features are enlarged and
tensors are reshaped. These sizes are scaled with the image.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

# Smaller numbers in a shape are axes, channels of the output, or 0 and −1 for "as it is".
_LEAST_SIZE = 4


def reshape(network: Any, px: int, height: int, width: int) -> None:
    """Change a network to take images of another size.

    Args:
        network: an `openvino.Model` from (1, px, px, 3), changed in place; unusable after an error.
        px: height and width of its input.
        height, width: wanted.

    Raises:
        RuntimeError: if the sizes in it are not understood; also from OpenVINO, if they don't fit each other.
    """
    import openvino as ov

    for node in network.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Interpolate", "Reshape"):
            _scale([node.input(1)], (height / px, width / px))
        elif kind == "Concat" and node.get_output_partial_shape(0).rank.get_length() == 1:  # a shape from its parts
            _scale(node.inputs(), (height / px, width / px))
    network.get_parameters()[0].set_partial_shape(ov.PartialShape([1, height, width, 3]))
    network.validate_nodes_and_infer_types()


def _scale(shape: Iterable[Any], factors: tuple[float, float]) -> None:
    """Scale the height and the width in a shape. The shape is given as the inputs of its constants, in order."""
    from openvino import opset13

    scaled = 0
    for part in shape:
        constant = part.get_source_output().get_node()
        if constant.get_type_name() != "Constant" or not np.issubdtype(constant.data.dtype, np.integer):
            continue
        sizes = constant.data.copy()
        for at in np.flatnonzero(sizes >= _LEAST_SIZE).tolist():
            size = sizes.flat[at] * factors[scaled % 2]
            if size != int(size):
                raise RuntimeError(f"expected sizes that scale by {factors}, got {constant.data}")
            sizes.flat[at] = int(size)
            scaled += 1
        part.replace_source_output(opset13.constant(sizes).output(0))
    if scaled not in (0, 2):
        raise RuntimeError(f"expected a height and a width in a shape, got {scaled} sizes")
