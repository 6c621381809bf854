"""Geometry of people in a scene, posed anew for every frame."""

import numpy as np
import panda3d.core as panda

from tools.simulator.bodies import Bodies
from tools.simulator.drawing import VERTEX, geometry, set_triangles
from tools.simulator.numbering import texture_row


class DrawnPeople:
    """Geometry that shows some of the people, all of one kind, and is updated for every frame.

    Args:
        bodies: bodies of these people.
        numbers: their numbers among all people.
    """

    def __init__(self, bodies: Bodies, numbers: np.ndarray) -> None:
        self._bodies, self._numbers = bodies, numbers
        most = len(numbers)
        first = np.arange(most, dtype=np.uint32)[:, np.newaxis, np.newaxis] * bodies.vertex_count
        self._triangles = bodies.triangles + first
        self._vertices = np.zeros((most, bodies.vertex_count), VERTEX)
        self._vertices["uv"] = bodies.uv * [2.0, 3.0]
        self._vertices["colour"][..., 3] = 255
        self.node = geometry("people", self._vertices.ravel(), self._triangles[:0])
        self.node.setBounds(panda.OmniBoundingVolume())
        self.node.setFinal(True)

    def show(
        self,
        is_shown: np.ndarray,
        people: np.ndarray,
        sun: np.ndarray,
        brightness: np.ndarray,
        shrink_m: np.ndarray,
        depth_share: np.ndarray,
    ) -> None:
        """Show people of this crowd, chosen among all N people, in place of those shown before.

        Args:
            is_shown: (N,) bool.
            people: (N, 5) the fields of `Person`.
            sun: (3,) direction towards the sun.
            brightness: (N,) brightness of the light on each person.
            shrink_m: (N,) distance by which the surface of limbs moves inwards.
            depth_share: (4,) row that maps a homogeneous point to depth / far.
        """
        shown = np.flatnonzero(is_shown[self._numbers])
        who, count = self._numbers[shown], len(shown)
        if count:
            crowd = self._bodies.posed(shown, people[who], sun, brightness[who], shrink_m[who])
            vertices = self._vertices[:count]
            vertices["point"] = crowd.points_m
            vertices["colour"][..., :3] = np.minimum(crowd.colours * 255, 255)
            vertices["number"][..., 0] = crowd.points_m @ depth_share[:3].astype(np.float32) + np.float32(
                depth_share[3]
            )
            vertices["number"][..., 1] = texture_row(who + 1)[:, np.newaxis]
            data = self.node.modifyGeom(0).modifyVertexData()
            data.modifyArrayHandle(0).copyDataFrom(self._vertices)
        set_triangles(self.node.modifyGeom(0).modifyPrimitive(0), self._triangles[:count])
