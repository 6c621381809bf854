// The network in use, and its exchange for another one of the server's folder.

import { ask } from "/page/ask.js";
import { write } from "/page/words.js";

const $ = (selector) => document.querySelector(selector);
const form = $("#networks");
const select = form.querySelector("select");
const button = form.querySelector("button");
let offered = "";
let refused = "";
let isLoading = false;

/** Shows what the server tells of its networks. */
export function showNetworks({ name, engine, loading, trouble, choices }) {
  write($("#engine"), `${name}, ${engine}`);
  form.hidden = choices === null;
  if (choices && choices.join("\n") !== offered) {
    offered = choices.join("\n");
    const chosen = select.value;
    select.replaceChildren(...choices.map((choice) => new Option(choice)));
    if (choices.includes(chosen)) select.value = chosen;
  }
  isLoading = loading !== null;
  if (isLoading) refused = "";
  button.disabled = isLoading || !choices?.length;
  const words = loading !== null ? `Loading ${loading} …` : trouble !== null ? `Network not loaded: ${trouble}` : refused;
  write($("#network"), words);
  $("#network").hidden = !words;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  button.disabled = true; // until the server says that it can take another
  refused = "";
  // Loading takes longer than other orders; what comes of it is told to all pages by the stream.
  ask("/network", { network: select.value }).catch((error) => {
    if (!isLoading) refused = `Network not loaded: ${error.message}`;
  });
});
