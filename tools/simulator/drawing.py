"""Drawing with Panda3D without a display: offscreen passes, meshes and textures."""

from typing import Any

import numpy as np
import panda3d.core as panda

from server.sight.geometry import Camera
from tools.simulator.shapes import Mesh

# tinydisplay interpolates textures with correct perspective only if the far plane is almost infinitely far.
_NEAR_M, _ENDLESS_M = 0.1, 1e5

VERTEX = np.dtype([("point", "<f4", 3), ("colour", "u1", 4), ("uv", "<f4", 2), ("number", "<f4", 2)])
"""A vertex of `geometry`."""

panda.loadPrcFileData("", "load-display p3tinydisplay\naudio-library-name null\nnotify-level error")


class Pass:
    """Renders a scene graph into an offscreen buffer; white where there is nothing."""

    def __init__(self, engine: Any, pipe: Any, name: str, camera: Camera) -> None:
        self._px = camera.image_px
        properties = panda.FrameBufferProperties()
        properties.setRgbaBits(8, 8, 8, 8)
        properties.setDepthBits(24)
        size = panda.WindowProperties.size(self._px, self._px)
        self.buffer = engine.makeOutput(pipe, name, 0, properties, size, panda.GraphicsPipe.BFRefuseWindow)
        if self.buffer is None:
            raise RuntimeError(f"expected a Panda3D buffer of {self._px} × {self._px} px, it could not be made")
        self.buffer.setClearColor(panda.LColor(1, 1, 1, 1))
        self._picture = panda.Texture(name)
        self.buffer.addRenderTexture(self._picture, panda.GraphicsOutput.RTMCopyRam, panda.DrawableRegion.RTPColor)
        self.root = panda.NodePath(name)
        # Draw in the order of the graph: the default order follows addresses, and coplanar surfaces would flicker.
        self.root.setBin("unsorted", 0)
        lens = panda.PerspectiveLens()
        lens.setFov(camera.vertical_fov_deg, camera.vertical_fov_deg)
        lens.setNearFar(_NEAR_M, _ENDLESS_M)
        self._eye = self.root.attachNewNode(panda.Camera(name, lens))
        self.buffer.makeDisplayRegion().setCamera(self._eye)

    def look(self, transform: np.ndarray) -> None:
        """Place the camera by `world_from_camera`; Panda3D's camera looks along y and has x to the right."""
        columns = [-transform[:, 1], transform[:, 0], transform[:, 2], transform[:, 3]]
        self._eye.setMat(panda.LMatrix4(*np.concatenate(columns).tolist()))

    def image(self) -> np.ndarray:
        """(px, px, 3) uint8 RGB of the latest frame."""
        flat = np.frombuffer(self._picture.getRamImage(), np.uint8)
        return flat.reshape(self._px, self._px, 4)[::-1, :, 2::-1]


def geometry(name: str, vertices: np.ndarray, triangles: np.ndarray) -> Any:
    """Make a node of (N,) `VERTEX` and the corners of triangles."""
    columns = panda.GeomVertexArrayFormat()
    columns.addColumn(panda.InternalName.getVertex(), 3, panda.Geom.NTFloat32, panda.Geom.CPoint)
    columns.addColumn(panda.InternalName.getColor(), 4, panda.Geom.NTUint8, panda.Geom.CColor)
    columns.addColumn(panda.InternalName.getTexcoord(), 2, panda.Geom.NTFloat32, panda.Geom.CTexcoord)
    columns.addColumn(panda.InternalName.getTexcoordName("number"), 2, panda.Geom.NTFloat32, panda.Geom.CTexcoord)
    layout = panda.GeomVertexFormat.registerFormat(panda.GeomVertexFormat(columns))
    data = panda.GeomVertexData(name, layout, panda.Geom.UHDynamic)
    data.uncleanSetNumRows(len(vertices))
    data.modifyArrayHandle(0).copyDataFrom(np.ascontiguousarray(vertices))
    primitive = panda.GeomTriangles(panda.Geom.UHDynamic)
    primitive.setIndexType(panda.Geom.NTUint32)
    set_triangles(primitive, triangles)
    triangulated = panda.Geom(data)
    triangulated.addPrimitive(primitive)
    node = panda.GeomNode(name)
    node.addGeom(triangulated)
    return node


def set_triangles(primitive: Any, triangles: np.ndarray) -> None:
    """Replace the corners of all triangles of a primitive."""
    corners = primitive.modifyVertices(triangles.size)
    corners.uncleanSetNumRows(triangles.size)
    if triangles.size:
        corners.modifyHandle().copyDataFrom(np.ascontiguousarray(triangles, np.uint32))


def vertices_of(mesh: Mesh) -> np.ndarray:
    """(N,) `VERTEX` of a mesh, with the number 0."""
    vertices = np.zeros(len(mesh.points_m), VERTEX)
    vertices["point"], vertices["uv"] = mesh.points_m, mesh.uv
    vertices["colour"][:, :3] = np.clip(mesh.colours * 255, 0, 255)
    vertices["colour"][:, 3] = 255
    return vertices


def repeating_texture(image: np.ndarray) -> Any:
    """Make a repeating texture of an image whose first row is the top."""
    texture = panda.Texture()
    texture.setup2dTexture(image.shape[1], image.shape[0], panda.Texture.TUnsignedByte, panda.Texture.FRgb)
    texture.setRamImage(np.ascontiguousarray(image[::-1, :, ::-1]).tobytes())
    texture.setMinfilter(panda.SamplerState.FTNearestMipmapNearest)
    texture.setMagfilter(panda.SamplerState.FTNearest)
    return texture
