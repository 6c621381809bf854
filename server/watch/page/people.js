// The tracked people: the list with its buttons, and the person at a click into the picture or onto the map.

import { isOld, write } from "/page/words.js";

const LEAST_SHOWN = 0.01; // a lower probability is not shown, as in the picture
const LIKELY = 0.2; // the least probability of the tracker's candidates
const NEAR_PX = 26; // largest distance of a click, for fingers
const MOST_ROWS = 60; // most rows while the list is in use, because then people who have gone stay in it
const canHover = window.matchMedia("(hover: hover)");

/**
 * People from the stream's arrays. `body` is their position in the picture, from above the head to the feet. `isInView`
 * is as of the newest frame, and `isStale` says that this frame is old. `isHeld`: the drone is on hold.
 */
export function peopleOf(about) {
  return about.people.map(([number, probability, x, y, isInView, isRefused, u, v, top]) => ({
    number,
    probability,
    at: [x, y],
    isInView: isInView === 1,
    isStale: isOld(about.frame_age_s),
    isRefused: isRefused === 1,
    isFollowed: number === about.followed,
    isHeld: about.is_held,
    isChosen: number === about.chosen,
    body: u === null ? null : { u, top, bottom: v + (v - top) },
  }));
}

/** Whether a person gets a number on the map. Not all do, because a hundred are remembered in a busy place. */
export const hasNumber = (person) => person.isInView || person.isChosen || person.isRefused || percent(person) !== "";

/** The probability, such as "97 %"; "" if it is negligible. */
export function percent({ probability }) {
  return probability < LEAST_SHOWN ? "" : `${Math.min(Math.round(100 * probability), 99)} %`;
}

/** The person in the picture at a mouse event; undefined if nobody is near. */
export function personInPicture(image, people, event) {
  const { left, top, width, height } = image.getBoundingClientRect();
  const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight); // a wide picture leaves bars
  const [wide, high] = [image.naturalWidth * scale, image.naturalHeight * scale];
  const [x, y] = [event.clientX - left - (width - wide) / 2, event.clientY - top - (height - high) / 2];
  const inPicture = people.filter((person) => person.body);
  return nearest(inPicture, ({ body }) => {
    const nextY = Math.min(Math.max(y, body.top * high), body.bottom * high);
    return Math.hypot(x - body.u * wide, y - nextY);
  });
}

/** The person on the map at a mouse event; undefined if nobody is near. `at` converts metres to the canvas. */
export function personOnMap(canvas, at, people, event) {
  const { left, top } = canvas.getBoundingClientRect();
  return nearest(people, (person) => {
    const [x, y] = at(person.at);
    return Math.hypot(event.clientX - left - x, event.clientY - top - y);
  });
}

function nearest(people, distanceOf) {
  const near = people.map((person) => [distanceOf(person), person]).filter(([distance]) => distance <= NEAR_PX);
  return near.sort(([one], [other]) => one - other)[0]?.[1];
}

/** The list. It calls `choose` with a person's number, or null for a release, and `refuse` with a number. */
export class PeopleList {
  constructor(element, choose, refuse) {
    this.rows = new Map();
    this.choose = choose;
    this.refuse = refuse;
    this.list = element.querySelector("ul");
    this.nobody = element.querySelector(".empty");
    this.releaseButton = element.querySelector(".release");
    this.releaseButton.addEventListener("click", () => choose(null, this.releaseButton));
  }

  show(people, chosen) {
    const shown = people.filter(isOfInterest).sort((one, other) => rankOf(one) - rankOf(other) || one.number - other.number);
    const known = new Map(people.map((person) => [person.number, person]));
    // While the list is in use, rows must neither move (before a click) nor lose the focus: newcomers go to the end.
    const isInUse = (canHover.matches && this.list.matches(":hover")) || this.list.querySelector(":focus-visible");
    const newcomers = shown.filter(({ number }) => !this.rows.has(number));
    if (isInUse) this.append(newcomers.slice(0, Math.max(0, MOST_ROWS - this.rows.size)));
    else this.arrange(shown);
    for (const [number, row] of this.rows) {
      if (known.has(number)) row.show(known.get(number));
      else row.leave();
    }
    this.nobody.hidden = this.rows.size > 0;
    this.releaseButton.hidden = chosen === null;
    if (chosen !== null) write(this.releaseButton, `Release person ${chosen}`);
  }

  append(newcomers) {
    for (const { number } of newcomers) {
      this.rows.set(number, new Row(number, this.choose, this.refuse));
      this.list.append(this.rows.get(number).element);
    }
  }

  /** Makes the list have exactly these people's rows, in their order. */
  arrange(shown) {
    const before = this.rows;
    this.rows = new Map(shown.map(({ number }) => [number, before.get(number) ?? new Row(number, this.choose, this.refuse)]));
    const [wanted, there] = [[...this.rows.values()].map((row) => row.element), this.list.children];
    const isSame = wanted.length === there.length && wanted.every((element, at) => element === there[at]);
    if (!isSame) this.list.replaceChildren(...wanted);
  }
}

class Row {
  constructor(number, choose, refuse) {
    this.element = document.querySelector("#person").content.firstElementChild.cloneNode(true);
    this.element.dataset.number = number;
    this.element.querySelector(".number").textContent = number;
    this.followButton = this.button(".follow", `Follow person ${number}`, (button) => choose(number, button));
    this.refuseButton = this.button(".refuse", `Not this one: person ${number}`, (button) => refuse(number, button));
  }

  button(selector, label, press) {
    const button = this.element.querySelector(selector);
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => press(button));
    return button;
  }

  show(person) {
    this.element.dataset.as = lookOf(person);
    write(this.element.querySelector(".chance"), percent(person) || "under 1 %");
    write(this.element.querySelector(".where"), whereabouts(person));
    this.followButton.disabled = this.refuseButton.disabled = false;
  }

  /** Shows that the person is no longer tracked, while the row has to stay. */
  leave() {
    this.element.dataset.as = "gone";
    write(this.element.querySelector(".where"), "gone");
    this.followButton.disabled = this.refuseButton.disabled = true;
  }
}

const isOfInterest = (person) =>
  person.isInView || person.isFollowed || person.isChosen || person.isRefused || person.probability >= LIKELY;

/** The order in the list: likely, followed and chosen people first, then people in view, refused people last. */
function rankOf({ probability, isInView, isFollowed, isChosen, isRefused }) {
  if (isRefused) return 3;
  if (isFollowed || isChosen || probability >= LIKELY) return 0;
  return isInView ? 1 : 2;
}

function lookOf({ isRefused, isChosen, isFollowed }) {
  if (isRefused) return "refused";
  if (isChosen) return "chosen";
  return isFollowed ? "followed" : "other";
}

/** What is true of the person whom the tracker follows: while the drone is on hold, it does not. */
export const followedWord = (isHeld) => (isHeld ? "would be followed" : "followed");

function whereabouts({ isInView, isStale, isRefused, isChosen, isFollowed, isHeld }) {
  const words = [isInView ? (isStale ? "was in view" : "in view") : "out of view"];
  if (isFollowed) words.push(followedWord(isHeld));
  if (isChosen) words.push("chosen");
  if (isRefused) words.push("refused");
  return words.join(", ");
}
