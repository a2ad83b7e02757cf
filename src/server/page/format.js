/** Numbers as people read them. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 1 → "1 token", 12345 → "12,345 tokens" */
export const counted = (value, noun) => `${WHOLE.format(value)} ${noun}${value === 1 ? "" : "s"}`;

/** 41 → "41 ms", 3140 → "3.1 s", 75000 → "1 min 15 s" */
export function duration(milliseconds) {
  if (milliseconds < 100) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** 23.42 → "23.4", 1234 → "1,234" */
export const rate = (perSecond) => (perSecond >= 100 ? WHOLE : SHORT).format(perSecond);
