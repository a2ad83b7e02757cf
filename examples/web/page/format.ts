/** Numbers as people read them. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 12345 → "12,345" */
export const count = (value: number): string => WHOLE.format(value);

/** 1 → "1 token", 2 → "2 tokens" */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** 5100000 → "5.1 MB" */
export function bytes(value: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  // 999.5 and more would be written as 1,000.
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  return `${SHORT.format(value)} ${units[unit]}`;
}

/** 41 → "41 ms", 3140 → "3.1 s", 75000 → "1 min 15 s" */
export function duration(milliseconds: number): string {
  if (milliseconds < 100) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** 23.42 → "23.4", 1234 → "1,234" */
export const rate = (perSecond: number): string => (perSecond >= 100 ? WHOLE : SHORT).format(perSecond);
