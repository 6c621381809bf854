// The network in use, and its exchange for another network of the server's folder.

import { ask } from "/page/ask.js";
import { write } from "/page/words.js";

const $ = (selector) => document.querySelector(selector);
const form = $("#networks");
const select = form.querySelector("select");
const button = form.querySelector("button");
let offered = "";
let inUse = null;
let told = null; // why the server's latest loading failed
let refused = ""; // why it has refused an order since then
let isLoading = false;

/** Shows the state of the server's networks. */
export function showNetworks({ name, engine, loading, trouble, choices }) {
  write($("#engine"), `${name}, ${engine}`);
  form.hidden = choices === null;
  if (choices && (choices.join("\n") !== offered || name !== inUse)) {
    const chosen = name === inUse ? select.value : choices.find((choice) => isNameOf(name, choice));
    [offered, inUse] = [choices.join("\n"), name];
    select.replaceChildren(...choices.map((choice) => new Option(choice, choice)));
    if (choices.includes(chosen)) select.value = chosen;
  }
  isLoading = loading !== null;
  if (isLoading || trouble !== told) refused = ""; // another network has been loaded since
  told = trouble;
  button.disabled = isLoading || !choices?.length;
  const failed = refused || (trouble ?? "");
  const words = isLoading ? `Loading ${loading} …` : failed && `Network not loaded: ${failed}`;
  write($("#network"), words);
  $("#network").hidden = !words;
}

/** Whether `name`, a network's path with or without its ending, means this network of the folder. */
function isNameOf(name, choice) {
  return [choice, choice.replace(/\.(keras|openvino)$/, "")].some((each) => name === each || name.endsWith(`/${each}`));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  button.disabled = true; // until the server can load another network
  refused = "";
  // Loading takes longer than other orders. All pages learn the result by the stream.
  ask("/network", { network: select.value }).catch((error) => {
    if (!isLoading) refused = error.message;
  });
});
