/** DeepSeek models in a browser tab, on WebGPU. */

export { Engine, type DeviceEventDetail } from "./engine.js";
export { TiefseeError } from "./errors.js";
export type { ChatCompletions, Completions, RequestOptions } from "./completions.js";
export type * from "./types.js";
