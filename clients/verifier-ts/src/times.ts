/** Times in sentences for people. */

/** 9999-12-31T23:59:59Z: the last second that RFC 3339 can write. */
const LATEST = 253402300799n;

export function utc(seconds: bigint): string {
  if (seconds > LATEST) return `${seconds} s`;
  return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
}
