"""Render the view of a camera in the city: colours, depth and the person at each pixel, by Panda3D without a display.

Ground, sky, shadows and fog are computed per pixel. Panda3D draws the objects on the ground twice: in colour, and with
depth and object number encoded as colours (`numbering.py`).
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
from tools.simulator.drawing import Pass, geometry, repeating_texture, vertices_of
from tools.simulator.drawn_people import DrawnPeople
from tools.simulator.frames import rays_camera
from tools.simulator.ground import SHADE_ON_GROUND, Ground
from tools.simulator.numbering import LEAF, MOST_LOOKS, SOLID, decode, depth_and_number, is_numbered, number_texture
from tools.simulator.people import Person
from tools.simulator.shapes import merged
from tools.simulator.structures import LEAVES, PLAIN, structures, surface_textures
from tools.simulator.textures import cloth

NOBODY = 255
"""Value of `View.person` at pixels without a person."""

FOG_DENSITY = 0.001
"""QuadSim's, per metre."""
_FOG_COLOUR = np.array([190.0, 198.0, 208.0], np.float32)
_SHADE_ON_PEOPLE = 0.38
_NEAR_SIDES, _FAR_SIDES = 10, 5
_DETAIL_WITHIN_M = 11.0
_MOST_SHRINK_M = 0.03


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
        self._crowds: list[tuple[DrawnPeople, DrawnPeople]] = []
        for kind in dict.fromkeys(kinds):
            who = np.flatnonzero([other is kind for other in kinds])
            near, far = (
                Bodies([looks[number] for number in who.tolist()], sides, kind) for sides in (_NEAR_SIDES, _FAR_SIDES)
            )
            self._crowds.append((DrawnPeople(near, who), DrawnPeople(far, who)))
            if who[0] == 0:
                self._lone_hero = DrawnPeople(near, who[:1])

        # These pipes need no display, unlike the default pipes of the two modules.
        pipe_type, module = (
            ("eglGraphicsPipe", "p3headlessgl") if opengl else ("TinyOffscreenGraphicsPipe", "p3tinydisplay")
        )
        self._pipe = panda.GraphicsPipeSelection.getGlobalPtr().makePipe(pipe_type, module)
        if self._pipe is None:
            raise RuntimeError(f"expected Panda3D's renderer {module}, it is not available")
        self._engine = panda.GraphicsEngine(self._pipe)
        self._colours = Pass(self._engine, self._pipe, "colours", self.camera)
        self._numbers = Pass(self._engine, self._pipe, "numbers", self.camera)
        self._hero_alone = Pass(self._engine, self._pipe, "hero", self.camera)
        self._number_stage = panda.TextureStage("numbers")
        self._build(city, rng)

    def _build(self, city: City, rng: np.random.Generator) -> None:
        """Add all objects to the passes."""
        surfaces = {name: self._colours.root.attachNewNode(name) for name in (PLAIN, LEAVES)}
        for name, image in surface_textures(rng, BUILDING_STYLES).items():
            surfaces[name] = self._colours.root.attachNewNode(name)
            surfaces[name].setTexture(repeating_texture(image))
        # One number for objects that can be in the shade, another for leaves, because they would shade themselves.
        self._static = {number: panda.NodePath(f"static {number}") for number in (SOLID, LEAF)}
        for parts in structures(city, rng):
            for surface in sorted({surface for surface, _ in parts}):
                mesh = merged([mesh for name, mesh in parts if name == surface]).lit(self._ground.sun)
                node = geometry(surface, vertices_of(mesh), mesh.triangles)
                # Both passes share the node, so their differences are set on its parents.
                surfaces[surface].attachNewNode(node).setTwoSided(surface == LEAVES)
                self._static[LEAF if surface == LEAVES else SOLID].attachNewNode(node)
        encoding = number_texture()
        self._number_stage.setMode(panda.TextureStage.MReplace)
        for static in self._static.values():
            static.reparentTo(self._numbers.root)
            static.setTexture(self._number_stage, encoding)
            static.setTexGen(self._number_stage, panda.TexGenAttrib.MWorldPosition)
        people_stage = panda.TextureStage("people")
        people_stage.setMode(panda.TextureStage.MReplace)
        people_stage.setTexcoordName("number")
        dressed, counted = self._colours.root.attachNewNode("people"), self._numbers.root.attachNewNode("people")
        dressed.setTexture(repeating_texture(cloth(rng)))
        counted.setTexture(people_stage, encoding)
        for crowd in itertools.chain.from_iterable(self._crowds):
            dressed.attachNewNode(crowd.node)
            counted.attachNewNode(crowd.node)
        self._hero_alone.root.setTexture(people_stage, encoding)
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
            static.setTexTransform(self._number_stage, depth_and_number(transform, row, self.camera.far_m))
        self._engine.renderFrame()

        number, drawn_depth_m, is_drawn = decode(self._numbers.image(), self.camera.far_m)
        rgb, depth_m = self._assemble(transform, self._colours.image(), drawn_depth_m, number, is_drawn)
        person = np.where(is_drawn & (number != SOLID) & (number != LEAF), number - 1, NOBODY).astype(np.uint8)
        classes = np.full(person.shape, SURROUNDINGS, np.uint8)
        classes[person != NOBODY] = PEOPLE
        classes[person == 0] = HERO
        hero_px = int(np.count_nonzero(is_numbered(self._hero_alone.image()))) if is_hero_in_view else 0
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
        shaded &= is_ground | (is_drawn & (number == SOLID))
        fog = np.exp(-FOG_DENSITY * np.where(is_sky, 0, depth_m))
        rgb *= (np.where(shaded, np.float32(SHADE_ON_GROUND), np.float32(1.0)) * fog)[..., np.newaxis]
        rgb += (1.0 - fog)[..., np.newaxis] * _FOG_COLOUR
        rgb[is_sky] = self._ground.sky(rays[is_sky])
        return rgb.astype(np.uint8), depth_m.astype(np.float32)
