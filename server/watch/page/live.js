// Connects to the server's stream of events; reconnects whenever it falls silent.

import { ask } from "/page/ask.js";
import { obeyingCards, onKeys } from "/page/keys.js";
import { cards, removeCards, show, startAnew, tellLink } from "/page/page.js";
import { focusView, hideThumbnails, inFull, obeyOnWall, showWall } from "/page/wall.js";

const SILENCE_MS = 5000; // the server sends a message at least every second
const RETRY_MS = 1000;

let source = null;
let silence = null;
let isNewView = false;

function disconnect() {
  clearTimeout(silence);
  source?.close();
  source = null;
}

function connect() {
  disconnect();
  let isFirst = true;
  const lose = (why = "no connection to the server") => {
    disconnect();
    tellLink("lost", `${why}, trying again …`);
    silence = setTimeout(connect, RETRY_MS);
  };
  const expectMore = () => {
    clearTimeout(silence);
    silence = setTimeout(lose, SILENCE_MS);
  };
  expectMore();
  const only = inFull();
  const url = only === null ? "/events" : `/events?in_full=${encodeURIComponent(only)}`;
  const mine = new EventSource(url);
  source = mine;
  source.onerror = async () => {
    const why = mine.readyState === EventSource.CLOSED ? await refusal(url) : undefined;
    if (source === mine) lose(why); // unless another view has been opened meanwhile
  };
  source.onmessage = (event) => {
    expectMore();
    if (isFirst) {
      startAnew();
      hideThumbnails();
      isFirst = false;
    }
    const message = JSON.parse(event.data);
    show(message);
    showWall(message);
    if (isNewView) focusView();
    isNewView = false;
    tellLink("live", "live");
  };
}

/** The server's reason to refuse a stream, which an EventSource does not give; undefined if the server now accepts. */
async function refusal(url) {
  try {
    const response = await ask(url);
    response.body.cancel();
    return undefined;
  } catch (error) {
    return error instanceof TypeError ? undefined : error.message; // `fetch` raises TypeError without a connection
  }
}

// A hidden page disconnects, so that the server need not draw for it.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    disconnect();
    tellLink("connecting", "connecting …");
  } else connect();
});
// Another view needs other messages. Until they come, keys must not act on drones of the former view.
window.addEventListener("hashchange", () => {
  isNewView = true;
  removeCards();
  tellLink("connecting", "connecting …");
  if (!document.hidden) connect();
  window.scrollTo(0, 0);
});
const obeyOnCards = obeyingCards(cards);
onKeys((event) => obeyOnWall(event) || obeyOnCards(event));
if (!document.hidden) connect();
