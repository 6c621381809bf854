// Shows a recording: fetches its timeline once, and the data of each step when the step is shown.

import { ask } from "/page/ask.js";
import { begin, colour } from "/page/canvas.js";
import { onKeys } from "/page/keys.js";
import { show, startAnew, tellLink } from "/page/page.js";
import { write } from "/page/words.js";

const HISTORY_S = 180; // the same as on the live page
const RETRY_MS = 1000;
const LEAP_S = 5;
const TALL = { following: 1, patrol: 0.35 }; // share of the height, so that states differ not only by colour
const CHECKBOX = "input[type=checkbox]";

document.documentElement.dataset.source = "recording";
const $ = (selector) => document.querySelector(selector);

class Player {
  /** `timeline` is the result of `Film.timeline`. Times are in seconds since the first step, unless said otherwise. */
  constructor(timeline) {
    this.timeline = timeline;
    this.times = timeline.times_s.map((atS) => atS - timeline.times_s[0]);
    this.durationS = this.times.at(-1);
    this.answers = timeline.moments.map(([arrivalS, latencyMs]) => arrivalS + latencyMs / 1000);
    this.nowS = 0;
    this.isPlaying = false;
    this.shown = null; // the step shown, and the number of moments up to it
    this.isFetching = false;
    this.play = $("#player .play");
    this.scrub = $("#player .scrub");
    this.speed = $("#player .speed");
    this.scrub.max = this.durationS;
    this.play.addEventListener("click", () => this.toggle());
    this.scrub.addEventListener("input", () => this.seek(Number(this.scrub.value)));
    window.addEventListener("resize", () => this.drawStates());
    window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.drawStates());
    this.listDecisions();
    $("#player").hidden = $("#decisions").hidden = false;
    this.drawStates();
    this.seek(0);
  }

  /** The latest step at the present time of the player. */
  get step() {
    return Math.max(countUntil(this.times, this.nowS + 1e-6) - 1, 0);
  }

  toggle() {
    this.isPlaying = !this.isPlaying;
    if (this.isPlaying && this.nowS >= this.durationS) this.nowS = 0;
    if (this.isPlaying) this.run();
    this.tell();
  }

  /** Plays until the end; each frame of the screen moves the time on. */
  run() {
    cancelAnimationFrame(this.loop); // may still be waiting after a short pause
    let beforeMs = performance.now();
    const goOn = (nowMs) => {
      if (!this.isPlaying) return;
      this.nowS += (Math.max(nowMs - beforeMs, 0) / 1000) * Number(this.speed.value);
      beforeMs = nowMs;
      if (this.nowS >= this.durationS) [this.nowS, this.isPlaying] = [this.durationS, false];
      this.tell();
      this.loop = requestAnimationFrame(goOn);
    };
    this.loop = requestAnimationFrame(goOn);
  }

  seek(toS) {
    this.nowS = Math.min(Math.max(toS, 0), this.durationS);
    this.tell();
  }

  /** Pauses at a step. */
  stopAt(step) {
    this.isPlaying = false;
    this.seek(this.times[Math.min(Math.max(step, 0), this.times.length - 1)]);
  }

  /** The number of the next or the previous step. Going back skips steps at the same time as the present step. */
  stepBeside(sign) {
    let step = this.step + sign;
    while (step > 0 && this.times[step] === this.times[this.step]) step += sign;
    return step;
  }

  /** Shows the time, and fetches the data of the present step. */
  tell() {
    write(this.play, this.isPlaying ? "Pause" : "Play");
    if (document.activeElement !== this.scrub || this.isPlaying || Number(this.scrub.value) !== this.nowS) {
      this.scrub.value = this.nowS;
    }
    if (!this.isPlaying) {
      this.scrub.setAttribute("aria-valuetext", `${this.nowS.toFixed(1)} of ${this.durationS.toFixed(1)} seconds`);
    }
    write($("#player .now"), clock(this.nowS));
    write($("#player .whole"), clock(this.durationS));
    write($("#player .day"), new Date((this.timeline.begun_s + this.nowS) * 1000).toLocaleString());
    this.markDecision();
    this.fetch();
  }

  /** Fetches one step at a time. If that takes longer than the time between two steps, some steps are left out. */
  async fetch() {
    if (this.isFetching) return;
    if (this.step === this.shown?.step) {
      tellLink("live", `recording ${this.timeline.file}`);
      return;
    }
    this.isFetching = true;
    const step = this.step;
    try {
      const response = await ask(`/recording/${step}`);
      this.show(step, await response.json());
      tellLink("live", `recording ${this.timeline.file}`);
    } catch (error) {
      tellLink("lost", `not shown: ${error.message}, trying again …`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    } finally {
      this.isFetching = false;
    }
    this.fetch(); // the time may have moved on meanwhile
  }

  /** Shows a step, with the moments up to it. */
  show(step, message) {
    const until = countUntil(this.answers, message.now_s + 0.001);
    let from = this.shown?.until;
    if (!this.shown || step < this.shown.step) {
      startAnew();
      from = countUntil(this.answers, message.now_s - HISTORY_S);
    }
    message.simulators[0].moments = this.timeline.moments.slice(from, until);
    this.shown = { step, until };
    show(message);
  }

  /** Draws the tracker's state over time, above the slider. */
  drawStates() {
    const { context, width, height } = begin($("#player canvas"));
    const [beginS] = this.timeline.times_s;
    const x = (atS) => (Math.max(atS - beginS, 0) / (this.durationS || 1)) * width;
    const states = this.timeline.moments.map(([, , state]) => state);
    for (let from = 0, to = 0; from < states.length; from = to) {
      while (to < states.length && states[to] === states[from]) to += 1;
      const [left, right] = [x(this.answers[from]), to < states.length ? x(this.answers[to]) : width];
      const tall = height * (TALL[states[from]] ?? 0.7);
      context.fillStyle = colour(states[from]);
      context.fillRect(left, height - tall, Math.max(right - left, 1), tall);
    }
  }

  listDecisions() {
    const { decisions, end } = this.timeline;
    this.decisions = decisions.map(([step, state, words]) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const time = document.createElement("time");
      button.type = "button";
      item.dataset.state = state;
      time.textContent = clock(this.times[step]);
      button.append(time, words);
      button.addEventListener("click", () => this.seek(this.times[step]));
      item.append(button);
      return item;
    });
    $("#decisions ol").replaceChildren(...this.decisions);
    write($("#decisions .end"), `The recording ends: ${end}.`);
  }

  /** Marks the latest decision at the present time, and scrolls the list to it. */
  markDecision() {
    const latest = this.decisions[countUntil(this.timeline.decisions, this.step, ([step]) => step) - 1];
    if (latest === this.latest) return;
    this.latest?.removeAttribute("aria-current");
    latest?.setAttribute("aria-current", "true");
    this.latest = latest;
    const list = $("#decisions ol");
    if (latest) list.scrollTop = latest.offsetTop - list.clientHeight / 2;
  }

  /** Handles a key; returns whether it handled the key. */
  obey({ key, shiftKey, target, repeat }) {
    if (key === " ") {
      if (target.matches?.(CHECKBOX)) return false;
      if (!repeat) this.toggle();
    } else if (key === "ArrowLeft" || key === "ArrowRight") {
      const sign = key === "ArrowLeft" ? -1 : 1;
      if (shiftKey) this.seek(this.nowS + sign * LEAP_S);
      else this.stopAt(this.stepBeside(sign));
    } else if (key === "Home") this.stopAt(0);
    else if (key === "End") this.stopAt(this.times.length - 1);
    else return false;
    return true;
  }
}

/** The number of values that are at most `most`; the values are sorted. */
function countUntil(values, most, of = (value) => value) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(values[middle]) <= most) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Seconds as "1:02.3". */
function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

async function start() {
  try {
    const response = await ask("/recording");
    const player = new Player(await response.json());
    onKeys((event) => player.obey(event));
    // Otherwise the space key would also press the button that has the focus.
    document.addEventListener("keyup", (event) => {
      if (event.key === " " && event.target.matches?.("#player button, #decisions button")) event.preventDefault();
    });
  } catch (error) {
    tellLink("lost", `no recording: ${error.message}, trying again …`);
    setTimeout(start, RETRY_MS);
  }
}

start();
