// Keys: 1 to 9 choose a drone, H holds it, Shift H releases it, R starts and stops its recording.

const FORGET = "followme.keys"; // in the browser's storage: "off" while keys are switched off
const TYPING = "input:not([type=checkbox]), select, textarea, [contenteditable]";
const isWanted = document.querySelector("#keys input");

/** Has keys act on cards, in the order of the page; each has an element, its buttons, and `isHeld`. */
export function listenToKeys(cards) {
  isWanted.checked = localStorage.getItem(FORGET) !== "off";
  isWanted.addEventListener("change", () => localStorage.setItem(FORGET, isWanted.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (!isWanted.checked || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest?.(TYPING)) return;
    const there = [...cards.values()];
    const chosen = there.length === 1 ? there[0] : there.find((card) => card.isCurrent);
    const digit = /^[1-9]$/.test(event.key) ? there[event.key - 1] : null;
    if (digit) choose(there, digit);
    else if (chosen && event.key.toLowerCase() === "h") press(chosen.holdButton, chosen.isHeld === event.shiftKey);
    else if (chosen && event.key.toLowerCase() === "r" && !event.shiftKey) press(chosen.recordButton, true);
    else return;
    event.preventDefault();
  });
}

function choose(cards, chosen) {
  for (const card of cards) card.isCurrent = card === chosen;
  chosen.element.focus({ preventScroll: true });
  chosen.element.scrollIntoView({ block: "nearest" });
}

/** H must never release: whoever is in doubt presses it again. */
function press(button, isNeeded) {
  if (isNeeded && !button.disabled) button.click();
}
