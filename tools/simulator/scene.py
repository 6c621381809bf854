"""Render the view of a camera in the city: colours, depth and the person at each pixel, by Panda3D without a display.

Ground, sky, shadows and fog are computed per pixel. Panda3D draws the objects on the ground twice: in colour, and with
depth and object number encoded as colours, because its software renderer does not return depth.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import panda3d.core as panda

from model.scoring import HERO, PEOPLE, SURROUNDINGS
from server.sight.geometry import Camera, world_from_camera
from server.wire.messages import Pose
from tools.simulator.block import BUILDING_STYLES
from tools.simulator.bodies import PERSON, Bodies, Body, as_array
from tools.simulator.city import City
from tools.simulator.frames import rays_camera
from tools.simulator.ground import SHADE_ON_GROUND, Ground
from tools.simulator.people import Person
from tools.simulator.shapes import Mesh, merged
from tools.simulator.structures import LEAVES, PLAIN, structures, surface_textures
from tools.simulator.textures import cloth

NOBODY = 255
"""Value of `View.person` at pixels without a person."""
MOST_LOOKS = 61
"""Most people in a scene, with the hero."""

FOG_DENSITY = 0.001
"""QuadSim's, per metre."""
_FOG_COLOUR = np.array([190.0, 198.0, 208.0], np.float32)
_SHADE_ON_PEOPLE = 0.38
_NEAR_SIDES, _FAR_SIDES = 10, 5
_DETAIL_WITHIN_M = 11.0
_MOST_SHRINK_M = 0.03

# The texture of depth and number: its column is the depth, its row the number.
_DEPTH_STEPS = 2048
_NUMBERS = 64
_SOLID, _LEAF, _NOTHING = 0, MOST_LOOKS + 1, MOST_LOOKS + 2
# tinydisplay interpolates textures with correct perspective only if the far plane is almost infinitely far.
_NEAR_M, _ENDLESS_M = 0.1, 1e5

_VERTEX = np.dtype([("point", "<f4", 3), ("colour", "u1", 4), ("uv", "<f4", 2), ("number", "<f4", 2)])

panda.loadPrcFileData("", "load-display p3tinydisplay\naudio-library-name null\nnotify-level error")


class View(NamedTuple):
    """A rendered view.

    Args:
        rgb: (px, px, 3) uint8.
        depth_m: (px, px) float32, planar, metres; infinite beyond the camera's far plane and in the sky.
        classes: (px, px) uint8, indices into `model.scoring.CLASSES`.
        person: (px, px) uint8, index of the person in the argument of `render`; `NOBODY` elsewhere.
        hero_unoccluded_px: pixels that the hero would have without objects in front.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    classes: np.ndarray
    person: np.ndarray
    hero_unoccluded_px: int


class Scene:
    """A renderer for a city with people.

    Args:
        city: the layout; its seed also decides textures, clouds and the sun.
        looks: looks of the people, the hero first; at most `MOST_LOOKS`.
        bodies: kind of the body of each; None: all are people. Here, animals and vehicles count as people, too.
        px: width and height of the views.
        opengl: draw with OpenGL (by EGL, without a display) instead of in software.

    Raises:
        ValueError: if there are too many people, or none.
        RuntimeError: if the renderer is not available.
    """

    def __init__(
        self,
        city: City,
        looks: Sequence[Any],
        *,
        bodies: Sequence[Body] | None = None,
        px: int = 256,
        opengl: bool = False,
    ) -> None:
        if not 1 <= len(looks) <= MOST_LOOKS:
            raise ValueError(f"expected 1 to {MOST_LOOKS} looks, got {len(looks)}")
        rng = np.random.default_rng(city.seed)
        # The software renderer fills every pixel that an edge touches, half a pixel too much on each side.
        self._edge_px = 0.0 if opengl else 0.5
        self.camera = Camera(image_px=px)
        self._looks = len(looks)
        self._heights_m = np.array([look.height_m for look in looks])
        self._ground = Ground(city, rng)
        self._rays_camera = rays_camera(self.camera).astype(np.float32)
        kinds = bodies or [PERSON] * len(looks)
        self._reaches_m = np.array([kind.reach_m for kind in kinds])
        self._crowds: list[tuple[_Crowd, _Crowd]] = []
        for kind in dict.fromkeys(kinds):
            who = np.flatnonzero([other is kind for other in kinds])
            near, far = (
                Bodies([looks[number] for number in who.tolist()], sides, kind) for sides in (_NEAR_SIDES, _FAR_SIDES)
            )
            self._crowds.append((_Crowd(near, who), _Crowd(far, who)))
            if who[0] == 0:
                self._lone_hero = _Crowd(near, who[:1])

        # These pipes need no display, unlike the default pipes of the two modules.
        pipe_type, module = (
            ("eglGraphicsPipe", "p3headlessgl") if opengl else ("TinyOffscreenGraphicsPipe", "p3tinydisplay")
        )
        self._pipe = panda.GraphicsPipeSelection.getGlobalPtr().makePipe(pipe_type, module)
        if self._pipe is None:
            raise RuntimeError(f"expected Panda3D's renderer {module}, it is not available")
        self._engine = panda.GraphicsEngine(self._pipe)
        self._colours = _Pass(self._engine, self._pipe, "colours", self.camera)
        self._numbers = _Pass(self._engine, self._pipe, "numbers", self.camera)
        self._hero_alone = _Pass(self._engine, self._pipe, "hero", self.camera)
        self._number_stage = panda.TextureStage("numbers")
        self._build(city, rng)

    def _build(self, city: City, rng: np.random.Generator) -> None:
        """Add all objects to the passes."""
        surfaces = {name: self._colours.root.attachNewNode(name) for name in (PLAIN, LEAVES)}
        for name, image in surface_textures(rng, BUILDING_STYLES).items():
            surfaces[name] = self._colours.root.attachNewNode(name)
            surfaces[name].setTexture(_texture(image))
        # One number for objects that can be in the shade, another for leaves, because they would shade themselves.
        self._static = {number: panda.NodePath(f"static {number}") for number in (_SOLID, _LEAF)}
        for parts in structures(city, rng):
            for surface in sorted({surface for surface, _ in parts}):
                mesh = merged([mesh for name, mesh in parts if name == surface]).lit(self._ground.sun)
                node = _geometry(surface, _vertices(mesh), mesh.triangles)
                # Both passes share the node, so their differences are set on its parents.
                surfaces[surface].attachNewNode(node).setTwoSided(surface == LEAVES)
                self._static[_LEAF if surface == LEAVES else _SOLID].attachNewNode(node)
        number_texture = _number_texture()
        self._number_stage.setMode(panda.TextureStage.MReplace)
        for static in self._static.values():
            static.reparentTo(self._numbers.root)
            static.setTexture(self._number_stage, number_texture)
            static.setTexGen(self._number_stage, panda.TexGenAttrib.MWorldPosition)
        people_stage = panda.TextureStage("people")
        people_stage.setMode(panda.TextureStage.MReplace)
        people_stage.setTexcoordName("number")
        dressed, counted = self._colours.root.attachNewNode("people"), self._numbers.root.attachNewNode("people")
        dressed.setTexture(_texture(cloth(rng)))
        counted.setTexture(people_stage, number_texture)
        for crowd in itertools.chain.from_iterable(self._crowds):
            dressed.attachNewNode(crowd.node)
            counted.attachNewNode(crowd.node)
        self._hero_alone.root.setTexture(people_stage, number_texture)
        self._hero_alone.root.attachNewNode(self._lone_hero.node)

    def render(self, camera_pose: Pose, people: Sequence[Person]) -> View:
        """Render the view of a camera.

        Args:
            camera_pose: pose of the camera, world frame.
            people: positions and postures, in the order of the looks.

        Raises:
            ValueError: if the numbers of people and looks differ.
        """
        if len(people) != self._looks:
            raise ValueError(f"expected {self._looks} people, the number of looks, got {len(people)}")
        transform = world_from_camera(camera_pose)
        is_hero_in_view = self._place_people(transform, as_array(people))
        for rendered in (self._colours, self._numbers, self._hero_alone):
            rendered.look(transform)
        self._hero_alone.buffer.setActive(is_hero_in_view)
        for row, static in self._static.items():
            static.setTexTransform(self._number_stage, _depth_and_number(transform, row, self.camera.far_m))
        self._engine.renderFrame()

        numbers = self._numbers.image()
        number = numbers[..., 2] >> 2
        step = (numbers[..., 0].astype(np.int32) >> 3) * (_DEPTH_STEPS // 32) + (numbers[..., 1] >> 2)
        is_drawn = (number != _NOTHING) & (step < _DEPTH_STEPS - 1)
        drawn_depth_m = (step + np.float32(0.5)) * np.float32(self.camera.far_m / _DEPTH_STEPS)
        rgb, depth_m = self._assemble(transform, self._colours.image(), drawn_depth_m, number, is_drawn)
        person = np.where(is_drawn & (number != _SOLID) & (number != _LEAF), number - 1, NOBODY).astype(np.uint8)
        classes = np.full(person.shape, SURROUNDINGS, np.uint8)
        classes[person != NOBODY] = PEOPLE
        classes[person == 0] = HERO
        hero_px = int(np.count_nonzero(self._hero_alone.image()[..., 2] >> 2 != _NOTHING)) if is_hero_in_view else 0
        return View(rgb, depth_m, classes, person, hero_px)

    def close(self) -> None:
        """Free the buffers; the scene cannot render afterwards."""
        self._engine.removeAllWindows()

    def _place_people(self, transform: np.ndarray, people: np.ndarray) -> bool:
        """Pose the people in view; returns whether the hero is in view."""
        middles = np.column_stack([people[:, :2], self._heights_m / 2]) - transform[:3, 3]
        depth_m, left_m, up_m = (middles @ transform[:3, :3]).T
        half = math.tan(math.radians(self.camera.vertical_fov_deg) / 2)
        beside_m = np.maximum(np.abs(left_m), np.abs(up_m)) - half * depth_m
        is_in_view = (beside_m < self._reaches_m * math.hypot(1.0, half)) & (depth_m > -self._reaches_m)
        is_in_view &= depth_m < self.camera.far_m + self._reaches_m
        is_near = depth_m < _DETAIL_WITHIN_M
        shaded = np.zeros(len(people))
        for forward_m, left in ((0.25, 0.0), (-0.25, 0.0), (0.0, 0.25), (0.0, -0.25)):
            shaded += self._ground.is_shaded(people[:, 0] + forward_m, people[:, 1] + left, 1.0)
        brightness = (1.0 + (_SHADE_ON_PEOPLE - 1.0) * shaded / 4).astype(np.float32)
        forward = np.append(transform[:3, 0], -transform[:3, 0] @ transform[:3, 3]) / self.camera.far_m
        shrink_m = np.clip(depth_m * (self._edge_px / self.camera.focal_px), 0.0, _MOST_SHRINK_M).astype(np.float32)
        for near, far in self._crowds:
            for crowd, chosen in ((near, is_in_view & is_near), (far, is_in_view & ~is_near)):
                crowd.show(chosen, people, self._ground.sun, brightness, shrink_m, forward)
        self._lone_hero.show(is_in_view, people, self._ground.sun, brightness, shrink_m, forward)
        return bool(is_in_view[0])

    def _assemble(
        self,
        transform: np.ndarray,
        drawn: np.ndarray,
        drawn_depth_m: np.ndarray,
        number: np.ndarray,
        is_drawn: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add ground and sky behind the drawn objects, then shadows and fog; returns colours and depth."""
        rays = self._rays_camera @ transform[:3, :3].T.astype(np.float32)
        x_m, y_m, z_m = transform[:3, 3].astype(np.float32)
        with np.errstate(divide="ignore"):
            ground_m = np.where(rays[..., 2] < 0, -z_m / np.minimum(rays[..., 2], -1e-9), np.inf)
        is_ground = ~is_drawn & (ground_m > 0) & (ground_m < self.camera.far_m)
        is_sky = ~is_drawn & ~is_ground
        depth_m = np.where(is_drawn, drawn_depth_m, np.where(is_ground, ground_m, np.float32(np.inf)))

        rgb = drawn.astype(np.float32)
        ground_rays, reach_m = rays[is_ground], ground_m[is_ground]
        # Along the view direction, a pixel covers 1 / sin(angle to the ground) times its size across.
        blur_m = reach_m / np.float32(self.camera.focal_px) * np.sqrt(reach_m / max(z_m, 0.1))
        rgb[is_ground] = self._ground.colours(
            x_m + reach_m * ground_rays[:, 0], y_m + reach_m * ground_rays[:, 1], blur_m
        )
        # Test points slightly in front of each surface, so that a sunny wall is not in the shadow of its own house.
        lit_m = np.where(is_drawn, depth_m - 0.5, np.where(is_ground, depth_m, 0.0))
        shaded = self._ground.is_shaded(
            x_m + lit_m * rays[..., 0], y_m + lit_m * rays[..., 1], z_m + lit_m * rays[..., 2]
        )
        shaded &= is_ground | (is_drawn & (number == _SOLID))
        fog = np.exp(-FOG_DENSITY * np.where(is_sky, 0, depth_m))
        rgb *= (np.where(shaded, np.float32(SHADE_ON_GROUND), np.float32(1.0)) * fog)[..., np.newaxis]
        rgb += (1.0 - fog)[..., np.newaxis] * _FOG_COLOUR
        rgb[is_sky] = self._ground.sky(rays[is_sky])
        return rgb.astype(np.uint8), depth_m.astype(np.float32)


class _Pass:
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


class _Crowd:
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
        self._vertices = np.zeros((most, bodies.vertex_count), _VERTEX)
        self._vertices["uv"] = bodies.uv * [2.0, 3.0]
        self._vertices["colour"][..., 3] = 255
        self.node = _geometry("people", self._vertices.ravel(), self._triangles[:0])
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
            vertices["number"][..., 1] = ((who + 1.5) / _NUMBERS)[:, np.newaxis]
            data = self.node.modifyGeom(0).modifyVertexData()
            data.modifyArrayHandle(0).copyDataFrom(self._vertices)
        _set_triangles(self.node.modifyGeom(0).modifyPrimitive(0), self._triangles[:count])


def _geometry(name: str, vertices: np.ndarray, triangles: np.ndarray) -> Any:
    """Make a node of (N,) `_VERTEX` and the corners of triangles."""
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
    _set_triangles(primitive, triangles)
    geometry = panda.Geom(data)
    geometry.addPrimitive(primitive)
    node = panda.GeomNode(name)
    node.addGeom(geometry)
    return node


def _set_triangles(primitive: Any, triangles: np.ndarray) -> None:
    corners = primitive.modifyVertices(triangles.size)
    corners.uncleanSetNumRows(triangles.size)
    if triangles.size:
        corners.modifyHandle().copyDataFrom(np.ascontiguousarray(triangles, np.uint32))


def _vertices(mesh: Mesh) -> np.ndarray:
    vertices = np.zeros(len(mesh.points_m), _VERTEX)
    vertices["point"], vertices["uv"] = mesh.points_m, mesh.uv
    vertices["colour"][:, :3] = np.clip(mesh.colours * 255, 0, 255)
    vertices["colour"][:, 3] = 255
    return vertices


def _texture(image: np.ndarray) -> Any:
    """Make a repeating texture of an image whose first row is the top."""
    texture = panda.Texture()
    texture.setup2dTexture(image.shape[1], image.shape[0], panda.Texture.TUnsignedByte, panda.Texture.FRgb)
    texture.setRamImage(np.ascontiguousarray(image[::-1, :, ::-1]).tobytes())
    texture.setMinfilter(panda.SamplerState.FTNearestMipmapNearest)
    texture.setMagfilter(panda.SamplerState.FTNearest)
    return texture


def _number_texture() -> Any:
    """Make the texture whose column s encodes step s in red (upper five bits) and green (lower six), row t in blue.

    Each value is shifted up and centred in its step, so that rounding does not change it.
    """
    image = np.full((_NUMBERS, _DEPTH_STEPS, 4), 255, np.uint8)
    step = np.arange(_DEPTH_STEPS)
    image[..., 2], image[..., 1] = (step >> 6) * 8 + 4, (step & 63) * 4 + 2
    image[..., 0] = (np.arange(_NUMBERS) * 4 + 2)[:, np.newaxis]
    texture = panda.Texture("numbers")
    texture.setup2dTexture(_DEPTH_STEPS, _NUMBERS, panda.Texture.TUnsignedByte, panda.Texture.FRgba)
    texture.setRamImage(image.tobytes())
    texture.setMinfilter(panda.SamplerState.FTNearest)
    texture.setMagfilter(panda.SamplerState.FTNearest)
    texture.setWrapU(panda.SamplerState.WMClamp)
    texture.setWrapV(panda.SamplerState.WMClamp)
    return texture


def _depth_and_number(transform: np.ndarray, number: int, far_m: float) -> Any:
    """Transform from world points to texture coordinates: depth as a share of the far depth, and a constant row."""
    forward, place = transform[:3, 0], transform[:3, 3]
    rows = np.zeros((4, 4))
    rows[0] = np.append(forward, -forward @ place) / far_m
    rows[1, 3] = (number + 0.5) / _NUMBERS
    rows[2, 2] = rows[3, 3] = 1.0
    return panda.TransformState.makeMat(panda.LMatrix4(*rows.T.ravel().tolist()))
