// Reads and writes safetensors files: a header's length, the header as JSON, the numbers.

const ARRAYS = { F32: Float32Array, I64: BigInt64Array, I32: Int32Array };

/** The tensors in the bytes of a file, by name: `{ shape, values }`. */
export function readTensors(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: [start, end] = [] }] of Object.entries(header)) {
    if (name === "__metadata__" || !(dtype in ARRAYS)) continue;
    // A copy, because arrays begin at multiples of their element.
    const data = new Uint8Array(bytes.subarray(8 + length + start, 8 + length + end));
    tensors.set(name, { shape, values: new ARRAYS[dtype](data.buffer) });
  }
  return tensors;
}
