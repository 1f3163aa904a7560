/**
 * DynamoDB's numbers: decimals of up to 38 significant digits, far beyond a double's 15. They stay text; only
 * short ones, which a double holds exactly enough to order, are compared as doubles.
 */
import { invalid } from "./errors.ts";

interface Decimal {
  readonly negative: boolean;
  /** Significant digits without zeros at either end; empty for zero. */
  readonly digits: string;
  /** The value is 0.`digits` × 10^`exponent`. */
  readonly exponent: number;
}

const CANONICAL_INTEGER = /^(?:0|-?[1-9]\d{0,14})$/;
const NUMBER = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?$/;
const MAX_DIGITS = 38;

function parse(text: string): Decimal {
  const match = NUMBER.exec(text);
  const whole = match?.[2] ?? "";
  const fraction = match?.[3] ?? "";
  if (match === null || whole.length + fraction.length === 0)
    throw invalid(`The parameter cannot be converted to a numeric value: ${text}`);
  const all = whole + fraction;
  let first = 0;
  while (first < all.length && all[first] === "0") first++;
  let end = all.length;
  while (end > first && all[end - 1] === "0") end--;
  const digits = all.slice(first, end);
  return {
    negative: match[1] === "-" && digits !== "",
    digits,
    exponent: whole.length - first + Number(match[4] ?? 0),
  };
}

/** @throws ValidationException when DynamoDB could not store it. */
function bounded(decimal: Decimal): Decimal {
  if (decimal.digits.length > MAX_DIGITS)
    throw invalid("Attempting to store more than 38 significant digits in a Number");
  if (decimal.digits === "") return decimal;
  if (decimal.exponent > 126)
    throw invalid(
      "Number overflow. Attempting to store a number with magnitude larger than supported range",
    );
  if (decimal.exponent < -129)
    throw invalid(
      "Number underflow. Attempting to store a number with magnitude smaller than supported range",
    );
  return decimal;
}

function format({ negative, digits, exponent }: Decimal): string {
  if (digits === "") return "0";
  const sign = negative ? "-" : "";
  if (exponent <= 0) return `${sign}0.${"0".repeat(-exponent)}${digits}`;
  if (digits.length <= exponent) return sign + digits + "0".repeat(exponent - digits.length);
  return `${sign}${digits.slice(0, exponent)}.${digits.slice(exponent)}`;
}

/** The one text by which DynamoDB returns this number (`1.50` and `15e-1` are both `1.5`). */
export const canonicalNumber = (text: string): string =>
  CANONICAL_INTEGER.test(text) ? text : format(bounded(parse(text)));

/** Orders two canonical numbers. */
export function compareNumbers(a: string, b: string): number {
  if (a === b) return 0;
  if (a.length <= 15 && b.length <= 15) return Number(a) - Number(b);
  return encodeNumber(a) < encodeNumber(b) ? -1 : 1;
}

/** A text whose order by code units is the order of the numbers. It never contains a NUL. */
export function encodeNumber(text: string): string {
  const { negative, digits, exponent } = parse(text);
  if (digits === "") return "1";
  if (!negative) return `2${magnitude(exponent)}${digits}`;
  let complement = "";
  for (const digit of digits) complement += 9 - Number(digit);
  // The tilde makes a shorter run of digits, which is closer to zero, the larger one.
  return `0${magnitude(-exponent)}${complement}~`;
}

/** Two printable units in the exponent's order, which lies within ±130. */
const magnitude = (exponent: number): string =>
  String.fromCharCode(0x30 + ((exponent + 130) >> 4), 0x30 + ((exponent + 130) & 15));

/** Exact sum or difference. @throws ValidationException when the result has more than 38 digits. */
export function addNumbers(a: string, b: string, sign: 1 | -1): string {
  if (CANONICAL_INTEGER.test(a) && CANONICAL_INTEGER.test(b))
    return String(Number(a) + sign * Number(b));
  const left = parse(a);
  const right = parse(b);
  const scale = Math.min(left.exponent - left.digits.length, right.exponent - right.digits.length);
  const sum = scaled(left, scale) + BigInt(sign) * scaled(right, scale);
  return format(bounded(parse(`${sum}e${scale}`)));
}

function scaled({ negative, digits, exponent }: Decimal, scale: number): bigint {
  if (digits === "") return 0n;
  const value = BigInt(digits) * 10n ** BigInt(exponent - digits.length - scale);
  return negative ? -value : value;
}

/** Stored size in bytes: two digits a byte, and one for sign and exponent. */
export const numberSize = (canonical: string): number => (canonical.length >> 1) + 2;
