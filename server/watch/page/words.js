// A drone sends some five frames a second, and the watchdog stops a drone after one second without a frame. Twice that
// time is more than a short delay.
const OLD_S = 2;

/** Sets the text of an element, unless it is the same, because that would disturb screen readers and selections. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether a drone's newest frame is too old to be shown as live; the age is null without a frame. */
export const isOld = (ageS) => ageS > OLD_S;

/** The message about a picture that is too old; "" while it is new. */
export const noPicture = (ageS) => (isOld(ageS) ? `No picture for ${Math.round(ageS)} s` : "");
