// Latency and frame rate over the last three minutes, the newest at the right.

import { begin, colour, roundUp } from "/page/canvas.js";

const SPAN_S = 180;
const BIN_S = 3;
const RATE_OVER_S = 3;
const LEFT_PX = 34;
const BOTTOM_PX = 16;
const STEPS = [1, 1.5, 2, 3, 4, 6, 8, 10];

/** Draws each frame's time from arrival to answer, as a dot; returns median and 99th percentile in words. */
export function drawLatency(canvas, moments, nowS) {
  const sorted = moments.map((moment) => moment.latencyMs).sort((one, other) => one - other);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const top = sorted.length ? roundUp(Math.max(1.15 * at(0.99), 10), STEPS) : 20;
  const { context, width, x, y } = axes(canvas, nowS, top, "ms");
  context.fillStyle = colour("drone");
  context.globalAlpha = 0.75;
  for (const { atS, latencyMs } of moments) {
    context.fillRect(x(atS) - 1, y(Math.min(latencyMs, top)) - 1, 2.2, 2.2);
  }
  context.globalAlpha = 1;
  if (!sorted.length) return "";
  context.strokeStyle = colour("hero");
  context.lineWidth = 1;
  context.setLineDash([4, 4]);
  context.beginPath();
  context.moveTo(LEFT_PX, y(at(0.5)));
  context.lineTo(width, y(at(0.5)));
  context.stroke();
  context.setLineDash([]);
  return `median ${at(0.5).toFixed(0)} ms, 99 % under ${at(0.99).toFixed(0)} ms`;
}

/** Draws frames a second, in bins of some seconds; returns the latest rate in words. */
export function drawRate(canvas, moments, nowS) {
  const bins = new Array(SPAN_S / BIN_S).fill(0);
  for (const { atS } of moments) {
    const bin = bins.length - 1 - Math.max(Math.floor((nowS - atS) / BIN_S), 0); // atS may be slightly after nowS
    if (bin >= 0) bins[bin] += 1 / BIN_S;
  }
  const top = roundUp(Math.max(...bins, 5) * 1.05, STEPS);
  const { context, x, y } = axes(canvas, nowS, top, "/s");
  context.beginPath();
  context.moveTo(x(nowS - SPAN_S), y(0));
  bins.forEach((rate, bin) => {
    const beginS = nowS - SPAN_S + bin * BIN_S;
    context.lineTo(x(beginS), y(rate));
    context.lineTo(x(beginS + BIN_S), y(rate));
  });
  context.lineTo(x(nowS), y(0));
  context.fillStyle = colour("hero");
  context.globalAlpha = 0.18;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = colour("hero");
  context.lineWidth = 1.5;
  context.stroke();
  const rate = latestRate(moments, nowS);
  return rate === null ? "" : `${rate.toFixed(1)} now`;
}

/** Frames a second over the last few seconds, or since the first frame; null before a second has passed since then. */
export function latestRate(moments, nowS) {
  let count = 0;
  for (let index = moments.length - 1; index >= 0 && nowS - moments[index].atS <= RATE_OVER_S; index -= 1) count += 1;
  if (count < moments.length) return count / RATE_OVER_S;
  const sinceFirstS = count ? nowS - moments[0].atS : 0;
  return sinceFirstS < 1 ? null : (count - 1) / sinceFirstS; // the first frame begins the time
}

function axes(canvas, nowS, top, unit) {
  const { context, width, height } = begin(canvas);
  const x = (atS) => width - ((nowS - atS) / SPAN_S) * (width - LEFT_PX);
  const y = (value) => 6 + (1 - value / top) * (height - BOTTOM_PX - 6);
  context.strokeStyle = colour("line");
  context.fillStyle = colour("quiet");
  context.lineWidth = 1;
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of [0, top / 2, top]) {
    context.beginPath();
    context.moveTo(LEFT_PX, y(value));
    context.lineTo(width, y(value));
    context.stroke();
    context.fillText(`${value}`, LEFT_PX - 6, y(value));
  }
  context.textAlign = "left";
  context.textBaseline = "bottom";
  context.fillText("3 min ago", LEFT_PX, height);
  context.textAlign = "right";
  context.fillText(`now, ${unit}`, width, height);
  return { context, width, x, y };
}
