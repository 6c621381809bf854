// The map from above, in the ROS world: x points up on the screen, y to the left, in metres.

import { begin, colour, roundUp } from "/page/canvas.js";
import { hasNumber, percent } from "/page/people.js";

const TRACK_S = 60;
const LEAST_SPAN_M = 24;
const MARGIN_PX = 34;
// Limits of a line between two moments: longest time, and highest speed. A faster move means another person's place.
const GAP_S = 3;
const DRONE_MOST_M_S = 20;
const HERO_MOST_M_S = 4;
const LEEWAY_M = 2;

/** Draws the map; returns a function from (x, y) in metres to the canvas, or null while there is nothing to draw. */
export function drawMap(canvas, moments, people, about, nowS) {
  const { context, width, height } = begin(canvas);
  const recent = moments.filter((moment) => moment.camera && nowS - moment.atS < TRACK_S);
  const latest = recent.at(-1);
  if (!latest) return null;
  const scale = fit(recent, people, width, height);
  drawGrid(context, scale, width, height);
  drawView(context, scale, latest.camera, about.fov_deg);
  const ofDrone = { point: (moment) => moment.camera, mostMS: DRONE_MOST_M_S, colourOf: () => colour("drone") };
  const ofHero = { point: (moment) => moment.hero, mostMS: HERO_MOST_M_S, colourOf: (moment) => heroColour(moment.state) };
  drawTrack(context, scale, recent, nowS, ofDrone);
  drawTrack(context, scale, recent, nowS, ofHero);
  drawDrone(context, scale, latest.camera);
  if (latest.hero) drawHero(context, scale, latest.hero, heroColour(about.state));
  for (const person of people) drawPerson(context, scale, person);
  return scale.at;
}

const heroColour = (state) => colour(state === "following" ? "hero" : state);

/** The scale from metres to the canvas, the same in both directions, such that all points fit. */
function fit(moments, people, width, height) {
  const points = moments.flatMap(({ camera, hero }) => (hero ? [camera, hero] : [camera]));
  points.push(...people.map((person) => person.at));
  const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
  const middle = [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
  const spanX = Math.max(Math.max(...xs) - Math.min(...xs), LEAST_SPAN_M);
  const spanY = Math.max(Math.max(...ys) - Math.min(...ys), LEAST_SPAN_M);
  const perMetre = Math.min((height - 2 * MARGIN_PX) / spanX, (width - 2 * MARGIN_PX) / spanY);
  return {
    perMetre,
    middle,
    at: ([x, y]) => [width / 2 - (y - middle[1]) * perMetre, height / 2 - (x - middle[0]) * perMetre],
  };
}

function drawGrid(context, { perMetre, middle, at }, width, height) {
  const step = roundUp(56 / perMetre);
  const reach = Math.ceil(Math.max(width, height) / perMetre / step / 2) + 1;
  context.strokeStyle = colour("grid");
  context.lineWidth = 1;
  context.beginPath();
  for (let line = -reach; line <= reach; line += 1) {
    const [u] = at([0, (Math.round(middle[1] / step) + line) * step]);
    const [, v] = at([(Math.round(middle[0] / step) + line) * step, 0]);
    context.moveTo(u, 0);
    context.lineTo(u, height);
    context.moveTo(0, v);
    context.lineTo(width, v);
  }
  context.stroke();
  const length = step * perMetre;
  context.strokeStyle = context.fillStyle = colour("quiet");
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(14, height - 19);
  context.lineTo(14, height - 14);
  context.lineTo(14 + length, height - 14);
  context.lineTo(14 + length, height - 19);
  context.stroke();
  context.fillText(`${step} m`, 20, height - 20);
}

function isOneWay(from, to, stepS, mostMS) {
  return stepS <= GAP_S && Math.hypot(to[0] - from[0], to[1] - from[1]) <= LEEWAY_M + mostMS * stepS;
}

function drawTrack(context, { at }, moments, nowS, { point, mostMS, colourOf }) {
  context.lineWidth = 2.5;
  for (let index = 1; index < moments.length; index += 1) {
    const [from, to] = [moments[index - 1], moments[index]];
    if (!point(from) || !point(to) || !isOneWay(point(from), point(to), to.atS - from.atS, mostMS)) continue;
    context.globalAlpha = 0.08 + 0.82 * (1 - (nowS - to.atS) / TRACK_S);
    context.strokeStyle = colourOf(to);
    context.beginPath();
    context.moveTo(...at(point(from)));
    context.lineTo(...at(point(to)));
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** The screen angle of a yaw: 0 points up on the screen, positive turns left. */
const angle = (yawDeg) => -Math.PI / 2 - (yawDeg * Math.PI) / 180;

function drawView(context, { at, perMetre }, [x, y, , yawDeg], fovDeg) {
  const [u, v] = at([x, y]);
  const half = (fovDeg * Math.PI) / 360;
  const radius = Math.max(14 * perMetre, 70);
  const glow = context.createRadialGradient(u, v, 0, u, v, radius);
  glow.addColorStop(0, `color-mix(in srgb, ${colour("drone")} 38%, transparent)`);
  glow.addColorStop(1, `color-mix(in srgb, ${colour("drone")} 2%, transparent)`);
  context.fillStyle = glow;
  context.beginPath();
  context.moveTo(u, v);
  context.arc(u, v, radius, angle(yawDeg) - half, angle(yawDeg) + half);
  context.fill();
}

function drawDrone(context, { at }, [x, y, , yawDeg]) {
  context.save();
  context.translate(...at([x, y]));
  context.rotate(angle(yawDeg) + Math.PI / 2);
  context.fillStyle = colour("drone");
  context.strokeStyle = colour("ground");
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(0, -11);
  context.lineTo(8, 9);
  context.lineTo(0, 5);
  context.lineTo(-8, 9);
  context.closePath();
  context.stroke();
  context.fill();
  context.restore();
}

function drawHero(context, { at }, hero, shade) {
  const [u, v] = at(hero);
  context.fillStyle = shade;
  context.globalAlpha = 0.25;
  context.beginPath();
  context.arc(u, v, 13, 0, 2 * Math.PI);
  context.fill();
  context.globalAlpha = 1;
  context.beginPath();
  context.arc(u, v, 6, 0, 2 * Math.PI);
  context.fill();
}

/** A dot with the number; a ring around a chosen person, a cross instead of the dot for a refused person. */
function drawPerson(context, { at }, person) {
  const [u, v] = at(person.at);
  const shade = colour(person.isRefused ? "lost" : "patrol");
  context.globalAlpha = person.isInView ? 1 : 0.45;
  context.fillStyle = context.strokeStyle = shade;
  context.lineWidth = 2;
  context.beginPath();
  if (person.isRefused) {
    context.moveTo(u - 4, v - 4);
    context.lineTo(u + 4, v + 4);
    context.moveTo(u - 4, v + 4);
    context.lineTo(u + 4, v - 4);
    context.stroke();
  } else if (!person.isFollowed) {
    context.arc(u, v, person.isInView ? 4 : 3, 0, 2 * Math.PI);
    context.fill();
  }
  if (person.isChosen) {
    context.strokeStyle = colour("held");
    context.beginPath();
    context.arc(u, v, 11, 0, 2 * Math.PI);
    context.stroke();
  }
  context.globalAlpha = 1; // a pale number would be hard to read
  context.fillStyle = person.isFollowed || person.isChosen ? colour("text") : shade;
  if (hasNumber(person)) context.fillText(`${person.number} ${percent(person)}`, u + 8, v - 8);
}
