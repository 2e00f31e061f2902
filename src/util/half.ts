/** The number that the 16 bits of a float16 stand for. */
export function halfToNumber(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const fraction = h & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest whole number; of two, the even one. */
function roundToEven(x: number): number {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/** The 16 bits of the float16 nearest to `x`. */
export function numberToHalf(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  // In steps of the last bit: 1024 to 2047, less where the number is subnormal.
  return sign | ((exponent + 14) * 1024 + roundToEven(size / 2 ** (exponent - 10)));
}

/** The 16 bits of the bfloat16 nearest to `x`. */
export function numberToBfloat(x: number): number {
  if (Number.isNaN(x)) return 0x7fc0;
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, x);
  return roundToEven(view.getUint32(0) / 65536) & 0xffff;
}

/** The number that the 16 bits of a bfloat16 stand for: the upper half of a float32. */
export function bfloatToNumber(h: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, h * 65536);
  return view.getFloat32(0);
}

let halves: Float32Array | null = null;

/** The packed little-endian elements of a float tensor as float32; null for other dtypes. `bytes` starts a buffer of its own. */
export function widened(bytes: Uint8Array<ArrayBuffer>, dtype: string): Float32Array<ArrayBuffer> | null {
  switch (dtype) {
    case "float32":
      return new Float32Array(bytes.buffer);
    case "float64":
      return Float32Array.from(new Float64Array(bytes.buffer));
    case "bfloat16":
      return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (h) => h << 16).buffer);
    case "float16": {
      const table = (halves ??= Float32Array.from({ length: 65536 }, (_, h) => halfToNumber(h)));
      return Float32Array.from(new Uint16Array(bytes.buffer), (h) => table[h] ?? NaN);
    }
    default:
      return null;
  }
}
