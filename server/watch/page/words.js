// A drone sends some five frames a second, and the watchdog stops one after a second without any. Twice that is no hiccup.
const OLD_S = 2;

/** Has an element say something; what it says already is left alone, for screen readers and selections. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether a drone's newest frame is too old to be taken for what the drone sees now; null is the age of none. */
export const isOld = (ageS) => ageS > OLD_S;

/** What to say of the picture then; "" while it is new. */
export const noPicture = (ageS) => (isOld(ageS) ? `No picture for ${Math.round(ageS)} s` : "");
