// Shared by map and charts: clears a canvas and sets it to the screen's resolution; the page's colours.

const style = getComputedStyle(document.documentElement);
export const colour = (name) => style.getPropertyValue(`--${name}`).trim();
export const FONT = "12px system-ui, sans-serif";

/** Clears a canvas; returns its drawing context, and its width and height in drawing units. */
export function begin(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  const [fineWidth, fineHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== fineWidth || canvas.height !== fineHeight) {
    canvas.width = fineWidth;
    canvas.height = fineHeight;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.lineJoin = context.lineCap = "round";
  return { context, width, height };
}

/** The smallest of 1, 2, 5, 10, 20, 50 … that is at least `value`; `steps` may replace 1, 2, 5, 10. */
export function roundUp(value, steps = [1, 2, 5, 10]) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * steps.find((step) => step * power >= value - 1e-9);
}
