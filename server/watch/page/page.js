// Shows messages about all simulators. They come from the server's stream (live.js) or from a recording (recording.js).

import { Card, showWarnings } from "/page/card.js";
import { showNetworks } from "/page/networks.js";
import { write } from "/page/words.js";

/** By the simulators' names. */
export const cards = new Map();
const $ = (selector) => document.querySelector(selector);

write($("#nobody span"), location.origin);

/** Shows the situation; cards keep the moments of earlier messages. */
export function show(message) {
  const inFull = message.simulators.filter((about) => about.moments);
  const here = new Set(inFull.map((about) => about.name));
  removeCards((name) => !here.has(name));
  for (const about of inFull) {
    if (!cards.has(about.name)) cards.set(about.name, new Card(about.name));
    cards.get(about.name).place(message.simulators.indexOf(about) + 1);
    cards.get(about.name).show(about, message.now_s, message.network.targets);
  }
  for (const card of cards.values()) card.isTold = cards.size === 1 || card.isCurrent;
  showNetworks(message.network);
  showFront(message.front);
  write($("#trouble"), message.trouble ?? "");
  $("#trouble").hidden = !message.trouble;
  $("#nobody").hidden = message.simulators.length > 0;
  showWarnings($("#others .warnings"), message.others);
  $("#others").hidden = !message.others.length;
  const [only] = inFull.length === 1 ? inFull : [];
  document.title = only ? `${only.is_held ? "on hold" : only.state} · Follow me` : "Follow me";
}

/** Shows which of several fronts this server is, with a link to the list of fronts. */
function showFront(front) {
  $("#front").hidden = !front;
  if (!front) return;
  write($("#front a"), front.name);
  $("#front a").href = `//${location.hostname}:${front.shared_port}/`;
}

/** Removes the cards of some simulators, by default of all, so that nothing acts on them. */
export function removeCards(isMeant = () => true) {
  for (const [name, card] of cards) {
    if (isMeant(name)) {
      card.element.remove();
      cards.delete(name);
    }
  }
}

/** Makes all cards start anew, because the next message brings pictures and the whole history. */
export function startAnew() {
  for (const card of cards.values()) card.startAnew();
}

/** Shows the state of the connection ("connecting", "live" or "lost") and words about it. */
export function tellLink(link, words) {
  write($("#link"), words);
  if ($("#link").dataset.link === link) return; // a recording calls this with each picture
  document.documentElement.dataset.link = $("#link").dataset.link = link;
  // A tab in the background shows only its title. It is disconnected, so the title must not show an old state.
  if (link !== "live") document.title = link === "lost" ? "no connection · Follow me" : "Follow me";
}

const redraw = () => cards.forEach((card) => card.draw());
window.addEventListener("resize", redraw);
window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", redraw);
