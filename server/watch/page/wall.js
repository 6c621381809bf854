// The wall: a tile for each drone, which opens the drone in full. The view is in the page's address: nothing for all
// drones in full, #wall, or #drone=NAME.

import { ask } from "/page/ask.js";
import { isOld, noPicture, write } from "/page/words.js";

const PERIOD_MS = 1000;
const MOST_THUMBNAILS = 24; // in one answer
const WALL = "#wall";
const DRONE = "#drone=";

const $ = (selector, within = document) => within.querySelector(selector);
const tiles = new Map();
let names = []; // of all simulators, in the order of the page
let opened = ""; // the drone that was last shown in full
let asked = 0; // how many simulators' thumbnails have been asked for in this round

/** The simulator to show in full: its name, "" for none (on the wall), or null for all. */
export function inFull() {
  if (location.hash === WALL) return "";
  if (!location.hash.startsWith(DRONE)) return null;
  const name = location.hash.slice(DRONE.length);
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // typed by hand
  }
}

const addressOf = (name) => DRONE + encodeURIComponent(name);

/** Shows a message about all simulators: the tiles of the wall, and the button to the wall if it is useful. */
export function showWall({ simulators }) {
  const isWall = inFull() === "";
  names = simulators.map(({ name }) => name);
  opened = inFull() || opened;
  const button = $("#views button");
  write(button, isWall ? "All in full" : "Wall");
  $("#views").hidden = simulators.length < 2 && inFull() === null;
  $("#wall").hidden = !isWall;
  const here = new Set(isWall ? simulators.map(({ name }) => name) : []);
  for (const [name, tile] of tiles) {
    if (!here.has(name)) {
      tile.remove();
      tiles.delete(name);
    }
  }
  if (isWall) simulators.forEach((about, index) => showTile(about, index + 1));
  const gone = Boolean(inFull()) && !simulators.some(({ name }) => name === inFull());
  $("#gone").hidden = !gone;
  if (gone) write($("#gone b"), inFull());
}

/** Moves the keyboard focus to the drone that has been opened, or back to its tile. */
export function focusView() {
  const target = inFull() === "" ? tiles.get(opened)?.querySelector("a") : inFull() && $("#simulators .simulator");
  target?.focus?.({ preventScroll: true });
}

function showTile({ name, state, is_held, distance_m, frame_age_s }, number) {
  if (!state) return; // of another view
  if (!tiles.has(name)) {
    const item = $("#tile").content.firstElementChild.cloneNode(true);
    $("a", item).href = addressOf(name);
    tiles.set(name, item);
    $("#wall").append(item);
  }
  const link = $("a", tiles.get(name));
  const says = is_held ? "on hold" : state;
  const distance = distance_m === null ? "" : `${distance_m.toFixed(1)} m`;
  link.dataset.state = state;
  link.dataset.held = is_held;
  link.dataset.stale = isOld(frame_age_s);
  write($(".caption", link), noPicture(frame_age_s));
  write($(".name", link), `${number} · ${name}`);
  write($(".state", link), says);
  write($(".distance", link), distance);
  const near = distance && `, ${distance_m.toFixed(0)} m to the person`; // whole metres, to be read out less often
  const label = `Drone ${number}, ${name}, ${says}${near}${isOld(frame_age_s) ? ", no picture" : ""}`;
  if (link.getAttribute("aria-label") !== label) link.setAttribute("aria-label", label);
}

/** Hides all thumbnails until the next answers, because they may be old after a pause of the connection. */
export function hideThumbnails() {
  for (const tile of tiles.values()) $("img", tile).hidden = true;
}

/** Asks for the next thumbnails of the round; hides the image of a drone without a new thumbnail. */
async function askThumbnails() {
  if (inFull() !== "" || document.hidden || !tiles.size) return;
  if (asked >= tiles.size) asked = 0;
  const wanted = names.slice(asked, asked + MOST_THUMBNAILS);
  const response = await ask(`/thumbnails?first=${asked}`);
  asked += MOST_THUMBNAILS;
  const thumbnails = await response.json();
  for (const name of wanted.filter((each) => tiles.has(each))) {
    const image = $("img", tiles.get(name));
    image.hidden = !thumbnails[name];
    if (thumbnails[name]) image.src = `data:image/jpeg;base64,${thumbnails[name]}`;
  }
}

/** Asks for ever. Without an answer, pictures must not look live, even if the stream of events goes on. */
async function keepAsking() {
  try {
    await askThumbnails();
    $("#wall").dataset.stale = false;
  } catch {
    $("#wall").dataset.stale = true;
  }
  setTimeout(keepAsking, PERIOD_MS);
}

function turn() {
  location.hash = inFull() === "" ? "" : WALL;
}

/** Handles W, Escape and digits; returns whether it handled the key. */
export function obeyOnWall({ key, shiftKey, repeat }) {
  if (repeat || shiftKey) return false;
  if (key.toLowerCase() === "w") turn();
  else if (key === "Escape" && inFull() !== null) turn();
  else if (/^[1-9]$/.test(key) && inFull() !== null && names.length >= key) {
    location.hash = addressOf(names[key - 1]);
  } else return false;
  return true;
}

$("#views button").addEventListener("click", turn);
keepAsking();
