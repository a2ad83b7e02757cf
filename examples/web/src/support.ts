import type { Adapter, Support } from "./types.js";

/** What the browser tells of an adapter. */
export type AdapterNames = Pick<Adapter, "name" | "vendor" | "architecture" | "software">;

/** The least part of WebGPU's interface that is needed here; TypeScript's own types come and go. */
interface Gpu {
  requestAdapter(options?: { powerPreference?: string }): Promise<{
    limits: Record<string, number>;
    info?: { vendor: string; architecture: string; description: string; isFallbackAdapter?: boolean };
  } | null>;
}

/** WebGPU's default limits, which every kernel keeps to. */
const LEAST: [limit: string, least: number, what: string][] = [
  ["maxStorageBuffersPerShaderStage", 8, "storage buffers per stage"],
  ["maxStorageBufferBindingSize", 128 << 20, "bytes of a storage binding"],
  ["maxComputeWorkgroupStorageSize", 16 << 10, "bytes of workgroup memory"],
  ["maxComputeInvocationsPerWorkgroup", 256, "invocations per workgroup"],
];

/** Whether models can run in this browser, and if not, why not. */
export async function isSupported(): Promise<Support> {
  const no = (reason: string): Support => ({ supported: false, reason });
  if (!globalThis.isSecureContext) {
    return no("WebGPU is only there on pages from https:// or from this machine (localhost).");
  }
  const gpu = (navigator as { gpu?: Gpu }).gpu;
  if (!gpu) {
    return no("This browser has no WebGPU. A current Chrome, Edge, Safari or Firefox has it on most systems.");
  }
  if (typeof WebAssembly !== "object" || typeof Worker !== "function") {
    return no("This browser runs no WebAssembly, or no workers.");
  }
  let adapter;
  try {
    adapter = await gpu.requestAdapter();
  } catch (error) {
    return no(`The browser's WebGPU fails: ${(error as Error).message}`);
  }
  if (!adapter) {
    return no(
      "The browser has WebGPU, but offers no graphics card for it: the card or its driver may be on the " +
        "browser's block list, or hardware acceleration may be switched off in its settings.",
    );
  }
  for (const [limit, least, what] of LEAST) {
    const has = adapter.limits[limit] ?? 0;
    if (has < least) return no(`The graphics card allows ${has} ${what}; ${least} are needed.`);
  }
  const { vendor = "", architecture = "", description = "", isFallbackAdapter = false } =
    adapter.info ?? {};
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "an unnamed GPU";
  return { supported: true, adapter: { name, vendor, architecture, software: isFallbackAdapter } };
}
