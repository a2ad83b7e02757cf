// Their side of the comparison, in a page of its own: onnxruntime-web on WebGPU.
//
// Two things are called that: the package's default build, whose kernels are JavaScript and WGSL,
// and its "webgpu" build, whose kernels are C++ in WebAssembly and WGSL ("jspi" is the same with
// another way of waiting). Neither is always faster, and they cannot share a page. `trial` tells how
// fast this one is at its best settings, so that the script can go on with the faster one.

const BUILDS = {
  default: "ort.bundle.min.mjs",
  webgpu: "ort.webgpu.bundle.min.mjs",
  jspi: "ort.jspi.bundle.min.mjs",
};

/** Loads one of the builds and both models. */
export async function load(build) {
  const dist = new URL("node_modules/onnxruntime-web/dist/", import.meta.url).href;
  const ort = await import(dist + BUILDS[build]);
  ort.env.wasm.wasmPaths = dist;
  // Everything is on the GPU; more threads would only wait, and take a software adapter's processors.
  ort.env.wasm.numThreads = 1;
  const plan = await json("models/run.json");
  const matvec = await loadMatvec(ort, plan);
  const decoder = await loadDecoder(ort, plan, build !== "default");
  const best = {};

  return {
    /** The fastest settings for each operation and what they take; later measurements use them. */
    async trial(repeats, tokens) {
      best.matvec = await fastest(matvec.ways, (way) => matvec.queued(way, repeats));
      best.decode = await fastest(decoder.ways, async (way) => (await decoder.decode(way, tokens)).perToken);
      return best;
    },
    /** Milliseconds of a product. */
    async matvec(repeats) {
      const queued = await matvec.queued(best.matvec.way, repeats);
      return { queued, readBack: await matvec.readBack(Math.ceil(repeats / 4)) };
    },
    /** Milliseconds of a token. */
    async decode(tokens) {
      return (await decoder.decode(best.decode.way, tokens)).perToken;
    },
    /** Deviation from their own CPU kernels; undefined where `make_models.py --verify` was not run. */
    async check() {
      const expected = await json("models/theirs/expected.json").catch(() => undefined);
      if (!expected) return undefined;
      const { generated, first } = await decoder.decode(best.decode.way, expected.tokens.length - 1);
      return {
        matvec: deviation(await matvec.result(), expected.matvec),
        logits: deviation(first, expected.logits),
        sameTokens: generated.every((id, index) => id === expected.tokens[index]),
      };
    },
  };
}

/** The product of a matrix and a vector: from the CPU and back, or all on the GPU. */
async function loadMatvec(ort, plan) {
  const model = await bytes("models/theirs/matvec.onnx");
  const create = (options) =>
    ort.InferenceSession.create(model, { executionProviders: ["webgpu"], ...options });
  const onGpu = { preferredOutputLocation: "gpu-buffer" };
  const [visible, plain] = [await create(), await create(onGpu)];
  const captured = await create({ ...onGpu, enableGraphCapture: true });
  const values = Float32Array.from({ length: plan.matvec }, (_, index) => Math.sin(index));
  const vector = new ort.Tensor("float32", values, [1, 1, plan.matvec]);
  const device = await ort.env.webgpu.device;
  // Outputs of a run are buffers of theirs: those stay registered, which a captured graph relies on.
  const [x, y] = [(await plain.run({ x: vector })).y, (await plain.run({ x: vector })).y];
  device.queue.writeBuffer(x.gpuBuffer, 0, values);
  const sessions = { plain, captured };

  return {
    ways: Object.keys(sessions),
    /** Products without waiting between them, and one wait for all. */
    async queued(way, repeats) {
      return timed(repeats, async () => {
        for (let n = 0; n < repeats; n++) await sessions[way].run({ x }, { y });
        await device.queue.onSubmittedWorkDone();
      });
    },
    /** Products whose vector comes from the CPU and whose result goes there, one by one. */
    async readBack(repeats) {
      return timed(repeats, async () => {
        for (let n = 0; n < repeats; n++) await visible.run({ x: vector });
      });
    },
    async result() {
      return (await visible.run({ x: vector })).y.data;
    },
  };
}

/** Greedy decoding with caches that stay on the GPU, and scores that come back. */
async function loadDecoder(ort, plan, allowsStatic) {
  const pairs = []; // names of a cache as input and as output
  for (let layer = 0; layer < plan.layers; layer++) {
    for (const part of ["key", "value"]) {
      pairs.push([`past_key_values.${layer}.${part}`, `present.${layer}.${part}`]);
    }
  }
  const [pasts, presents] = [pairs.map(([past]) => past), pairs.map(([, present]) => present)];
  const session = await ort.InferenceSession.create(await bytes("models/theirs/decoder.onnx"), {
    executionProviders: ["webgpu"],
    preferredOutputLocation: zip(presents, presents.map(() => "gpu-buffer")),
  });
  const device = await ort.env.webgpu.device;
  const [, heads, , head] = plan.cache;
  const integers = (values, shape) => new ort.Tensor("int32", Int32Array.from(values), shape);

  /** Caches of full length that are both read and written. */
  function fixedCaches() {
    const size = 4 * plan.cache.reduce((product, side) => product * side);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const cache = () => device.createBuffer({ size, usage });
    return pairs.map(() => ort.Tensor.fromGpuBuffer(cache(), { dataType: "float32", dims: plan.cache }));
  }

  const fixed = allowsStatic ? fixedCaches() : undefined;
  const fetches = fixed && { logits: null, ...zip(presents, fixed) };

  return {
    ways: allowsStatic ? ["growing", "static"] : ["growing"],
    /** Reads the prompt, then generates one token and, measured, `tokens` more. */
    async decode(way, tokens) {
      const grows = way === "growing";
      const empty = () => new ort.Tensor("float32", new Float32Array(0), [1, heads, 0, head]);
      const caches = zip(pasts, grows ? pairs.map(empty) : fixed);
      const generated = [];
      let [ids, total, first, begin] = [plan.prompt, 0];
      while (generated.length <= tokens) {
        total += ids.length;
        const feeds = {
          input_ids: integers(ids, [1, ids.length]),
          seqlens_k: integers([total - 1], [1]),
          total_sequence_length: integers([total], [1]),
          ...caches,
        };
        const results = grows ? await session.run(feeds) : await session.run(feeds, fetches);
        const scores = results.logits.data.subarray(-plan.vocabulary);
        first ??= scores.slice();
        ids = [indexOfLargest(scores)];
        generated.push(ids[0]);
        if (grows) {
          for (const [past, present] of pairs) {
            caches[past].dispose();
            caches[past] = results[present];
          }
        }
        begin ??= performance.now();
      }
      const perToken = (performance.now() - begin) / tokens;
      if (grows) for (const cache of Object.values(caches)) cache.dispose();
      return { perToken, generated, first };
    },
  };
}

/** The way that takes least, each tried once after a first run that compiles. */
async function fastest(ways, measure) {
  let best = { milliseconds: Infinity };
  for (const way of ways) {
    await measure(way);
    const milliseconds = await measure(way);
    if (milliseconds < best.milliseconds) best = { way, milliseconds };
  }
  return best;
}

async function timed(repeats, work) {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / repeats;
}

function indexOfLargest(scores) {
  let best = 0;
  for (let index = 1; index < scores.length; index++) if (scores[index] > scores[best]) best = index;
  return best;
}

/** The largest difference, relative to the largest expected value. */
function deviation(values, expected) {
  const largest = (numbers) => numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
  return largest(expected.map((value, index) => values[index] - value)) / largest(expected);
}

function zip(keys, values) {
  return Object.fromEntries(keys.map((key, index) => [key, values[index]]));
}

async function get(path) {
  const response = await fetch(new URL(path, import.meta.url));
  if (!response.ok) throw new Error(`${path}: HTTP status ${response.status}; run make_models.py first`);
  return response;
}

const json = async (path) => (await get(path)).json();
const bytes = async (path) => new Uint8Array(await (await get(path)).arrayBuffer());
