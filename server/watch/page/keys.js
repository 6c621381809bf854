// Keys. For drones: 1 to 9 choose a drone, H holds it, Shift H releases it, R starts and stops its recording.

const FORGET = "followme.keys"; // in the browser's storage: "off" while keys are switched off
const TYPING = "input:not([type=checkbox], [type=range]), textarea, [contenteditable]";
const isWanted = document.querySelector("#keys input");

/** The browser's storage; null if the user forbids it. Then the choice is kept only until the page is closed. */
function storage() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

isWanted.checked = storage()?.getItem(FORGET) !== "off";
isWanted.addEventListener("change", () => storage()?.setItem(FORGET, isWanted.checked ? "on" : "off"));

/** Passes keys to `obey`, unless they are switched off or typed into a field; `obey` returns whether it handled one. */
export function onKeys(obey) {
  document.addEventListener("keydown", (event) => {
    if (!isWanted.checked || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest?.(TYPING)) return;
    // A list of choices keeps its keys, except letters and digits, with which it would jump to a choice.
    const isList = Boolean(event.target.closest?.("select"));
    if (isList && !/^[a-z0-9]$/i.test(event.key)) return;
    if (obey(event) || isList) event.preventDefault();
  });
}

/**
 * Returns a function that handles the keys for cards, and returns whether it handled a key. Each card has a number,
 * which is its key, a name, an element, its buttons, `isHeld` and `hold`.
 */
export function obeyingCards(cards) {
  let meant = null; // name of the drone chosen last in this view
  window.addEventListener("hashchange", () => {
    meant = null;
  });
  return (event) => {
    if (event.repeat) return false;
    const there = [...cards.values()];
    const chosen = there.length === 1 ? there[0] : there.find((card) => card.isCurrent);
    const called = there.find((card) => String(card.number) === event.key);
    const isGone = meant !== null && !cards.has(meant); // then another drone only takes a hold, which does no harm
    if (called) {
      meant = called.name;
      choose(there, called);
    } else if (chosen && event.key.toLowerCase() === "h" && !(isGone && event.shiftKey)) {
      // H holds in any state that the page shows, and never releases, so that a user in doubt can press it again.
      if (chosen.isHeld || !event.shiftKey) chosen.hold(!event.shiftKey);
    } else if (chosen && event.key.toLowerCase() === "r" && !event.shiftKey && !isGone) chosen.recordButton.click();
    else return false;
    return true;
  };
}

function choose(cards, chosen) {
  for (const card of cards) card.isCurrent = card === chosen;
  chosen.element.focus({ preventScroll: true });
  chosen.element.scrollIntoView({ block: "nearest" });
}
