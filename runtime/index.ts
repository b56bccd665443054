/** Loads and launches compiled kernels. Imports neither the language nor the compiler. */
export type * from "./abi.ts";
export { elementBits, evaluateSize, sizeText } from "./abi.ts";
export {
  type Argument,
  type Arguments,
  type CallOptions,
  type CallResult,
  call,
  callMany,
  type Device,
  type PreparedCall,
  prepare,
} from "./call.ts";
export { type RuntimeCode, runtimeCodes, WeftError } from "./errors.ts";
export { type PackOptions, packFor } from "./layout.ts";
export { bytesOf, type DataOf, type HostTensor, type Tensor, tensor } from "./tensor.ts";
