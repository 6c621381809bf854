// One simulator: its picture, state, map, people and curves, and the operator's buttons.

import { ask } from "/page/ask.js";
import { latestRate, drawLatency, drawRate } from "/page/chart.js";
import { drawMap } from "/page/map.js";
import { PeopleList, followedWord, peopleOf, personInPicture, personOnMap } from "/page/people.js";
import { isOld, noPicture, write } from "/page/words.js";

const HISTORY_S = 180; // the same as the server's
const REACTION_MS = 500; // time in which a user notices that a button has changed

// By the tracker's state; `target` is the name of the drone's target, such as the hero or a dog.
const MEANINGS = {
  patrol: (target) => `Nobody in view is likely to be the ${target}. The drone patrols.`,
  confirming: (target) => `Somebody may be the ${target}, but is not likely enough yet. The drone patrols.`,
  following: (target) => `The ${target} is in sight. The drone follows.`,
  coasting: () => "Out of sight for a moment. The drone follows the prediction.",
  lost: () => "Out of sight too long, or following was interrupted. The drone patrols.",
};

const undecided = (target) => `Several people could be the ${target}, and none is likely enough. The drone stays on patrol.`;

function meaning({ state, is_held, is_undecided, chosen, followed }, target) {
  if (is_held) return `Kept on patrol by hand. Tracker: ${state}.`;
  if (chosen !== null && followed === null) return `Person ${chosen} is chosen, but not in sight. The drone patrols.`;
  if (chosen !== null && chosen !== followed) {
    return `Person ${chosen} is chosen, but not in sight. The drone follows person ${followed} until person ${chosen} is in sight.`;
  }
  if (chosen !== null && state === "following") return `Person ${chosen} is chosen and in sight. The drone follows.`;
  if (is_undecided) return isRecording() ? undecided(target) : `${undecided(target)} Click the right one to decide.`;
  return MEANINGS[state](target);
}

/** Whether a recording is shown, which takes no orders. */
const isRecording = () => document.documentElement.dataset.source === "recording";

const $ = (selector, within = document) => within.querySelector(selector);

export class Card {
  constructor(name) {
    this.name = name;
    this.moments = [];
    this.element = $("#simulator").content.firstElementChild.cloneNode(true);
    this.holdButton = this.button(".hold", (isHeld) => this.hold(isHeld));
    this.recordButton = this.button(".record", (isRecorded) => this.record(isRecorded));
    this.targetSelect = $(".target select", this.element);
    this.targetSelect.addEventListener("change", () => {
      this.order("/target", { target: this.targetSelect.value }, this.targetSelect, "Target not changed");
    });
    this.people = [];
    this.list = new PeopleList(
      $(".people", this.element),
      (number, button) => this.choose(number, button),
      (number, button) => this.order("/refuse", { person: number }, button, "Not refused"),
    );
    const [image, map] = [$(".picture img", this.element), $(".map canvas", this.element)];
    this.pickable(image, (event) => personInPicture(image, this.people, event));
    this.pickable(map, (event) => this.atOnMap && personOnMap(map, this.atOnMap, this.people, event));
    $("#simulators").append(this.element);
  }

  /** Whether keys act on it. */
  get isCurrent() {
    return this.element.getAttribute("aria-current") === "true";
  }

  set isCurrent(isCurrent) {
    if (isCurrent) this.element.setAttribute("aria-current", "true");
    else this.element.removeAttribute("aria-current");
  }

  /** Whether a screen reader reads out changes by itself; with several drones, only changes of the current one. */
  set isTold(isTold) {
    $(".meaning", this.element).setAttribute("aria-live", isTold ? "polite" : "off");
  }

  get isHeld() {
    return this.about.is_held;
  }

  /** Sets its number on the page, which is also the key that chooses it. */
  place(number) {
    write($(".name", this.element), `${number} · ${this.name}`);
    this.element.setAttribute("aria-label", `Drone ${number}, ${this.name}`);
    $(".people", this.element).setAttribute("aria-label", `People of drone ${number}`);
    this.number = number;
  }

  /** Forgets its moments and picture, because the next message brings all of them. */
  startAnew() {
    this.moments = [];
    $(".picture img", this.element).hidden = true;
  }

  /** `targets` are the names of all targets that the drone may follow. */
  show(about, nowS, targets) {
    for (const [atS, latencyMs, state, camera, hero] of about.moments) {
      this.moments.push({ atS, latencyMs, state, camera, hero });
    }
    this.moments.sort((one, other) => one.atS - other.atS); // older moments of a long history come after newer ones
    while (this.moments.length && nowS - this.moments[0].atS > HISTORY_S) this.moments.shift();
    this.about = about;
    this.nowS = nowS;
    this.element.dataset.state = about.state;
    this.element.dataset.held = about.is_held;
    this.element.dataset.stale = isOld(about.frame_age_s);
    write($(".picture .caption", this.element), noPicture(about.frame_age_s) || "no picture yet");
    write($(".state", this.element), about.is_held ? "on hold" : about.state);
    write($(".meaning", this.element), meaning(about, about.target));
    write($(".map .hero", this.element), followedWord(about.is_held));
    this.showTargets(targets);
    this.turn(this.holdButton, about.is_held, about.is_held ? "Release" : "Hold");
    const isRecorded = about.recording?.is_on ?? false;
    this.turn(this.recordButton, isRecorded, isRecorded ? "Stop recording" : "Record");
    showRecording($(".recording", this.element), about.recording);
    this.value("distance", about.distance_m, "m");
    this.value("speed", about.speed_mps, "m/s");
    this.value("age", about.age_s, "s ago");
    this.value("height", this.moments.findLast((moment) => moment.camera)?.camera[2] ?? null, "m");
    this.value("latency", this.moments.at(-1)?.latencyMs ?? null, "ms");
    this.value("rate", latestRate(this.moments, nowS), "/s");
    if (about.picture) {
      const image = $(".picture img", this.element);
      image.src = `data:image/jpeg;base64,${about.picture}`;
    }
    if (about.picture !== undefined) $(".picture img", this.element).hidden = about.picture === null;
    this.people = peopleOf(about);
    this.list.show(this.people, about.chosen);
    showWarnings($(".warnings", this.element), about.warnings);
    this.draw();
  }

  showTargets(targets) {
    const select = this.targetSelect;
    $(".target", this.element).hidden = targets.length < 2;
    if (targets.join("\n") !== Array.from(select.options, ({ value }) => value).join("\n")) {
      select.replaceChildren(...targets.map((target) => new Option(target, target)));
    }
    if (select.ariaBusy !== "true") select.value = this.about.target; // while busy, the user's choice is being sent
  }

  value(of, number, unit) {
    const element = $(`[data-of="${of}"]`, this.element);
    if (number === null) {
      write(element, "–");
      return;
    }
    const digits = Math.abs(number) < 99.95 ? number.toFixed(1) : number.toFixed(0);
    if (element.dataset.shown === digits && element.childElementCount) return;
    element.dataset.shown = digits;
    const small = document.createElement("small");
    small.textContent = unit;
    element.replaceChildren(digits, small);
  }

  draw() {
    this.atOnMap = drawMap($(".map canvas", this.element), this.moments, this.people, this.about, this.nowS);
    write($(".latency span", this.element), drawLatency($(".latency canvas", this.element), this.moments, this.nowS));
    write($(".chart.rate span", this.element), drawRate($(".chart.rate canvas", this.element), this.moments, this.nowS));
  }

  /** Makes a button with an on/off state call `wish` with the wanted state when it is pressed. */
  button(selector, wish) {
    const button = $(selector, this.element);
    button.addEventListener("keydown", (event) => {
      if (event.repeat && event.key === "Enter") event.preventDefault(); // a key held down must not undo the first press
    });
    button.addEventListener("click", (event) => {
      if (event.detail > 1) return; // the second click of a double click must not undo the first
      const isOn = button.dataset.on === "true";
      // If another user has just turned it on, this click was meant to turn it on, too, and must not turn it off.
      // Turning on, such as a hold, is never refused.
      if (isOn && performance.now() < button.dataset.settledMs) return;
      wish(!isOn);
    });
    return button;
  }

  /** Shows whether a button is on, and what a press does (`words`). */
  turn(button, isOn, words) {
    if (![undefined, String(isOn)].includes(button.dataset.on)) button.dataset.settledMs = performance.now() + REACTION_MS;
    button.dataset.on = isOn;
    write(button, words);
    const label = `${words} drone ${this.number}`;
    if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
  }

  async hold(isHeld) {
    if (isHeld) await this.holding; // a hold is never dropped, so it waits for a release that is being sent
    this.holding = this.order("/hold", { is_held: isHeld }, this.holdButton, isHeld ? "Not held" : "Not released");
  }

  record(isRecorded) {
    const failed = isRecorded ? "Not recorded" : "Recording not stopped";
    this.order("/record", { is_recorded: isRecorded }, this.recordButton, failed);
  }

  /** Makes a click choose the person found by `find`; the pointer shows where a click would find a person. */
  pickable(element, find) {
    if (isRecording()) return;
    element.addEventListener("pointermove", (event) => element.classList.toggle("hit", Boolean(find(event))));
    element.addEventListener("click", (event) => {
      const person = find(event);
      if (person) this.choose(person.number);
    });
  }

  choose(number, button) {
    this.order("/choose", { person: number }, button, number === null ? "Not released" : `Person ${number} not followed`);
  }

  /** Sends an order to the server; `failed` is the message if that fails. */
  async order(path, wish, button, failed) {
    if (button?.ariaBusy === "true") return;
    const refused = $(".refused", this.element);
    if (button) button.ariaBusy = "true"; // not disabled, because a disabled button loses the keyboard focus
    refused.hidden = true;
    try {
      await ask(path, { simulator: this.name, ...wish });
    } catch (error) {
      refused.textContent = `${failed}: ${error.message}`;
      refused.hidden = false;
    } finally {
      if (button) button.ariaBusy = "false";
    }
  }
}

function showRecording(line, recording) {
  line.hidden = !recording;
  if (!recording) return;
  line.dataset.recording = recording.trouble ? "failed" : recording.is_on ? "on" : "ended";
  const time = `${Math.floor(recording.duration_s / 60)}:${String(recording.duration_s % 60).padStart(2, "0")}`;
  const size = `${recording.mb.toFixed(1)} MB, ${time} min`;
  if (recording.trouble) write(line, `Recording stopped: ${recording.trouble}`);
  else if (recording.file) write(line, `${recording.is_on ? "Recording" : "Recorded"} ${size}: ${recording.file}`);
  else write(line, recording.is_on ? "Recording from the first frame that is understood" : "Nothing was recorded");
}

export function showWarnings(list, warnings) {
  while (list.children.length > warnings.length) list.lastElementChild.remove();
  warnings.forEach(({ client, words, count, age_s }, index) => {
    if (!list.children[index]) {
      const item = document.createElement("li");
      item.append(document.createElement("span"), document.createElement("small"));
      list.append(item);
    }
    const [said, times] = list.children[index].children;
    write(said, list.closest("#others") ? `${client}: ${words}` : words);
    write(times, `${count > 1 ? `${count} times, ` : ""}${Math.round(age_s)} s ago`);
  });
}
