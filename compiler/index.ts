/** A checked program -> CUDA C++ and WGSL, and typed bindings. Touches no device. */
export { type Compiled, type CompileOptions, compile, type Observer, paramsOf, type Stage, stages, targets } from "./compile.ts";
export { Refusal } from "./refusal.ts";
